//! The API server: the objects of one namespace, their versions, and what becomes of a request.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodSpec,
    PodStatus, Volume as PodVolume,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use serde_json::Value;

use crate::cluster::admission::{Admission, ApiRefusal, Kind};
use crate::cluster::asked::Asked;
use crate::cluster::storage::Storage;
use crate::cluster::workload::Workload;
use api::snapshots::{VolumeSnapshot, VolumeSnapshotClass};
use api::{ReplicationPair, names};
use planner::mutations::Rules;
use planner::observe::read;
use planner::rebind::Objects;
use planner::rebind::object::ClaimExt;

/// The namespace that everything is in.
pub(crate) const NAMESPACE: &str = "shop";

/// Which controllers work, and how well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// The volume controller sees volumes as they were a while ago.
    pub(crate) cache_lags: bool,
    /// No volume is made or deleted.
    pub(crate) provisioner_stopped: bool,
    /// Drivers whose snapshots are never taken.
    pub(crate) snapshotter_stopped: BTreeSet<String>,
    /// What snapshots fail with.
    pub(crate) snapshot_error: Option<String>,
    /// Snapshots that can be used now and then can't.
    pub(crate) ready_flaps: bool,
    /// Nodes that do not answer: their pods stay.
    pub(crate) dead_nodes: BTreeSet<String>,
    /// Volumes stay attached when nobody uses them.
    pub(crate) detach_stopped: bool,
}

/// The API server, and what stands behind its objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// Claims, volumes, and the record of the application's claim.
    pub(crate) objects: Objects,
    /// The volumes as the volume controller sees them while its cache lags.
    pub(crate) seen_volumes: BTreeMap<String, PersistentVolume>,
    /// The pair.
    pub(crate) pair: Option<ReplicationPair>,
    /// What people ask for.
    pub(crate) asked: Asked,
    /// By how much the clocks of drivers' storage are off.
    pub(crate) clocks_off: BTreeMap<String, SignedDuration>,
    /// Pods, by name.
    pub(crate) pods: BTreeMap<String, Pod>,
    /// Snapshots, by name.
    pub(crate) snapshots: BTreeMap<String, VolumeSnapshot>,
    /// Their contents, by name.
    pub(crate) contents: BTreeMap<String, Value>,
    /// Storage classes.
    pub(crate) storage_classes: Vec<StorageClass>,
    /// Snapshot classes.
    pub(crate) snapshot_classes: Vec<VolumeSnapshotClass>,
    /// The workload that uses the application's claim.
    pub(crate) workload: Option<Workload>,
    /// Which handle is attached to which node.
    pub(crate) attachments: BTreeMap<String, String>,
    /// The storage.
    pub(crate) storage: Storage,
    /// What is refused.
    pub(crate) admission: Admission,
    /// Who works.
    pub(crate) health: Health,
    /// Changes of anything that the operator watches.
    pub(crate) changes: u64,
    /// Which rule of the planner is broken.
    pub(crate) rules: Rules,
    /// How many pods were ever made.
    pub(crate) pods_made: u64,
}

