//! The operator's admin HTTP: `/livez`, `/readyz`, `/metrics`, `/version`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio_util::sync::CancellationToken;

use crate::operator::metrics::Metrics;

/// What the readiness probe says. An operator that waits for the lease is ready too: it could take
/// over. Liveness says only that the runtime turns; it never depends on the API server.
#[derive(Clone, Debug, Default)]
pub struct Health {
    ready: Arc<AtomicBool>,
}

impl Health {
    /// Says whether everything that has to be there first is there.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
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

#[derive(Clone)]
struct Admin {
    health: Health,
    metrics: Arc<Metrics>,
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
    let failed = |source| AdminError { address, source };
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(failed)?;
    let router = router(Admin { health, metrics });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(failed)
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(admin)
}

fn readyz(State(admin): State<Admin>) -> std::future::Ready<(StatusCode, &'static str)> {
    std::future::ready(if admin.health.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    })
}

fn metrics(State(admin): State<Admin>) -> std::future::Ready<impl IntoResponse> {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = admin.metrics.encode(jiff::Timestamp::now());
    std::future::ready(([(header::CONTENT_TYPE, TYPE)], text))
}

fn version() -> std::future::Ready<Json<serde_json::Value>> {
    let version = serde_json::json!({"version": env!("CARGO_PKG_VERSION")});
    std::future::ready(Json(version))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        (status, String::from_utf8(body.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_probes_and_the_metrics_answer() {
        let health = Health::default();
        let router = router(Admin {
            health: health.clone(),
            metrics: Arc::new(Metrics::new()),
        });
        assert_eq!(ask(&router, "/livez").await.0, StatusCode::OK);
        assert_eq!(
            ask(&router, "/readyz").await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        health.set_ready(true);
        assert_eq!(ask(&router, "/readyz").await.0, StatusCode::OK);
        let (status, text) = ask(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("ferry_build_info"), "{text}");
        let (_, text) = ask(&router, "/version").await;
        assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
        assert_eq!(ask(&router, "/log-level").await.0, StatusCode::NOT_FOUND);
    }
}
