//! What people have applied before a run begins: classes, the application's claim, the pair.

use api::ReplicationPair;
use api::snapshots::VolumeSnapshotClass;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::json;

use crate::cluster::world::{APP_CLAIM, PAIR, SITES};

/// All of it.
pub(crate) struct Manifests {
    /// A storage class a site, of a driver of its own.
    pub(crate) storage_classes: Vec<StorageClass>,
    /// A snapshot class a driver.
    pub(crate) snapshot_classes: Vec<VolumeSnapshotClass>,
    /// The application's claim.
    pub(crate) claim: PersistentVolumeClaim,
    /// The pair.
    pub(crate) pair: ReplicationPair,
}

impl Manifests {
    /// Those of a cluster whose volumes are bound in this mode, whose cycles have this interval, and whose
    /// application has a volume of so many bytes and is perhaps held for each cut.
    ///
    /// # Errors
    /// When one of them is no such object, which is a defect of ours.
    pub(crate) fn new(
        mode: &str,
        interval: &str,
        bytes: u64,
        held: bool,
    ) -> Result<Manifests, serde_json::Error> {
        let [east, west] = SITES;
        let hook = json!({"pre": ["lock"], "post": ["unlock"]});
        let hooks: Vec<_> = held.then_some(hook).into_iter().collect();
        let storage_class = |name: &str, site: &str| {
            serde_json::from_value(json!({
                "metadata": {"name": name}, "provisioner": format!("{site}.csi"),
                "reclaimPolicy": "Delete", "volumeBindingMode": mode, "allowVolumeExpansion": true,
            }))
        };
        let snapshot_class = |site: &str| {
            serde_json::from_value(json!({
                "metadata": {"name": format!("snap-{site}")}, "driver": format!("{site}.csi"),
                "deletionPolicy": "Delete",
            }))
        };
        Ok(Manifests {
            storage_classes: vec![
                storage_class("fast", east)?,
                storage_class("fast-west", west)?,
            ],
            snapshot_classes: vec![snapshot_class(east)?, snapshot_class(west)?],
            claim: serde_json::from_value(json!({
                "metadata": {"name": APP_CLAIM, "namespace": "shop"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
                    "resources": {"requests": {"storage": bytes.to_string()}},
                },
            }))?,
            pair: serde_json::from_value(json!({
                "apiVersion": "ferry.dev/v1alpha1", "kind": "ReplicationPair",
                "metadata": {"name": PAIR, "namespace": "shop", "generation": 1, "uid": "pair"},
                "spec": {
                    "claimName": APP_CLAIM, "primary": east,
                    "sites": [
                        {"name": east, "storageClassName": "fast"},
                        {"name": west, "storageClassName": "fast-west"},
                    ],
                    "snapshot": {"interval": interval},
                    "quiesce": {"hooks": hooks},
                    "application": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db"},
                },
            }))?,
        })
    }
}
