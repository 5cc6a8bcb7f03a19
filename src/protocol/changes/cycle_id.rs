//! Which change set a transfer carries.

use serde::{Deserialize, Serialize};

use crate::units::Point;

/// Which change set: from one cut to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CycleId {
    /// The cut that it leads to.
    pub cycle: Point,
    /// The cut that it counts from; `None` for a full copy.
    pub from: Option<Point>,
}
