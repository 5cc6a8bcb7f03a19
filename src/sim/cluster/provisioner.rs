//! The external provisioner: a volume for a claim that asks for one, empty or made from a snapshot.
//!
//! Rule: kubernetes-csi/external-provisioner, `provisionClaim`: the volume `pvc-UID` is reserved for the
//! very claim, has the class's reclaim policy and the provisioner's finalizer; a source snapshot has to
//! be ready, and its content has to allow another volume mode than that of the volume that was cut.

use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeSpec,
};
use kube::ResourceExt as _;
use kube::core::ObjectMeta;

use crate::cluster::server::{Server, is_going};
use api::snapshots::ALLOW_MODE_CHANGE;
use planner::observe::read;
use planner::rebind::object::{ClaimExt as _, PROVISIONED_BY, PROVISIONER_FINALIZER};

/// The mark of a claim for which the volume controller has asked for a volume.
pub(crate) const ASKED_FOR: &str = "volume.kubernetes.io/storage-provisioner";

impl Server {
    /// Makes the volumes that were asked for. Whether any was made.
    pub(crate) fn provision(&mut self) -> bool {
        if self.health.provisioner_stopped {
            return false;
        }
        let waiting = self.objects.claims.values().filter(|claim| {
            let asked = claim.annotations().contains_key(ASKED_FOR);
            asked && !claim.is_bound() && claim.volume_name().is_empty() && !claim.is_going()
        });
        let waiting: Vec<PersistentVolumeClaim> = waiting.cloned().collect();
        let made: Vec<bool> = waiting
            .iter()
            .map(|claim| self.provision_for(claim))
            .collect();
        let changed = made.contains(&true);
        if changed {
            self.changed();
        }
        changed
    }

    fn provision_for(&mut self, claim: &PersistentVolumeClaim) -> bool {
        let uid = claim.uid().unwrap_or_default();
        let name = format!("pvc-{uid}");
        if self.objects.volumes.contains_key(&name) {
            return false;
        }
        let spec = claim.spec.clone().unwrap_or_default();
        let class = spec.storage_class_name.clone().unwrap_or_default();
        let Some(class) = self
            .storage_classes
            .iter()
            .find(|known| known.name_any() == class)
            .cloned()
        else {
            return false;
        };
        let source = match &spec.data_source {
            None => None,
            Some(source) => match self.source_snapshot(claim, &source.name) {
                Some(handle) => Some(handle),
                None => return false,
            },
        };
        let bytes = read::claim(claim, None).requested_bytes;
        let handle = self
            .storage
            .make(&class.provisioner, bytes, source.as_deref());
        let volume = PersistentVolume {
            metadata: ObjectMeta {
                name: Some(name),
                annotations: Some([(PROVISIONED_BY.into(), class.provisioner.clone())].into()),
                finalizers: Some(vec![PROVISIONER_FINALIZER.into()]),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeSpec {
                capacity: spec.resources.and_then(|resources| resources.requests),
                access_modes: spec.access_modes,
                volume_mode: spec.volume_mode,
                storage_class_name: Some(class.name_any()),
                persistent_volume_reclaim_policy: class
                    .reclaim_policy
                    .clone()
                    .or_else(|| Some("Delete".into())),
                csi: Some(CSIPersistentVolumeSource {
                    driver: class.provisioner,
                    volume_handle: handle,
                    ..CSIPersistentVolumeSource::default()
                }),
                claim_ref: Some(ObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("PersistentVolumeClaim".into()),
                    namespace: claim.metadata.namespace.clone(),
                    name: claim.metadata.name.clone(),
                    uid: claim.metadata.uid.clone(),
                    ..ObjectReference::default()
                }),
                ..PersistentVolumeSpec::default()
            }),
            status: None,
        };
        self.objects.create_volume(&volume).is_ok()
    }

    /// The storage's handle of the snapshot that a claim is to be made from, once that can be done.
    fn source_snapshot(&self, claim: &PersistentVolumeClaim, name: &str) -> Option<String> {
        let snapshot = self.snapshots.get(name)?;
        let status = snapshot.status.as_ref()?;
        if is_going(&snapshot.metadata) || status.ready_to_use != Some(true) {
            return None;
        }
        let content = self
            .contents
            .get(status.bound_volume_snapshot_content_name.as_ref()?)?;
        let text = |path: &str| content.pointer(path).and_then(|value| value.as_str());
        let mode = match text("/spec/sourceVolumeMode") {
            Some("Block") => claim.is_block(),
            _ => !claim.is_block(),
        };
        let annotations = content.pointer("/metadata/annotations");
        let allowed = annotations.and_then(|all| all.get(ALLOW_MODE_CHANGE)?.as_str());
        (mode || allowed == Some("true"))
            .then(|| text("/status/snapshotHandle"))?
            .map(Into::into)
    }
}
