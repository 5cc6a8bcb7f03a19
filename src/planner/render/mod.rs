//! The objects that performing a decision applies. Pure.

mod claims;
mod mover;
mod owner;
mod snapshots;

pub use claims::{replica_claim, source_claim, state_claim};
pub use mover::{MOVER_PORT, MoverSettings, mover_pod};
pub use owner::{PairRef, Part};
pub use snapshots::snapshot;
