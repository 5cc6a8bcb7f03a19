//! Which pods hooks run in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use api::v1alpha1::HookSpec;
use planner::observe::HookTarget;

/// The most commands that are run for one cut; hooks that select more pods are refused.
pub const TARGETS_MAX: usize = 64;

/// Hooks can't be run.
#[derive(Debug, thiserror::Error)]
pub enum QuiesceError {
    /// The API server refused to list the pods.
    #[error("failed to list the pods of namespace {namespace}: {source}")]
    List {
        /// The namespace.
        namespace: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// More pods than [`TARGETS_MAX`].
    #[error("the hooks would run {found} commands, more than {TARGETS_MAX}; narrow podLabels")]
    TooMany {
        /// How many.
        found: usize,
    },
}

/// The pods in which `hooks` have to run now, in the order of the hooks: by their labels, else those
/// that use `claim`; only running ones. Empty when the application is stopped.
///
/// # Errors
/// When the pods can't be listed, or are too many.
pub async fn targets(
    client: &Client,
    namespace: &str,
    claim: &str,
    hooks: &[HookSpec],
) -> Result<Vec<HookTarget>, QuiesceError> {
    if hooks.is_empty() {
        return Ok(Vec::new());
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = api
        .list(&ListParams::default())
        .await
        .map_err(|source| QuiesceError::List {
            namespace: namespace.into(),
            source: Box::new(source),
        })?;
    select(claim, hooks, &pods.items)
}

fn select(claim: &str, hooks: &[HookSpec], pods: &[Pod]) -> Result<Vec<HookTarget>, QuiesceError> {
    let mut selected = Vec::new();
    for (hook, spec) in hooks.iter().enumerate() {
        let mut here: Vec<HookTarget> = pods
            .iter()
            .filter(|pod| is_running(pod) && is_meant(spec, claim, pod))
            .filter_map(|pod| {
                Some(HookTarget {
                    hook,
                    pod: pod.name_any(),
                    container: container(spec, pod)?,
                })
            })
            .collect();
        here.sort_by(|a, b| a.pod.cmp(&b.pod));
        selected.append(&mut here);
    }
    if selected.len() > TARGETS_MAX {
        return Err(QuiesceError::TooMany {
            found: selected.len(),
        });
    }
    Ok(selected)
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Running")
}

fn is_meant(hook: &HookSpec, claim: &str, pod: &Pod) -> bool {
    if hook.pod_labels.is_empty() {
        return uses(pod, claim);
    }
    has_labels(pod.labels(), &hook.pod_labels)
}

fn has_labels(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether the pod mounts the claim.
fn uses(pod: &Pod, claim: &str) -> bool {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .any(|source| source.claim_name == claim)
}

fn container(hook: &HookSpec, pod: &Pod) -> Option<String> {
    if let Some(named) = hook.container.as_ref().filter(|name| !name.is_empty()) {
        return Some(named.clone());
    }
    let first = pod.spec.as_ref()?.containers.first()?;
    Some(first.name.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, phase: &str, app: &str, claim: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": app, "tier": "x"}},
            "spec": {
                "containers": [{"name": "first"}, {"name": "second"}],
                "volumes": [
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "data", "persistentVolumeClaim": {"claimName": claim}},
                ],
            },
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    fn hook(labels: &[(&str, &str)], container: Option<&str>) -> HookSpec {
        serde_json::from_value(json!({
            "podLabels": labels.iter().copied().collect::<BTreeMap<_, _>>(),
            "container": container,
            "pre": ["true"],
        }))
        .unwrap()
    }

    #[test]
    fn hooks_run_in_the_running_pods_that_are_meant_and_nowhere_else() {
        let pods = [
            pod("db-1", "Running", "db", "data"),
            pod("db-0", "Running", "db", "data"),
            pod("db-2", "Pending", "db", "data"),
            pod("job", "Succeeded", "db", "data"),
            pod("web", "Running", "web", "other"),
        ];
        let hooks = [
            hook(&[], None),
            hook(&[("app", "web"), ("tier", "x")], Some("second")),
            hook(&[("app", "db"), ("tier", "y")], None),
        ];
        let selected = select("data", &hooks, &pods).unwrap();
        let text: Vec<String> = selected.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["0/db-0/first", "0/db-1/first", "1/web/second"]);
        for target in selected {
            assert_eq!(target.to_string().parse::<HookTarget>().unwrap(), target);
        }
    }

    #[test]
    fn too_many_pods_are_refused() {
        let pods: Vec<Pod> = (0..=TARGETS_MAX)
            .map(|n| pod(&format!("p{n}"), "Running", "a", "data"))
            .collect();
        let error = select("data", &[hook(&[], None)], &pods).unwrap_err();
        assert!(error.to_string().contains("65 commands"), "{error}");
    }
}
