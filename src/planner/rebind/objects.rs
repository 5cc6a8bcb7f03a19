//! Claims and volumes as an API server keeps them, and what it makes of a request. Pure.
//!
//! The plan that people are shown is played through on it, and the simulator's API server keeps its
//! claims and volumes in it. What controllers do with them is in [`super::binder`] and
//! [`super::protection`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{Resource, ResourceExt as _};

use crate::rebind::object::{
    BOUND_BY_CONTROLLER, CLAIM_PROTECTION, VOLUME_PROTECTION, VolumeExt as _,
};
use crate::rebind::{ClaimRecord, DesiredBinding, RebindError, RebindView, Step, new_volume};
use api::names;

/// The claims of one namespace and all volumes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// The claims, by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    /// The volumes, by name.
    pub volumes: BTreeMap<String, PersistentVolume>,
    /// What was kept of the application's claim.
    pub record: Option<ClaimRecord>,
    /// When a deletion is said to have begun.
    pub now: Timestamp,
    written: u64,
}

impl Objects {
    /// What a re-binding sees, without the pods.
    #[must_use]
    pub fn of(view: &RebindView) -> Objects {
        Objects {
            claims: view.claims.clone(),
            volumes: view.volumes.clone(),
            record: view.record.clone(),
            ..Objects::default()
        }
    }

