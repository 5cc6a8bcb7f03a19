//! What the API and the volume controllers make of a step, played through in memory.
//!
//! It serves the plan that people are shown, and the tests that crash after every step.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaimStatus, PersistentVolumeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt as _;

use crate::rebind::object::{
    BOUND_BY_CONTROLLER, CLAIM_PROTECTION, ClaimExt as _, VOLUME_PROTECTION, VolumeExt as _,
};
use crate::rebind::{DesiredBinding, RebindView, Step, VolumeKey, Wait, new_volume};
use api::names;
use protocol::units::PairName;

/// A cluster, as far as a re-binding sees it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) view: RebindView,
    /// Volumes whose storage a controller has deleted.
    pub(super) destroyed: Vec<VolumeKey>,
    pair: PairName,
    written: u64,
}

impl Model {
    pub(super) fn new(view: RebindView, pair: &PairName) -> Model {
        Model {
            view,
            destroyed: Vec::new(),
            pair: pair.clone(),
            written: 0,
        }
    }

    /// Does what `execute` does.
    pub(super) fn execute(&mut self, desired: &DesiredBinding, step: &Step) {
        let stamp = self.stamp();
        let view = &mut self.view;
        match step {
            Step::Retain {
                volume,
                site,
                before,
            } => {
                if let Some(volume) = view.volumes.get_mut(volume) {
                    let labels = new_volume::labels(&desired.pair, site);
                    volume.labels_mut().extend(labels);
                    if let Some(before) = before {
                        let key = names::RECLAIM_POLICY_ANNOTATION.to_string();
                        volume
                            .annotations_mut()
                            .entry(key)
                            .or_insert(before.clone());
                    }
                    let spec = volume.spec.get_or_insert_default();
                    spec.persistent_volume_reclaim_policy = Some("Retain".into());
                    touch(&mut volume.metadata, &stamp);
                }
            }
            Step::CreateVolume(volume) => {
                let mut volume = (**volume).clone();
                volume.metadata.finalizers = Some(vec![VOLUME_PROTECTION.into()]);
                create(&mut view.volumes, volume.name_any(), volume, &stamp);
            }
            Step::Reserve {
                volume,
                claim,
                resource_version,
            } => {
                let found = view.volumes.get_mut(volume);
                if let Some(volume) = found.filter(|v| is_at(&v.metadata, resource_version)) {
                    volume.annotations_mut().remove(BOUND_BY_CONTROLLER);
                    let spec = volume.spec.get_or_insert_default();
                    spec.claim_ref = Some(new_volume::reservation(&desired.pair, claim));
                    touch(&mut volume.metadata, &stamp);
                }
            }
            Step::Record(record) => view.record = Some((**record).clone()),
            Step::DeleteClaim {
                claim,
                resource_version,
                ..
            } => {
                let found = view.claims.get_mut(claim);
                if let Some(claim) = found.filter(|c| is_at(&c.metadata, resource_version)) {
                    claim.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
                    touch(&mut claim.metadata, &stamp);
                }
            }
            Step::CreateClaim(claim) => {
                let mut claim = (**claim).clone();
                claim.finalizers_mut().push(CLAIM_PROTECTION.into());
                create(&mut view.claims, claim.name_any(), claim, &stamp);
            }
            Step::DeleteVolume {
                volume,
                resource_version,
                ..
            } => {
                let found = view.volumes.get_mut(volume);
                if let Some(volume) = found.filter(|v| is_at(&v.metadata, resource_version)) {
                    volume.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
                    touch(&mut volume.metadata, &stamp);
                }
            }
            Step::LetGo {
                volume,
                keep,
                resource_version,
            } => {
                let found = view.volumes.get_mut(volume);
                if let Some(volume) = found.filter(|v| is_at(&v.metadata, resource_version)) {
                    volume.metadata.finalizers = Some(keep.clone());
                    touch(&mut volume.metadata, &stamp);
                }
            }
            Step::Unprotect {
                claim,
                keep,
                resource_version,
            } => {
                let found = view.claims.get_mut(claim);
                if let Some(claim) = found.filter(|c| is_at(&c.metadata, resource_version)) {
                    claim.metadata.finalizers = Some(keep.clone());
                    touch(&mut claim.metadata, &stamp);
                }
            }
            Step::Forget => view.record = None,
        }
    }

    /// Lets the controllers of Kubernetes do their part until nothing changes.
    pub(super) fn settle(&mut self) {
        while self.collect_claims() | self.bind() | self.set_phases() | self.collect_volumes() {}
    }

