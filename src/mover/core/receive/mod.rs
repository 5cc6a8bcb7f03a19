//! Receiving, piece by piece: from batches to the volume.
//!
//! ```text
//! link ─> intake (check, digest) ─> staging ─ seal ─> apply ─> volume, flushed
//!                              └──> volume (a first copy, in place) ─ flush
//! ```
//!
//! A standby that has an image keeps it until a complete change set is durable in staging.

pub mod apply;
pub mod checkpoint;
pub mod digests;
pub mod in_place;
pub mod intake;
mod only;
pub mod open_sink;
pub mod staging;