impl Server {
    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.objects.now
    }

    /// Something that is watched has changed.
    pub(crate) fn changed(&mut self) {
        self.changes += 1;
    }

    /// Creates or applies a claim.
    ///
    /// # Errors
    /// When it is not admitted.
    pub(crate) fn put_claim(&mut self, claim: &PersistentVolumeClaim) -> Result<(), ApiRefusal> {
        let name = claim.name_any();
        if let Some(found) = self.objects.claims.get(&name) {
            return taken("PersistentVolumeClaim", found, claim);
        }
        self.admission.admits(Kind::Claim, &name)?;
        self.objects.create_claim(claim);
        self.changed();
        Ok(())
    }

    /// Notes a change of the role with a state claim.
    pub(crate) fn note(&mut self, claim: &str, role_change: Option<String>) {
        self.objects.change_claim(claim, None, |claim| {
            let annotations = claim.annotations_mut();
            match role_change {
                Some(text) => annotations.insert(names::ROLE_CHANGE_ANNOTATION.into(), text),
                None => annotations.remove(names::ROLE_CHANGE_ANNOTATION),
            };
        });
    }

    /// Asks for a larger claim.
    ///
    /// # Errors
    /// When it is not admitted, or not bound.
    pub(crate) fn grow_claim(&mut self, name: &str, bytes: u64) -> Result<(), ApiRefusal> {
        self.admission.admits(Kind::Claim, name)?;
        self.admission.admits(Kind::Growth, name)?;
        if !self
            .objects
            .claims
            .get(name)
            .is_some_and(ClaimExt::is_bound)
        {
            return Err(ApiRefusal {
                code: 422,
                message: format!(
                    "PersistentVolumeClaim \"{name}\" is invalid: spec: Forbidden: spec is immutable after \
                     creation except resources.requests and volumeAttributesClassName for bound claims"
                ),
            });
        }
        let volume = self
            .objects
            .claims
            .get(name)
            .map(|claim| claim.volume_name().to_string());
        let size = k8s_openapi::apimachinery::pkg::api::resource::Quantity(bytes.to_string());
        self.objects.change_claim(name, None, |claim| {
            let spec = claim.spec.get_or_insert_default();
            let resources = spec.resources.get_or_insert_default();
            let requests = resources.requests.get_or_insert_default();
            requests.insert("storage".into(), size.clone());
            // The driver does it at once: how long it takes is not what is looked at here.
            if let Some(status) = claim.status.as_mut() {
                let capacity = status.capacity.get_or_insert_default();
                capacity.insert("storage".into(), size.clone());
            }
        });
        self.objects
            .change_volume(&volume.unwrap_or_default(), None, |volume| {
                let spec = volume.spec.get_or_insert_default();
                let capacity = spec.capacity.get_or_insert_default();
                capacity.insert("storage".into(), size.clone());
            });
        if let Some(handle) = self.handle_of_claim(name) {
            self.storage.grow(&handle, bytes);
        }
        self.changed();
        Ok(())
    }

    /// Creates a pod; one of the name that is there already stays what it is.
    ///
    /// # Errors
    /// When it is not admitted.
    pub(crate) fn put_pod(&mut self, mut pod: Pod) -> Result<(), ApiRefusal> {
        let name = pod.name_any();
        if let Some(found) = self.pods.get(&name) {
            return taken("Pod", found, &pod);
        }
        self.admission.admits(Kind::Pod, &name)?;
        self.pods_made += 1;
        pod.metadata.uid = Some(format!("pod-{}", self.pods_made));
        pod.status = Some(PodStatus {
            phase: Some("Pending".into()),
            ..PodStatus::default()
        });
        self.pods.insert(name, pod);
        self.changed();
        Ok(())
    }

    /// Deletes a pod, if it is the one with this UID.
    pub(crate) fn delete_pod(&mut self, name: &str, uid: Option<&str>) {
        let now = self.now();
        let found = self.pods.get_mut(name);
        let found = found.filter(|pod| uid.is_none() || pod.metadata.uid.as_deref() == uid);
        if let Some(pod) = found {
            pod.metadata.deletion_timestamp.get_or_insert(Time(now));
            self.changed();
        }
    }

    /// The only container of a pod has ended, and is not started again.
    pub(crate) fn fail_pod(&mut self, name: &str) {
        if let Some(pod) = self.pods.get_mut(name) {
            pod.status.get_or_insert_default().phase = Some("Failed".into());
            self.changed();
        }
    }

    /// Creates a snapshot; one of the name that is there already stays what it is.
    ///
    /// # Errors
    /// When it is not admitted.
    pub(crate) fn put_snapshot(&mut self, mut snapshot: VolumeSnapshot) -> Result<(), ApiRefusal> {
        let name = snapshot.name_any();
        if let Some(found) = self.snapshots.get(&name) {
            return taken("VolumeSnapshot", found, &snapshot);
        }
        self.admission.admits(Kind::Snapshot, &name)?;
        let stamp = self.objects.stamp();
        snapshot.metadata.uid = Some(format!("uid-{stamp}"));
        snapshot.metadata.resource_version = Some(stamp);
        snapshot.metadata.creation_timestamp = Some(Time(self.now()));
        self.snapshots.insert(name, snapshot);
        self.changed();
        Ok(())
    }

    /// Deletes a snapshot, if it is still of this version: its content goes first.
    pub(crate) fn delete_snapshot(&mut self, name: &str, version: Option<&str>) {
        let now = self.now();
        let found = self.snapshots.get_mut(name);
        let found = found.filter(|snapshot| {
            version.is_none() || snapshot.metadata.resource_version.as_deref() == version
        });
        if let Some(snapshot) = found {
            snapshot
                .metadata
                .deletion_timestamp
                .get_or_insert(Time(now));
            self.changed();
        }
    }

    /// Pods that have a node, use a claim and have not ended.
    pub(crate) fn users_of(&self, claim: &str) -> Vec<String> {
        let pods = self.pods.values();
        let pods = pods.filter(|pod| !read::ended(pod) && read::is_scheduled(pod));
        pods.filter(|pod| read::claims_of(pod).any(|(_, used)| used == claim))
            .map(|pod| pod.name_any())
            .collect()
    }

    /// The handle behind a claim that is bound.
    pub(crate) fn handle_of_claim(&self, claim: &str) -> Option<String> {
        let claim = self.objects.claims.get(claim)?;
        let volume = self.objects.volumes.get(claim.volume_name())?;
        (claim.is_bound()).then(|| handle_of(volume))?
    }
}

/// What a client makes of an object of the name that is there already: its own, or somebody else's.
fn taken<K: ResourceExt>(kind: &str, found: &K, wanted: &K) -> Result<(), ApiRefusal> {
    let owner = |object: &K| object.labels().get(names::PAIR_UID_LABEL).cloned();
    match owner(found) == owner(wanted) {
        true => Ok(()),
        false => Err(ApiRefusal {
            code: 409,
            message: format!("{kind} {} exists but is not this pair's", found.name_any()),
        }),
    }
}

/// The handle of a volume's object.
pub(crate) fn handle_of(volume: &PersistentVolume) -> Option<String> {
    let csi = volume.spec.as_ref()?.csi.as_ref()?;
    Some(csi.volume_handle.clone())
}

/// A pod that uses a claim.
pub(crate) fn pod_using(name: &str, claim: &str) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some(NAMESPACE.into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            volumes: Some(vec![PodVolume {
                name: "data".into(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim.into(),
                    read_only: None,
                }),
                ..PodVolume::default()
            }]),
            ..PodSpec::default()
        }),
        status: None,
    }
}

/// A pod's phase.
pub(crate) fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

/// The node that a pod was given.
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Whether an object is being deleted.
pub(crate) fn is_going(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}
