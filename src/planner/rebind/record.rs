//! What is kept of the application's claim while it is deleted and made again.

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use crate::rebind::object::foreign_finalizers;
use protocol::units::PairName;

/// What is kept of the application's claim, in a ConfigMap that the pair owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRecord {
    /// The claim, ready to be created again but for `spec.volumeName`.
    pub claim: PersistentVolumeClaim,
    /// File system on the volume, from the PersistentVolume that the claim was bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_type: Option<String>,
    /// Mount options, from the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
}

/// The key in the ConfigMap.
pub const RECORD_KEY: &str = "claim.json";

/// The ConfigMap's name.
#[must_use]
pub fn record_name(pair: &str) -> String {
    format!("{pair}-rebind")
}

impl ClaimRecord {
    /// What has to be kept of `claim`, which is bound to `volume`.
    #[must_use]
    pub fn of(claim: &PersistentVolumeClaim, volume: Option<&PersistentVolume>) -> ClaimRecord {
        let spec = volume.and_then(|volume| volume.spec.as_ref());
        let fs_type = spec.and_then(|spec| spec.csi.as_ref()?.fs_type.clone());
        ClaimRecord {
            claim: fit_to_create(claim),
            fs_type,
            mount_options: spec
                .and_then(|spec| spec.mount_options.clone())
                .unwrap_or_default(),
        }
    }

    /// A claim of which nothing is known but the volume that it was bound to: its size, class, mode and
    /// file system, without its labels and annotations.
    #[must_use]
    pub fn by_volume(pair: &PairName, claim: &str, volume: &PersistentVolume) -> ClaimRecord {
        let spec = volume.spec.clone().unwrap_or_default();
        let claim = PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(claim.into()),
                namespace: Some(pair.namespace().into()),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: spec.access_modes,
                resources: Some(VolumeResourceRequirements {
                    requests: spec.capacity,
                    ..VolumeResourceRequirements::default()
                }),
                storage_class_name: spec.storage_class_name,
                volume_mode: spec.volume_mode,
                ..PersistentVolumeClaimSpec::default()
            }),
            status: None,
        };
        ClaimRecord::of(&claim, Some(volume))
    }

    /// The claim, bound to `volume`.
    #[must_use]
    pub fn bound_to(&self, volume: &str) -> PersistentVolumeClaim {
        let mut claim = self.claim.clone();
        if let Some(spec) = &mut claim.spec {
            spec.volume_name = Some(volume.into());
        }
        claim
    }
}

/// The claim without what the API server and the volume controllers have written into it.
fn fit_to_create(claim: &PersistentVolumeClaim) -> PersistentVolumeClaim {
    let meta = &claim.metadata;
    let annotations = meta.annotations.clone().map(|mut annotations| {
        annotations.retain(|key, _| !is_of_binding(key));
        annotations
    });
    let finalizers = foreign_finalizers(claim);
    // A StatefulSet makes its pod the owner of a claim that is to go with it (K-21): the next claim is not.
    let owners = meta.owner_references.clone().map(|mut owners| {
        owners.retain(|owner| owner.kind != "Pod");
        owners
    });
    let mut spec = claim.spec.clone();
    if let Some(spec) = &mut spec {
        spec.volume_name = None;
    }
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            labels: meta.labels.clone(),
            annotations: annotations.filter(|annotations| !annotations.is_empty()),
            owner_references: owners.filter(|owners| !owners.is_empty()),
            finalizers: (!finalizers.is_empty()).then_some(finalizers),
            ..ObjectMeta::default()
        },
        spec,
        status: None,
    }
}

/// Whether an annotation tells how the claim came to its present volume.
fn is_of_binding(key: &str) -> bool {
    key.starts_with("pv.kubernetes.io/")
        || matches!(
            key,
            "volume.kubernetes.io/selected-node"
                | "volume.kubernetes.io/storage-provisioner"
                | "volume.beta.kubernetes.io/storage-provisioner"
        )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_kept_as_its_people_made_it() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {
                "name": "data", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-11-21T00:00:00Z", "generation": 2,
                "labels": {"app": "db"},
                "annotations": {
                    "team": "orders",
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    "pv.kubernetes.io/bind-completed": "yes",
                    "pv.kubernetes.io/bound-by-controller": "yes",
                    "volume.kubernetes.io/selected-node": "n1",
                    "volume.kubernetes.io/storage-provisioner": "d",
                    "volume.beta.kubernetes.io/storage-provisioner": "d",
                },
                "finalizers": ["kubernetes.io/pvc-protection", "example.com/audit"],
                "managedFields": [{"manager": "kubectl"}],
                "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s"},
                    {"apiVersion": "v1", "kind": "Pod", "name": "db-0", "uid": "p"},
                ],
            },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "2Gi"}},
                "storageClassName": "fast", "volumeMode": "Filesystem", "volumeName": "pv-1",
                "dataSource": {"kind": "VolumeSnapshot", "name": "seed",
                    "apiGroup": "snapshot.storage.k8s.io"},
            },
            "status": {"phase": "Bound"},
        }))
        .unwrap();
        let volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": {"name": "pv-1"},
            "spec": {"csi": {"driver": "d", "volumeHandle": "h", "fsType": "xfs"},
                "mountOptions": ["noatime"]},
        }))
        .unwrap();
        let record = ClaimRecord::of(&claim, Some(&volume));
        assert_eq!(record.fs_type.as_deref(), Some("xfs"));
        assert_eq!(record.mount_options, ["noatime"]);
        let text = serde_json::to_string(&record).unwrap();
        let read: ClaimRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read, record);
        let again = serde_json::to_value(read.bound_to("pv-2")).unwrap();
        let mut expected = serde_json::to_value(&claim).unwrap();
        let meta = expected["metadata"].as_object_mut().unwrap();
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            meta.remove(field);
        }
        meta["annotations"] = json!({
            "team": "orders",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        });
        meta["finalizers"] = json!(["example.com/audit"]);
        meta["ownerReferences"].as_array_mut().unwrap().pop();
        expected["spec"]["volumeName"] = json!("pv-2");
        expected.as_object_mut().unwrap().remove("status");
        assert_eq!(again, expected);
    }
}
