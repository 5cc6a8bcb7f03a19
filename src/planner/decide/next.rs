//! What comes after a phase of a cycle: a phase returns it and does not call its successor.

use api::Reason;
use api::v1alpha1::CyclePhase;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The phase goes on; what it waits for is not there yet.
    Stay,
    /// The next phase begins at once.
    Go(CyclePhase),
    /// The next phase begins at the next reconcile, when what was asked for now can be seen.
    Await(CyclePhase),
    /// The attempt failed, and the same cut is tried again after a pause.
    Retry(Reason, String),
    /// The cycle failed.
    Failed(Reason, String),
    /// The cycle is over.
    Ended,
}
