//! What a side is, and the state of its image.

use serde::{Deserialize, Serialize};

use crate::units::Point;

/// The part that a site plays in its current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The application writes here.
    Primary,
    /// The copy is kept here; the device is closed until a promotion.
    Standby,
}

/// The state of a standby's image (semantics 1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageState {
    /// Nothing has been copied completely yet: can't be promoted.
    None,
    /// Exactly the primary at this point.
    Consistent(Point),
    /// A staged change set is complete; applying it makes the image exactly this point.
    Redo(Point),
    /// A copy in place is under way: can't be promoted until it ends.
    Inconsistent,
}

impl ImageState {
    /// The point that the image is at, or is once what is staged has been applied; `None` where it can't
    /// be promoted.
    #[must_use]
    pub fn promotable_point(self) -> Option<Point> {
        match self {
            ImageState::Consistent(point) | ImageState::Redo(point) => Some(point),
            ImageState::None | ImageState::Inconsistent => None,
        }
    }
}
