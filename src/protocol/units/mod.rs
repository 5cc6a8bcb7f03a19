//! The vocabulary: newtypes that every other layer shares. Depends on `std`, `serde` and `uuid`.

mod change_source;
mod decision;
mod extent;
mod failed_range;
mod identity;
mod lineage;
mod peer;
mod point;
mod progress;
mod state;

pub use change_source::{ChangeSource, ChangeSourceUse};
pub use decision::{Decision, HandshakeMode, HandshakeRow};
pub use extent::{Extent, ExtentSet};
pub use failed_range::FailedRange;
pub use identity::{InvalidName, PairId, PairName, SiteName, VolumeId};
pub use lineage::{EPOCHS_KEPT, Generation, Lineage, LineageEntry};
pub use peer::{InvalidPeerName, PeerName};
pub use point::{Epoch, Point, Seq};
pub use progress::{CyclePhase, Progress};
pub use state::{ImageState, Role};
