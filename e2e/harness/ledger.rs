//! What the application has acknowledged, kept outside the cluster: the highest order of each of its
//! pods' logs, whichever pods come and go.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

use super::scene::Scene;

/// Time between two looks for new pods.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Follows the logs of an application's pods until it is dropped.
pub struct Ledger {
    highest: Arc<AtomicU64>,
    keeper: JoinHandle<()>,
}

impl Ledger {
    /// Follows every pod with the label `app=NAME`, those of now and those to come.
    #[must_use]
    pub fn keep(scene: &Scene, name: &str) -> Ledger {
        let highest = Arc::new(AtomicU64::new(0));
        let pods: Api<Pod> = scene.api();
        let keeper = tokio::spawn(keep(pods, format!("app={name}"), highest.clone()));
        Ledger { highest, keeper }
    }

    /// The highest order that was acknowledged so far.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest.load(Ordering::SeqCst)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(pods: Api<Pod>, label: String, highest: Arc<AtomicU64>) {
    let mut followed = HashSet::new();
    let mut logs = tokio::task::JoinSet::new();
    loop {
        let found = pods.list(&ListParams::default().labels(&label)).await;
        for pod in found.iter().flatten() {
            let running = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            if running == Some("Running") && followed.insert(pod.uid()) {
                logs.spawn(follow(pods.clone(), pod.name_any(), highest.clone()));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn follow(pods: Api<Pod>, pod: String, highest: Arc<AtomicU64>) {
    let params = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let Ok(log) = pods.log_stream(&pod, &params).await else {
        return;
    };
    let mut lines = log.lines();
    while let Ok(Some(line)) = lines.try_next().await {
        let id = line
            .strip_prefix("order ")
            .and_then(|id| id.trim().parse().ok());
        highest.fetch_max(id.unwrap_or(0), Ordering::SeqCst);
    }
}
