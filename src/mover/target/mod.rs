//! Receiving: from batches on the link to the volume.
//!
//! ```text
//! link ─> receive (check, digest) ─> staging ─ seal ─> apply ─> volume, flushed
//!                              └───> volume (a first copy, in place) ─ flush
//! ```
//!
//! A standby that has an image keeps it until a whole change set is durable in staging.

pub mod apply;
pub mod checkpoint;
pub mod digests;
pub mod in_place;
pub mod receive;
pub mod staging;
