//! What a reconcile knows: plain data, made from the objects that the operator has read.

mod application;
mod assemble;
mod classes;
mod hooks;
mod model;
pub mod read;
#[cfg(test)]
pub(crate) mod samples;
mod snapshot_facts;
mod timeline;

pub use application::Application;
pub use assemble::{
    Attachment, Listed, Surroundings, assemble, needs_attachments, needs_labelled, needs_node,
    needs_volume, needs_workload, remembered,
};
pub use classes::Classes;
pub use hooks::{HookOutcome, HookReport, HookTarget, InvalidHookTarget};
pub use model::{
    Claim, Cut, Fresh, MoverPod, NodeSeen, Observed, PodUse, Replica, SiteView, SnapshotClasses,
    SourceClaim, StorageClassView, SuperblockSeen, Volume, VolumeMode, VolumeObject,
};
pub use snapshot_facts::{IncompleteSnapshot, SnapshotFacts};
pub use timeline::{Retry, Timeline, VerifyMark, millis_between};
