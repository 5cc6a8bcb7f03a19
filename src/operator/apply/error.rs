//! Why an action failed.

use crate::ca::CaError;
use crate::link::MoverLinkError;
use crate::quiesce::QuiesceError;
use protocol::units::SiteName;

/// Why an action failed. It is decided on again at the next reconcile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused.
    #[error("failed to {action}: {source}")]
    Api {
        /// What was tried, with the object's name.
        action: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// A mover did not take a request.
    #[error("failed to ask the mover at site {site}: {source}")]
    Mover {
        /// The site.
        site: SiteName,
        /// What happened.
        #[source]
        source: Box<MoverLinkError>,
    },
    /// The mover that a request is for is not there.
    #[error("failed to ask the mover at site {site}: it has no running pod")]
    NoMover {
        /// The site.
        site: SiteName,
    },
    /// An object of the name is not the pair's.
    #[error("{object} exists but is not this pair's; rename or delete it, then Ferry goes on")]
    NameTaken {
        /// Kind and name.
        object: String,
    },
    /// A certificate is unavailable.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// Hooks can't be run.
    #[error(transparent)]
    Quiesce(#[from] QuiesceError),
    /// Claims can't be bound as desired without a person.
    #[error(transparent)]
    Rebind(#[from] cluster::Error),
    /// The application's kind is not served.
    #[error("failed to scale the application: {0}")]
    Kind(String),
}

impl Error {
    /// Whether the object was changed since it was read.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Api { source, .. } if cluster::is_conflict(source))
    }

    /// As it is reported to people, and whether it was refused; otherwise somebody could not be reached. The API
    /// server's own words stand for themselves.
    #[must_use]
    pub fn reported(&self) -> (String, bool) {
        match self {
            Error::Api { source, .. } => api_words(source, self),
            Error::Rebind(cluster::Error::Api { action, source }) => {
                let (words, refused) = api_words(source, self);
                let words = if refused {
                    format!("{action}: {words}")
                } else {
                    words
                };
                (words, refused)
            }
            Error::Certificate(CaError::Api { source, .. }) => api_words(source, self),
            Error::Rebind(cluster::Error::Held(held)) => (held.to_string(), true),
            Error::NameTaken { .. } | Error::Kind(_) | Error::Certificate(_) => {
                (self.to_string(), true)
            }
            Error::Mover { .. } | Error::NoMover { .. } | Error::Quiesce(_) => {
                (self.to_string(), false)
            }
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Error::Api { .. } | Error::NameTaken { .. } => "api",
            Error::Mover { .. } | Error::NoMover { .. } => "mover",
            Error::Certificate(_) => "certificate",
            Error::Quiesce(_) => "quiesce",
            Error::Rebind(_) => "rebind",
            Error::Kind(_) => "application",
        }
    }
}

/// What the API server said where it answered. A conflict, and too many requests, are no refusals.
fn api_words(source: &kube::Error, error: &Error) -> (String, bool) {
    match source {
        kube::Error::Api(status) => (
            status.message.clone(),
            !matches!(status.code, 409 | 410 | 429 | 503 | 504),
        ),
        _ => (error.to_string(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn refused(code: u16, message: &str) -> Error {
        let status = Status::failure(message, "Forbidden").with_code(code);
        Error::Api {
            action: "create Pod shop/orders-east-mover".into(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        }
    }

    /// K-8: what the API server says is passed on as it is.
    #[test]
    fn k_8_the_words_of_the_api_server_are_kept() {
        let words =
            "pods \"orders-east-mover\" is forbidden: violates PodSecurity \"restricted:latest\"";
        assert_eq!(refused(403, words).reported(), (words.to_string(), true));
        assert!(!refused(503, "apiserver is shutting down").reported().1);
    }
}