    /// Lets others do what is waited for.
    pub(super) fn grant(&mut self, wait: &Wait) {
        match wait {
            Wait::InUse { claim, .. } => {
                self.view.users.remove(claim);
            }
            Wait::ClaimGone { claim, finalizers } => {
                let snapshots = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
                let stopped = finalizers.iter().any(|name| name == snapshots);
                assert!(!stopped, "waits for a snapshotter that may be stopped");
                self.view.claims.remove(claim);
            }
            Wait::Bound { .. } => {}
        }
        self.settle();
    }

    // Each of these returns whether it has changed anything.

    /// Claims that are deleted go when no pod uses them and nobody else holds them.
    fn collect_claims(&mut self) -> bool {
        let RebindView { claims, users, .. } = &mut self.view;
        let before = claims.len();
        claims.retain(|name, claim| {
            let used = users.get(name).is_some_and(|pods| !pods.is_empty());
            let held = claim.finalizers().iter().any(|f| f != CLAIM_PROTECTION);
            !claim.is_going() || used || held
        });
        claims.len() != before
    }

    /// The volume controller: a claim and a volume that name each other, or one reserved for a claim
    /// that names none.
    fn bind(&mut self) -> bool {
        let mut changed = false;
        let stamp = self.stamp();
        let RebindView {
            claims, volumes, ..
        } = &mut self.view;
        for (name, claim) in claims.iter_mut() {
            if claim.is_bound() || claim.is_going() {
                continue;
            }
            let wanted = claim.volume_name().to_string();
            let found = volumes.values_mut().find(|volume| {
                let named = wanted.is_empty() || volume.name_any() == wanted;
                let open = volume.is_reserved() || volume.is_bound_to(claim);
                let fits = volume.is_block() == claim.is_block() && !volume.is_going();
                named && open && fits && volume.is_for(&self.pair, name)
            });
            let Some(volume) = found else { continue };
            let reference = volume
                .spec
                .as_mut()
                .and_then(|spec| spec.claim_ref.as_mut());
            if let Some(reference) = reference {
                reference.uid = claim.metadata.uid.clone();
            }
            touch(&mut volume.metadata, &stamp);
            claim.spec.get_or_insert_default().volume_name = Some(volume.name_any());
            claim.status = Some(PersistentVolumeClaimStatus {
                phase: Some("Bound".into()),
                ..PersistentVolumeClaimStatus::default()
            });
            touch(&mut claim.metadata, &stamp);
            changed = true;
        }
        changed
    }

    fn set_phases(&mut self) -> bool {
        let mut changed = false;
        let holders: Vec<Option<String>> = self
            .view
            .claims
            .values()
            .map(|claim| claim.metadata.uid.clone())
            .collect();
        let mut gone = Vec::new();
        for (name, volume) in &mut self.view.volumes {
            let uid = volume.claim_ref().map(|reference| reference.uid.clone());
            let phase = match uid {
                None | Some(None) => "Available",
                Some(uid) if holders.contains(&uid) => "Bound",
                Some(_) => "Released",
            };
            if phase == "Released" && volume.policy() == "Delete" {
                gone.push(name.clone());
            }
            let status = Some(PersistentVolumeStatus {
                phase: Some(phase.into()),
                ..PersistentVolumeStatus::default()
            });
            changed |= volume.status != status;
            volume.status = status;
        }
        changed |= !gone.is_empty();
        for name in gone {
            let volume = self.view.volumes.remove(&name);
            self.destroyed
                .extend(volume.as_ref().and_then(VolumeKey::of));
        }
        changed
    }

    /// Volumes that are deleted go when they are not bound and nobody else holds them.
    fn collect_volumes(&mut self) -> bool {
        let before = self.view.volumes.len();
        self.view.volumes.retain(|_, volume| {
            let phase = volume
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            let held = volume
                .finalizers()
                .iter()
                .any(|name| name != VOLUME_PROTECTION);
            !volume.is_going() || phase == Some("Bound") || held
        });
        self.view.volumes.len() != before
    }

    fn stamp(&mut self) -> String {
        self.written += 1;
        format!("m{}", self.written)
    }
}

fn is_at(meta: &ObjectMeta, resource_version: &str) -> bool {
    meta.resource_version.as_deref().unwrap_or_default() == resource_version
}

fn touch(meta: &mut ObjectMeta, stamp: &str) {
    meta.resource_version = Some(stamp.into());
}

/// An object that exists already stays as it is.
fn create<K: kube::Resource>(
    objects: &mut BTreeMap<String, K>,
    name: String,
    mut object: K,
    stamp: &str,
) {
    let meta = object.meta_mut();
    meta.uid = Some(format!("uid-{name}-{stamp}"));
    touch(meta, stamp);
    objects.entry(name).or_insert(object);
}
