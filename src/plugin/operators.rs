//! Which operators a cluster runs, found by the labels that the chart gives their Deployments.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::connect::answer;

/// Labels of an operator's Deployment.
const LABELS: &str = "app.kubernetes.io/name=ferry,app.kubernetes.io/component=operator";

/// An operator that a cluster runs.
#[derive(Debug)]
pub(crate) struct Operator {
    /// The namespace of its Deployment.
    pub(crate) namespace: String,
    /// The name of its Deployment.
    pub(crate) name: String,
    /// Its version; `None` where the Deployment does not say.
    pub(crate) version: Option<String>,
    /// How many of its pods are ready.
    pub(crate) ready: i32,
}

/// All of them.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub(crate) async fn find(client: &Client) -> anyhow::Result<Vec<Operator>> {
    let api = Api::<Deployment>::all(client.clone());
    let found = answer(api.list(&ListParams::default().labels(LABELS))).await?;
    let operator = |deployment: &Deployment| {
        let status = deployment.status.as_ref();
        Operator {
            namespace: deployment.namespace().unwrap_or_default(),
            name: deployment.name_any(),
            version: deployment
                .labels()
                .get("app.kubernetes.io/version")
                .cloned(),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
        }
    };
    Ok(found.iter().map(operator).collect())
}
