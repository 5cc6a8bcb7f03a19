//! Why a list of extents is unavailable, as sentences for status.

use tonic::{Code, Status};

/// Why a list of extents is unavailable, or has broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct MetadataError {
    /// How much of the driver's help is still worth trying.
    pub trust: Trust,
    /// Why, as the second half of "fell a change source, because …".
    pub because: String,
}

/// How much of the driver's help is still worth trying after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// This driver has no changed-block tracking, or not for this kind of volume: ask for neither
    /// list in this cycle.
    None,
    /// This delta is unavailable (its base is unknown, of another volume, or tracking is off);
    /// the allocated list may be.
    NoDelta,
    /// A passing trouble: the same question may succeed in the next cycle.
    Later,
    /// What came in contradicts itself: nothing of it may be used.
    Broken,
}

/// Which list was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum List {
    Allocated,
    Delta,
}

impl List {
    fn noun(self) -> &'static str {
        match self {
            List::Allocated => "its list of allocated blocks",
            List::Delta => "its list of changed blocks",
        }
    }
}

impl MetadataError {
    pub(super) fn new(trust: Trust, because: impl Into<String>) -> MetadataError {
        MetadataError {
            trust,
            because: because.into(),
        }
    }

    /// What came in contradicts itself.
    pub(super) fn broken(what: impl std::fmt::Display) -> MetadataError {
        MetadataError::new(
            Trust::Broken,
            format!("the driver's list can't be trusted: {what}"),
        )
    }

    /// What the service answered to the question for `list`.
    pub(super) fn of_status(driver: &str, list: List, status: &Status) -> MetadataError {
        let said = status.message();
        let noun = list.noun();
        // A delta that is unavailable says nothing about the allocated list; the other way round there
        // is nothing left.
        let lower = match list {
            List::Delta => Trust::NoDelta,
            List::Allocated => Trust::None,
        };
        let (trust, because) = match status.code() {
            Code::Unimplemented => (
                lower,
                format!("driver {driver} does not serve {noun}: {said}"),
            ),
            Code::FailedPrecondition => (
                lower,
                format!("driver {driver} does not track changed blocks of this volume: {said}"),
            ),
            Code::InvalidArgument => (
                lower,
                format!("driver {driver} does not serve {noun} for this volume: {said}"),
            ),
            Code::NotFound | Code::OutOfRange if list == List::Delta => (
                Trust::NoDelta,
                format!("driver {driver} does not know the last cycle's snapshot any more: {said}"),
            ),
            Code::Unauthenticated | Code::PermissionDenied => (
                Trust::Later,
                format!(
                    "driver {driver} does not let the operator ask for {noun}: {said}; grant its \
                     ServiceAccount get on volumesnapshots and create on serviceaccounts/token"
                ),
            ),
            code => (
                Trust::Later,
                format!("driver {driver} failed to serve {noun} ({code:?}): {said}"),
            ),
        };
        MetadataError { trust, because }
    }
}

/// Whether asking again from where the list broke can help.
pub(super) fn is_resumable(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Internal
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::Unauthenticated
    )
}
