//! Why claims and volumes can't be read or re-bound.

use planner::rebind::RebindError;

/// Why a re-binding does not go on now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A person has to do something first.
    #[error(transparent)]
    Held(#[from] RebindError),
    /// The API server refused.
    #[error("failed to {action}: {source}")]
    Api {
        /// What was tried, with the object's name.
        action: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Whether somebody else wrote the object since it was read.
#[must_use]
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Whether there is no such object, or no such kind.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What the API server refused, as an [`Error::Api`].
pub fn failed(action: impl FnOnce() -> String) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error::Api {
        action: action(),
        source: Box::new(source),
    }
}
