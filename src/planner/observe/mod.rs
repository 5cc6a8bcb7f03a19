//! What a reconcile knows: plain data, read once by the operator.

mod hooks;
mod model;
mod snapshot_facts;
mod timeline;

pub use hooks::{HookOutcome, HookReport, HookTarget, InvalidHookTarget};
pub use model::{
    Application, Claim, Cut, Fresh, MoverPod, Observed, PodUse, SiteView, SnapshotClasses,
    SourceClaim, StorageClassView, Volume, VolumeMode,
};
pub use snapshot_facts::SnapshotFacts;
pub use timeline::{Timeline, VerifyMark, millis_between};
