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
    /// A mover did not take an order.
    #[error("failed to order the mover at site {site}: {source}")]
    Mover {
        /// The site.
        site: SiteName,
        /// What happened.
        #[source]
        source: Box<MoverLinkError>,
    },
    /// The mover that an order is for is not there.
    #[error("failed to order the mover at site {site}: it has no running pod")]
    NoMover {
        /// The site.
        site: SiteName,
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
    /// A word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Error::Api { .. } => "api",
            Error::Mover { .. } | Error::NoMover { .. } => "mover",
            Error::Certificate(_) => "certificate",
            Error::Quiesce(_) => "quiesce",
            Error::Rebind(_) => "rebind",
            Error::Kind(_) => "application",
        }
    }
}