    /// How many resource versions were given out.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.written
    }

    /// A resource version that was never used.
    pub fn stamp(&mut self) -> String {
        self.written += 1;
        format!("r{}", self.written)
    }

    /// Performs a request of a re-binding. One that was overtaken (the object has changed since it was
    /// observed, or is gone) changes nothing.
    ///
    /// # Errors
    /// [`RebindError::NameTaken`] when an object of the name stands for another volume.
    pub fn perform(&mut self, desired: &DesiredBinding, step: &Step) -> Result<(), RebindError> {
        match step {
            Step::Retain {
                volume,
                site,
                before,
            } => self.retain(desired.labels(site), volume, before.as_deref()),
            Step::CreateVolume(volume) => return self.create_volume(volume),
            Step::Reserve {
                volume,
                claim,
                resource_version,
            } => self.change_volume(volume, Some(resource_version), |volume| {
                volume.annotations_mut().remove(BOUND_BY_CONTROLLER);
                let spec = volume.spec.get_or_insert_default();
                spec.claim_ref = Some(new_volume::reservation(&desired.pair, claim));
            }),
            Step::Record(record) => self.record = Some((**record).clone()),
            Step::DeleteClaim {
                claim,
                uid,
                resource_version,
            } => {
                let found = self.claims.get(claim);
                if found.is_some_and(|claim| is_at(&claim.metadata, uid, resource_version)) {
                    self.delete_claim(claim);
                }
            }
            Step::CreateClaim(claim) => {
                self.create_claim(claim);
            }
            Step::DeleteVolume {
                volume,
                uid,
                resource_version,
            } => {
                let found = self.volumes.get(volume);
                if found.is_some_and(|volume| is_at(&volume.metadata, uid, resource_version)) {
                    self.delete_volume(volume);
                }
            }
            Step::LetGo {
                volume,
                keep,
                resource_version,
            } => {
                self.change_volume(volume, Some(resource_version), |volume| {
                    volume.metadata.finalizers = Some(keep.clone());
                });
                self.collect();
            }
            Step::Unprotect {
                claim,
                keep,
                resource_version,
            } => {
                self.change_claim(claim, Some(resource_version), |claim| {
                    claim.metadata.finalizers = Some(keep.clone());
                });
                self.collect();
            }
            Step::Forget => self.record = None,
        }
        Ok(())
    }

    /// Sets a volume's reclaim policy to Retain, and labels it as the pair's.
    pub fn retain(&mut self, labels: BTreeMap<String, String>, name: &str, before: Option<&str>) {
        self.change_volume(name, None, |volume| {
            volume.labels_mut().extend(labels);
            if let Some(before) = before {
                let key = names::RECLAIM_POLICY_ANNOTATION.to_string();
                volume.annotations_mut().insert(key, before.into());
            }
            let spec = volume.spec.get_or_insert_default();
            spec.persistent_volume_reclaim_policy = Some("Retain".into());
        });
    }

    /// Creates a claim, protected as the API server has it; false when there is one of the name.
    pub fn create_claim(&mut self, claim: &PersistentVolumeClaim) -> bool {
        let mut claim = claim.clone();
        claim.finalizers_mut().push(CLAIM_PROTECTION.into());
        claim.status = None;
        self.stamp_new(&mut claim);
        let name = claim.name_any();
        if self.claims.contains_key(&name) {
            return false;
        }
        self.claims.insert(name, claim);
        true
    }

    /// Creates a volume, protected as the API server has it.
    ///
    /// # Errors
    /// [`RebindError::NameTaken`] when an object of the name stands for another volume.
    pub fn create_volume(&mut self, volume: &PersistentVolume) -> Result<(), RebindError> {
        let name = volume.name_any();
        if let Some(found) = self.volumes.get(&name) {
            return if found.volume_id() == volume.volume_id() {
                Ok(())
            } else {
                Err(RebindError::NameTaken {
                    object: format!("PersistentVolume {name}"),
                })
            };
        }
        let mut volume = volume.clone();
        volume.finalizers_mut().push(VOLUME_PROTECTION.into());
        volume.status = None;
        self.stamp_new(&mut volume);
        self.volumes.insert(name, volume);
        Ok(())
    }

    /// Deletes a claim: one that has finalizers goes when the last of them does.
    pub fn delete_claim(&mut self, name: &str) {
        let now = self.now;
        self.change_claim(name, None, |claim| going(&mut claim.metadata, now));
        self.collect();
    }

    /// Deletes a volume's object: one that has finalizers goes when the last of them does.
    pub fn delete_volume(&mut self, name: &str) {
        let now = self.now;
        self.change_volume(name, None, |volume| going(&mut volume.metadata, now));
        self.collect();
    }

    /// Changes a claim, if it is there and at the version.
    pub fn change_claim(
        &mut self,
        name: &str,
        at: Option<&str>,
        change: impl FnOnce(&mut PersistentVolumeClaim),
    ) {
        let stamp = self.stamp();
        let found = self.claims.get_mut(name);
        if let Some(claim) =
            found.filter(|claim| at.is_none_or(|at| version(&claim.metadata) == at))
        {
            change(claim);
            claim.metadata.resource_version = Some(stamp);
        }
    }

    /// Changes a volume, if it is there and at the version.
    pub fn change_volume(
        &mut self,
        name: &str,
        at: Option<&str>,
        change: impl FnOnce(&mut PersistentVolume),
    ) {
        let stamp = self.stamp();
        let found = self.volumes.get_mut(name);
        if let Some(volume) =
            found.filter(|volume| at.is_none_or(|at| version(&volume.metadata) == at))
        {
            change(volume);
            volume.metadata.resource_version = Some(stamp);
        }
    }

    /// Removes what is deleted and has no finalizer any more.
    pub fn collect(&mut self) {
        self.claims.retain(|_, claim| !is_gone(&claim.metadata));
        self.volumes.retain(|_, volume| !is_gone(&volume.metadata));
    }

    fn stamp_new<K: Resource>(&mut self, object: &mut K) {
        let stamp = self.stamp();
        let meta = object.meta_mut();
        meta.uid = Some(format!("uid-{stamp}"));
        meta.resource_version = Some(stamp);
        meta.creation_timestamp = Some(Time(self.now));
    }
}

fn version(meta: &ObjectMeta) -> &str {
    meta.resource_version.as_deref().unwrap_or_default()
}

fn is_at(meta: &ObjectMeta, uid: &str, at: &str) -> bool {
    meta.uid.as_deref() == Some(uid) && version(meta) == at
}

fn going(meta: &mut ObjectMeta, now: Timestamp) {
    meta.deletion_timestamp.get_or_insert(Time(now));
}

fn is_gone(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some() && meta.finalizers.iter().flatten().next().is_none()
}
