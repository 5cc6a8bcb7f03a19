//! The objects that performing a decision applies. Pure.

mod claims;
mod mover;
mod mover_template;
mod owner;
mod snapshots;

pub use claims::{replica_claim, replica_labels, source_claim, state_claim};
pub use mover::{MOVER_PORT, MoverSettings, mover_pod};
pub use mover_template::MoverTemplate;
pub use owner::{PairRef, Part};
pub use snapshots::snapshot;
