//! Why a list of extents can't be had, as sentences for status.

/// Why a list of extents can't be had, or has broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct MetadataError {
    /// How much of the driver's help is still worth trying.
    pub trust: Trust,
    /// Why, as the second half of "fell a rung, because …".
    pub because: String,
}

/// How much of the driver's help is still worth trying after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// This driver has no changed-block tracking, or not for this kind of volume: ask for neither
    /// list again until the driver or the claim changes.
    None,
    /// This delta is not to be had (its base is unknown, of another volume, or tracking is off);
    /// the allocated list may be.
    NoDelta,
    /// A passing trouble: the same question may succeed in the next cycle.
    Later,
    /// What came in contradicts itself: nothing of it may be used.
    Broken,
}
