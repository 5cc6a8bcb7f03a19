//! The next step, from what is there and what is wished. Pure.

use crate::operator::rebind::{RebindError, RebindView, RebindWish, Step};

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Do this, then observe again.
    Do(Step),
    /// Observe again later; nothing can be done now.
    Wait(Wait),
    /// Everything is as wished.
    Done,
}

/// What a re-binding waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Pods still use a claim.
    InUse {
        /// The claim.
        claim: String,
        /// The pods.
        pods: Vec<String>,
    },
    /// A claim is being deleted.
    ClaimGone {
        /// The claim.
        claim: String,
        /// Finalizers that hold it.
        finalizers: Vec<String>,
    },
    /// A claim is being bound.
    Bound {
        /// The claim.
        claim: String,
        /// The PersistentVolume.
        volume: String,
    },
    /// A superseded PersistentVolume object is being deleted.
    VolumeGone {
        /// Its name.
        volume: String,
        /// Finalizers that hold it.
        finalizers: Vec<String>,
    },
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The next step towards `wish`.
///
/// # Errors
/// When a person has to act first; the message says how.
pub fn next(view: &RebindView, wish: &RebindWish) -> Result<Next, RebindError> {
    todo!("{view:?} {wish:?}")
}
