//! The operator's pod: found, killed, read, measured.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, LogParams};
use kube::{Api, ResourceExt};

use super::install;
use super::lab::{Lab, OPERATOR_NAMESPACE};
use super::wait::{Probe, secs, until};

/// Labels of the operator's pod.
const SELECTOR: &str = "app.kubernetes.io/name=ferry,app.kubernetes.io/component=operator";

fn pods(lab: &Lab) -> Api<Pod> {
    Api::namespaced(lab.client.clone(), OPERATOR_NAMESPACE)
}

async fn running(lab: &Lab) -> Result<Vec<Pod>> {
    let all = pods(lab)
        .list(&ListParams::default().labels(SELECTOR))
        .await?
        .items;
    Ok(all
        .into_iter()
        .filter(|p| p.metadata.deletion_timestamp.is_none())
        .collect())
}

/// Kills the operator: its pod is deleted without any grace, so no handler of its own runs.
///
/// # Errors
/// When there is no operator pod, or the API server refuses.
pub async fn kill(lab: &Lab) -> Result<()> {
    let victims = running(lab).await?;
    anyhow::ensure!(!victims.is_empty(), "there is no operator pod to kill");
    for pod in victims {
        let gone = pods(lab)
            .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
            .await;
        match gone {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error).context("failed to kill the operator's pod"),
        }
    }
    Ok(())
}

/// Kills the operator and waits until another one is ready.
///
/// # Errors
/// When it does not become ready.
pub async fn kill_and_wait(lab: &Lab) -> Result<()> {
    kill(lab).await?;
    install::ready(lab).await
}

/// Replaces the operator's pod in an orderly way and waits until another one runs.
///
/// # Errors
/// When none comes up within a minute.
pub async fn restart(lab: &Lab) -> Result<()> {
    let old: Vec<String> = running(lab)
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    for name in &old {
        pods(lab).delete(name, &DeleteParams::default()).await?;
    }
    until("another operator pod", secs(60), || async {
        let now = running(lab).await?;
        let fresh = now
            .iter()
            .any(|p| !old.contains(&p.name_any()) && is_ready(p));
        Ok(Probe::<()>::when(
            fresh,
            format!("{} pods, none of them new and ready", now.len()),
        ))
    })
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// The last lines of the operator's log, also of the container that ran before.
pub async fn logs(lab: &Lab, lines: i64) -> String {
    let mut text = String::new();
    for pod in running(lab).await.unwrap_or_default() {
        for previous in [true, false] {
            let params = LogParams {
                tail_lines: Some(lines),
                previous,
                ..LogParams::default()
            };
            if let Ok(log) = pods(lab).logs(&pod.name_any(), &params).await {
                text.push_str(&log);
            }
        }
    }
    text
}

/// How often the operator's container was restarted by the kubelet: it must never crash.
///
/// # Errors
/// When the API server does not answer.
pub async fn restarts(lab: &Lab) -> Result<i32> {
    Ok(running(lab)
        .await?
        .iter()
        .flat_map(|p| p.status.iter())
        .flat_map(|s| s.container_statuses.iter().flatten())
        .map(|c| c.restart_count)
        .sum())
}

/// The operator's pod's uid, by which its cgroup is found.
///
/// # Errors
/// When there is none.
pub async fn uid(lab: &Lab) -> Result<String> {
    let pod = running(lab)
        .await?
        .pop()
        .context("there is no operator pod")?;
    pod.uid().context("the operator's pod has no uid")
}
