//! Which change set a transfer carries, and how the last transfer went.

use serde::{Deserialize, Serialize};

use crate::units::{Epoch, Generation, HandshakeMode, Point, SiteName};

/// Which change set: from one cut to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CycleId {
    /// The cut that it leads to.
    pub cycle: Point,
    /// The cut that it counts from; `None` for a full copy.
    pub from: Option<Point>,
}

/// Who led a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMaster {
    /// The primary's site.
    pub site: SiteName,
    /// Its epoch.
    pub epoch: Epoch,
    /// That epoch's identity.
    pub generation: Generation,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTransfer {
    /// How the standby caught up.
    pub mode: HandshakeMode,
    /// The cut that it counted from; `None` for a full copy.
    pub from: Option<Point>,
    /// The cut that it led to.
    pub to: Point,
    /// Whether it came to its end.
    pub complete: bool,
    /// When it ended or was last heard of, in milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
}
