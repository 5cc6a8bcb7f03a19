//! What people set on the movers' pods: where they may run, who leaves them alone, and as whom they run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, Pod, PodSecurityContext, PodSpec, ResourceRequirements, SecurityContext,
    Toleration, TopologySpreadConstraint,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Labels that have service meshes leave a pod alone: a mover speaks TLS of its own, and a proxy beside it
/// would keep its pod from ending.
const MESH_LABELS: [(&str, &str); 2] = [
    ("sidecar.istio.io/inject", "false"),
    ("kuma.io/sidecar-injection", "disabled"),
];
/// The same, for meshes that look at annotations.
const MESH_ANNOTATIONS: [(&str, &str); 3] = [
    ("sidecar.istio.io/inject", "false"),
    ("linkerd.io/inject", "disabled"),
    ("consul.hashicorp.com/connect-inject", "false"),
];

/// What is set on every mover's pod, beside what Ferry itself needs there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MoverTemplate {
    /// Labels. One that Ferry sets itself stays what it is.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Taints that movers tolerate, beside those of a node that is lost.
    pub tolerations: Vec<Toleration>,
    /// Where movers may and should run.
    pub affinity: Option<Affinity>,
    /// How movers are spread.
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Requests and limits, over those that follow from the memory budget.
    pub resources: Option<ResourceRequirements>,
    /// The runtime class.
    pub runtime_class_name: Option<String>,
    /// Fields of the pod's security context, over Ferry's.
    pub pod_security_context: Option<PodSecurityContext>,
    /// Fields of the container's security context, over Ferry's.
    pub security_context: Option<SecurityContext>,
}

impl MoverTemplate {
    /// The pod with what is set.
    pub(super) fn on(&self, mut pod: Pod) -> Pod {
        let owned = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
            let all = all.iter();
            all.map(|(key, value)| ((*key).into(), (*value).into()))
                .collect()
        };
        let mut labels = owned(&MESH_LABELS);
        labels.extend(self.labels.clone());
        labels.extend(pod.metadata.labels.take().unwrap_or_default());
        pod.metadata.labels = Some(labels);
        let mut annotations = owned(&MESH_ANNOTATIONS);
        annotations.extend(self.annotations.clone());
        pod.metadata.annotations = Some(annotations);
        pod.spec = pod.spec.map(|spec| self.on_spec(spec));
        pod
    }

    fn on_spec(&self, mut spec: PodSpec) -> PodSpec {
        let tolerations = spec.tolerations.get_or_insert_default();
        tolerations.extend(self.tolerations.clone());
        spec.affinity.clone_from(&self.affinity);
        let spread = &self.topology_spread_constraints;
        spec.topology_spread_constraints = (!spread.is_empty()).then(|| spread.clone());
        spec.runtime_class_name.clone_from(&self.runtime_class_name);
        spec.security_context = over(spec.security_context, self.pod_security_context.as_ref());
        let on_container = |container| self.on_container(container);
        spec.containers = spec.containers.into_iter().map(on_container).collect();
        spec
    }

    fn on_container(&self, mut container: Container) -> Container {
        container.resources = over(container.resources, self.resources.as_ref());
        container.security_context =
            over(container.security_context, self.security_context.as_ref());
        container
    }
}

/// `ours` with each field that `theirs` names.
fn over<T: Clone + Serialize + DeserializeOwned>(ours: Option<T>, theirs: Option<&T>) -> Option<T> {
    let Some(theirs) = theirs else {
        return ours;
    };
    let merged = || {
        let mut value = serde_json::to_value(&ours).ok()?;
        merge(&mut value, serde_json::to_value(theirs).ok()?);
        serde_json::from_value(value).ok()
    };
    merged().or_else(|| Some(theirs.clone()))
}

/// Sets each field of `theirs` in `ours`, however deep it is.
fn merge(ours: &mut Value, theirs: Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in theirs {
                merge(ours.entry(key).or_insert(Value::Null), value);
            }
        }
        (ours, theirs) => *ours = theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Device;
    use crate::render::mover::tests::pod_with;
    use api::names;
    use serde_json::json;

    fn pod(template: Value) -> Value {
        let template = serde_json::from_value(template).unwrap();
        let device = Device::Replica("orders-west-replica".into());
        serde_json::to_value(pod_with(&device, template)).unwrap()
    }

    /// K-11: whatever a cluster's rules ask for can be set, and nothing of Ferry's own gets lost by it.
    #[test]
    fn what_is_set_is_on_the_pod_and_the_rest_stays() {
        let pod = pod(json!({
            "labels": {"team": "storage", names::PAIR_LABEL: "another"},
            "annotations": {"note": "x"},
            "tolerations": [{"key": "storage", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "resources": {"limits": {"cpu": "2"}},
            "runtimeClassName": "kata",
            "podSecurityContext": {"runAsNonRoot": true, "fsGroup": 65532},
            "securityContext": {"runAsUser": 65532},
        }));
        let at = |path: &str| pod.pointer(path).cloned().unwrap_or_default();
        assert_eq!(at("/metadata/labels/team"), "storage");
        assert_eq!(at("/metadata/labels/ferry.dev~1pair"), "orders");
        assert_eq!(at("/metadata/annotations/note"), "x");
        assert_eq!(at("/spec/tolerations").as_array().map(Vec::len), Some(3));
        assert_eq!(at("/spec/affinity"), json!({"nodeAffinity": {}}));
        assert_eq!(at("/spec/topologySpreadConstraints/0/topologyKey"), "zone");
        assert_eq!(at("/spec/containers/0/resources/limits/cpu"), "2");
        assert!(at("/spec/containers/0/resources/limits/memory").is_string());
        assert_eq!(at("/spec/runtimeClassName"), "kata");
        assert_eq!(at("/spec/securityContext/fsGroup"), 65532);
        assert_eq!(
            at("/spec/securityContext/seccompProfile/type"),
            "RuntimeDefault"
        );
        assert_eq!(at("/spec/containers/0/securityContext/runAsUser"), 65532);
        let drop = at("/spec/containers/0/securityContext/capabilities/drop");
        assert_eq!(drop, json!(["ALL"]));
    }

    /// K-11, K-28: meshes leave movers alone, and nothing of a mover's keeps a node from being drained.
    #[test]
    fn a_mover_has_no_proxy_and_does_not_stand_in_the_way_of_a_drain() {
        let pod = pod(json!({}));
        assert_eq!(
            pod.pointer("/metadata/labels/sidecar.istio.io~1inject"),
            Some(&json!("false"))
        );
        assert_eq!(
            pod.pointer("/metadata/annotations/linkerd.io~1inject"),
            Some(&json!("disabled"))
        );
        let volumes = pod.pointer("/spec/volumes").unwrap().as_array().unwrap();
        assert!(
            volumes
                .iter()
                .all(|volume| volume.get("emptyDir").is_none())
        );
    }

    #[test]
    fn a_field_that_does_not_exist_is_named() {
        let error = serde_json::from_value::<MoverTemplate>(json!({"tolerance": []})).unwrap_err();
        assert!(error.to_string().contains("tolerance"), "{error}");
    }
}
