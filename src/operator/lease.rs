//! One leader a cluster. The lease may pause our writes; it never fences data: epochs do.

use kube::Client;
use tokio::sync::watch;

/// Why there is no leadership to be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The lease can't be read or written.
    #[error("failed to hold Lease {lease}: {reason}")]
    Failed {
        /// `namespace/name`.
        lease: String,
        /// What happened.
        reason: String,
    },
    /// Another operator leads now.
    #[error("lost Lease {lease}; this process has to end so that it does nothing twice")]
    Lost {
        /// `namespace/name`.
        lease: String,
    },
}

/// The running election.
#[derive(Debug)]
pub struct Leadership {}

/// Takes part in the election for Lease `name`.
///
/// # Errors
/// When the lease can't be created.
pub async fn elect(
    client: Client,
    namespace: &str,
    name: &str,
    identity: &str,
) -> Result<Leadership, LeaseError> {
    todo!(
        "{} {namespace} {name} {identity}",
        client.default_namespace()
    )
}

impl Leadership {
    /// Returns when this process leads.
    ///
    /// # Errors
    /// When the election has ended.
    pub async fn acquired(&mut self) -> Result<(), LeaseError> {
        todo!()
    }

    /// Returns when leadership is lost: end the process then.
    pub async fn lost(&mut self) -> LeaseError {
        todo!()
    }

    /// Whether this process leads now, for readiness and metrics.
    #[must_use]
    pub fn leads(&self) -> watch::Receiver<bool> {
        todo!()
    }

    /// Gives the lease back, so that another operator need not wait for it to expire.
    pub async fn release(self) {
        todo!()
    }
}
