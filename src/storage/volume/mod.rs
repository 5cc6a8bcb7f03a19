//! Block devices and images: what changed, reading it, applying it, comparing. Depends on `seam`,
//! `wire` (blocks, batches) and `units`. All of it blocks; callers give it threads of its own.
//!
//! Reading: a change source ([`Changes`]) says which ranges to look at, the [`Reader`] reads them
//! with a bounded number of open slots, finds zeros, hashes each block once, leaves out what is known
//! to be the same, and hands on batches in order of position. Applying: the [`Applier`] writes batches
//! with several writes under way and flushes.

mod apply;
mod apply_queue;
mod changes;
mod coalesce;
mod compare;
mod device;
pub mod digest;
mod failed_writes;
mod file_system;
mod isolate;
mod jobs;
mod reader;
mod scan;
mod slots;
mod step_reader;
mod writer;
mod zero;

pub use apply::{Applier, ApplyError, ApplyReport, Written};
pub use changes::{Change, ChangeError, Changes, allocated, everything, given};
pub use compare::digest_blocks;
pub use device::{DeviceError, open_source, open_target};
pub use failed_writes::FailedWrites;
pub use file_system::has_file_system;
pub use reader::{Known, ReadBatch, ReadCounters, ReadError, Reader, ReaderConfig, SLOT_BYTES};
pub use slots::{OpenSlot, SlotState};
pub use step_reader::{Step, StepReader};
pub use zero::is_zero;
