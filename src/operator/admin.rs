//! The operator's admin HTTP: `/livez`, `/readyz`, `/metrics`, `/version`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::operator::metrics::Metrics;

/// What the probes say.
#[derive(Clone, Debug, Default)]
pub struct Health {}

impl Health {
    /// Says that everything which has to be read first has been read.
    pub fn set_ready(&self, ready: bool) {
        todo!("{ready}")
    }
}

/// Why the admin server has ended.
#[derive(Debug, thiserror::Error)]
#[error("failed to serve the admin address {address}: {source}")]
pub struct AdminError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Serves until `stop` is cancelled.
///
/// # Errors
/// When the address can't be listened on.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<(), AdminError> {
    todo!("{address} {health:?} {metrics:?} {stop:?}")
}
