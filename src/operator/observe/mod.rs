//! Step 1, observe (client required): everything that a visit needs to know, read once.

mod assemble;
mod class_cache;
mod classes;
mod cluster;
mod model;
mod read;
mod timeline;

pub use assemble::{Listed, Surroundings, assemble, knows_its_volumes, needs_volume};
pub use class_cache::ClassCache;
pub use classes::Classes;
pub use cluster::{Error, address, observe};
pub use model::{
    Application, Claim, Cut, Fresh, MoverPod, Observed, PodUse, SiteView, SnapshotClasses,
    SourceClaim, StorageClassView, Volume, VolumeMode,
};
pub use timeline::{Timeline, VerifyMark, millis_between};
