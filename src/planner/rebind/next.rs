//! The next step, from what is there and what is desired. Pure.
//!
//! ```text
//! retain and label every object of both volumes
//!  → create what PersistentVolume objects will be needed, reserved for their claims by name
//!  → the application's claim is unused → release the new primary's replica claim
//!  → keep a copy of the application's claim → delete it → create it again → it is bound
//!  → create the old primary's replica claim → it is bound
//!  → delete superseded PersistentVolume objects → delete the copy
//! ```
//! Parking is the part up to "create it again", and the claim then names a volume that does not exist.
//! It ends when the volume of that name is made, for whichever site's volume is desired then; nothing is
//! deleted for it, and a pod that waits on the claim starts at once.
//!
//! - Everything that may be refused is done before anything is deleted.
//! - The application's claim is deleted only when a volume is reserved for its name: whoever creates
//!   a claim of that name in between, such as a GitOps tool, gets that volume, never an empty one.
//! - A volume always has an object that is not being deleted, and every one of its objects is
//!   retained before any claim is deleted.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt as _;

use crate::mutations::Rule;
use crate::rebind::object::{
    ClaimExt as _, PROVISIONER_FINALIZER, SNAPSHOT_PROTECTION, VolumeExt as _, foreign_finalizers,
};
use crate::rebind::seat::Seat;
use crate::rebind::{
    ClaimRecord, DesiredBinding, RebindError, RebindView, SiteVolume, Step, Wait, new_volume,
};
use api::names;

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Do this, then observe again.
    Do(Step),
    /// Observe again later; nothing can be done now.
    Wait(Wait),
    /// Everything is as desired.
    Done,
}

/// The next step towards `desired`.
///
/// # Errors
/// When a person has to act first; the message says how.
pub fn next(view: &RebindView, desired: &DesiredBinding) -> Result<Next, RebindError> {
    let planner = Planner { view, desired };
    if desired.only_reserve {
        return planner.reserve_only();
    }
    let stages: [fn(&Planner<'_>) -> Stage; 10] = [
        |p| p.forget_early(),
        |p| p.check(),
        |p| p.retain(),
        |p| p.prepare(),
        |p| p.gate(),
        |p| p.release_replicas(),
        |p| p.app_claim(),
        |p| p.standby_claim(),
        |p| p.superseded(),
        |p| p.forget(),
    ];
    for stage in stages {
        if let Some(next) = stage(&planner)? {
            return Ok(next);
        }
    }
    Ok(Next::Done)
}

/// `None` when there is nothing to do at this stage.
pub(super) type Stage = Result<Option<Next>, RebindError>;

/// What is there and what is desired.
pub(super) struct Planner<'a> {
    pub(super) view: &'a RebindView,
    pub(super) desired: &'a DesiredBinding,
}

impl<'a> Planner<'a> {
    /// The application's claim is gone: whoever creates it again gets the volume that it had. The
    /// standby's claim is Ferry's own, and is made again.
    fn reserve_only(&self) -> Result<Next, RebindError> {
        let stages = [
            Self::check,
            Self::retain,
            Self::prepare,
            Self::standby_claim,
        ];
        for stage in stages {
            if let Some(next) = stage(self)? {
                return Ok(next);
            }
        }
        Ok(Next::Done)
    }

    /// Nothing is there that only people can judge.
    fn check(&self) -> Stage {
        for site in self.desired.sites() {
            self.like(&site.volume)?;
        }
        let mut claims = vec![self.desired.app_claim.clone()];
        let replicas = self
            .desired
            .sites()
            .map(|s| self.desired.replica_claim(&s.site));
        claims.extend(replicas);
        let found = claims.iter().filter_map(|name| self.view.claims.get(name));
        for claim in found.filter(|claim| self.is_own(claim)) {
            let Some(volume) = self.view.volumes.get(claim.volume_name()) else {
                continue;
            };
            let key = volume.volume_id();
            if !self
                .desired
                .sites()
                .any(|site| Some(&site.volume) == key.as_ref())
            {
                return Err(RebindError::ForeignVolume {
                    claim: claim.name_any(),
                    volume: volume.name_any(),
                });
            }
        }
        for volume in self
            .desired
            .sites()
            .flat_map(|s| self.view.volumes_of(&s.volume))
        {
            let stranger = self.holder(volume).is_some_and(|claim| !self.is_own(claim));
            let holder = volume.claim_ref().filter(|_| {
                let named = |claim: &String| volume.is_for(&self.desired.pair, claim);
                stranger || !claims.iter().any(named)
            });
            if let Some(holder) = holder {
                return Err(RebindError::VolumeTaken {
                    volume: volume.name_any(),
                    claim: format!(
                        "{}/{}",
                        holder.namespace.as_deref().unwrap_or_default(),
                        holder.name.as_deref().unwrap_or_default()
                    ),
                });
            }
        }
        Ok(None)
    }

    /// Whether a claim is the pair's: one of a replica's name that is not is never let go or deleted, and
    /// is in the way of nothing but of the claim that would have its name (K-3).
    fn is_own(&self, claim: &PersistentVolumeClaim) -> bool {
        claim.labels().get(names::PAIR_UID_LABEL) == Some(&self.desired.uid)
            || claim.name_any() == self.desired.app_claim
            || self.view.rules.breaks(Rule::AdoptedByName)
    }

    fn retain(&self) -> Stage {
        if self.view.rules.breaks(Rule::VolumesNotRetained) {
            return Ok(None);
        }
        for site in self.desired.sites() {
            let wanted = self.desired.labels(&site.site);
            for volume in self.view.volumes_of(&site.volume) {
                let labels = volume.labels();
                let labelled = wanted
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value));
                if volume.is_retained() && labelled {
                    continue;
                }
                return act(Step::Retain {
                    volume: volume.name_any(),
                    site: site.site.clone(),
                    before: (!volume.is_retained()).then(|| volume.policy().to_string()),
                });
            }
        }
        Ok(None)
    }

    /// Every object that will be needed is there, reserved as far as that can be done now.
    fn prepare(&self) -> Stage {
        if self.view.rules.breaks(Rule::NothingReserved) {
            return Ok(None);
        }
        if let Some(site) = self
            .desired
            .primary
            .as_ref()
            .filter(|_| !self.is_app_parked())
        {
            let record = self.app_record(site)?;
            match self.app_seat(site, &record)? {
                Seat::Missing(like) => {
                    let volume = new_volume::for_app(self.view, self.desired, site, like, &record);
                    return act(Step::CreateVolume(Box::new(volume)));
                }
                Seat::Free(volume) => return self.reserve(volume, &self.desired.app_claim),
                Seat::Ready(_) | Seat::Taken(_) => {}
            }
        }
        if let Some(site) = self.desired.parked()
            && let Some(next) = self.prepare_parking(site)?
        {
            return Ok(Some(next));
        }
        if let Some(site) = &self.desired.standby
            && let Seat::Missing(like) = self.replica_seat(site)?
        {
            let volume = new_volume::for_replica(self.view, self.desired, site, like);
            return act(Step::CreateVolume(Box::new(volume)));
        }
        Ok(None)
    }

    /// Nothing is released while the application still runs on the old primary's volume.
    fn gate(&self) -> Stage {
        match self.app_to_delete()? {
            Some(claim) => Ok(self.in_use(claim)),
            None => Ok(None),
        }
    }

    /// The new primary's replica claim lets go of its volume.
    fn release_replicas(&self) -> Stage {
        for site in self.desired.sites() {
            let name = self.desired.replica_claim(&site.site);
            let found = self.view.claims.get(&name);
            let Some(claim) = found.filter(|claim| self.is_own(claim)) else {
                continue;
            };
            let kept = self.desired.standby.as_ref() == Some(site);
            if !kept || claim.is_going() || self.is_astray(claim, site, true) {
                return self.delete(claim).map(Some);
            }
        }
        Ok(None)
    }

    /// The application's claim is bound to the new primary's volume.
    fn app_claim(&self) -> Stage {
        if let Some(claim) = self.app_to_delete()? {
            let record = self.record_of(claim);
            if self.view.record.as_ref() != Some(&record) {
                return act(Step::Record(Box::new(record)));
            }
            // The volume's object may have been taken by the replica claim until now.
            if let Some(site) = &self.desired.primary
                && let Seat::Taken(volume) = self.app_seat(site, &record)?
            {
                return Err(RebindError::VolumeTaken {
                    volume: volume.name_any(),
                    claim: "another claim of this pair".into(),
                });
            }
            return self.delete(claim).map(Some);
        }
        let found = self.view.claims.get(&self.desired.app_claim);
        let Some(site) = &self.desired.primary else {
            return self.create_parked(found);
        };
        // One that names its volume is bound to that one.
        if let Some(claim) = found
            && let Some(volume) = self.view.volumes.get(claim.volume_name())
        {
            return Ok(bound(claim, volume));
        }
        let record = self.app_record(site)?;
        if self.is_app_parked() {
            // Made now, and not before: it is bound at once, and no other claim has the volume any more.
            let like = self.like(&site.volume)?;
            let volume = new_volume::for_app(self.view, self.desired, site, like, &record);
            return act(Step::CreateVolume(Box::new(volume)));
        }
        let (Seat::Ready(volume)
        | Seat::Free(volume)
        | Seat::Taken(volume)
        | Seat::Missing(volume)) = self.app_seat(site, &record)?;
        match found {
            Some(claim) => Ok(bound(claim, volume)),
            None => act(Step::CreateClaim(Box::new(
                record.bound_to(&volume.name_any()),
            ))),
        }
    }

    /// The standby's volume is bound to its replica claim.
    fn standby_claim(&self) -> Stage {
        let Some(site) = &self.desired.standby else {
            return Ok(None);
        };
        let name = self.desired.replica_claim(&site.site);
        let found = self.view.claims.get(&name);
        if found.is_some_and(|claim| !self.is_own(claim)) {
            return Err(RebindError::NameTaken {
                object: format!("PersistentVolumeClaim {name}"),
            });
        }
        let volume = match self.replica_seat(site)? {
            Seat::Free(volume) => return self.reserve(volume, &name),
            Seat::Ready(volume) | Seat::Taken(volume) | Seat::Missing(volume) => volume,
        };
        match found {
            Some(claim) => Ok(bound(claim, volume)),
            None => {
                let claim = new_volume::replica_claim(self.desired, &site.site, volume);
                act(Step::CreateClaim(Box::new(claim)))
            }
        }
    }

    /// One object a volume: that which its claim is bound to.
    fn superseded(&self) -> Stage {
        if self.view.rules.breaks(Rule::SupersededStays) {
            return Ok(None);
        }
        for site in self.desired.sites() {
            let bound = self
                .view
                .volumes_of(&site.volume)
                .find(|v| self.holder(v).is_some());
            // The others are all there is when the bound one goes with its claim.
            let Some(bound) = bound.filter(|bound| !bound.is_going()) else {
                continue;
            };
            let others = self
                .view
                .volumes_of(&site.volume)
                .filter(|v| v.metadata.name != bound.metadata.name);
            for volume in others {
                let resource_version = volume.resource_version().unwrap_or_default();
                if !volume.is_going() {
                    return act(Step::DeleteVolume {
                        volume: volume.name_any(),
                        uid: volume.uid().unwrap_or_default(),
                        resource_version,
                    });
                }
                // Its provisioner would do the same, if it runs: the policy is Retain. Whatever else
                // holds the object, such as a detach, ends by itself and is in nobody's way.
                let mut keep = volume.finalizers().to_vec();
                keep.retain(|name| name != PROVISIONER_FINALIZER);
                if keep.len() < volume.finalizers().len() {
                    return act(Step::LetGo {
                        volume: volume.name_any(),
                        keep,
                        resource_version,
                    });
                }
            }
        }
        Ok(None)
    }

    /// Nothing, but for a broken rule.
    fn forget_early(&self) -> Stage {
        match self.view.rules.breaks(Rule::ForgetsTheClaim) {
            true => self.forget(),
            false => Ok(None),
        }
    }

    /// The copy is kept as long as the application's claim is not here.
    fn forget(&self) -> Stage {
        if self.desired.primary.is_some() && self.view.record.is_some() {
            return act(Step::Forget);
        }
        Ok(None)
    }

    /// The application's claim, when it has to be deleted.
    pub(super) fn app_to_delete(&self) -> Result<Option<&'a PersistentVolumeClaim>, RebindError> {
        let Some(claim) = self.view.claims.get(&self.desired.app_claim) else {
            return Ok(None);
        };
        let astray = match &self.desired.primary {
            _ if self.is_app_parked() => false,
            Some(site) => self.is_astray(claim, site, claim.is_block()),
            None => !self.view.rules.breaks(Rule::ClaimNotParked),
        };
        Ok((astray || claim.is_going()).then_some(claim))
    }

    /// Whether a claim has chosen another object than one of `site`'s volume in the right mode.
    fn is_astray(&self, claim: &PersistentVolumeClaim, site: &SiteVolume, block: bool) -> bool {
        if claim.volume_name().is_empty() {
            return false;
        }
        let volume = self.view.volumes.get(claim.volume_name());
        !volume.is_some_and(|volume| {
            volume.volume_id().as_ref() == Some(&site.volume) && volume.is_block() == block
        })
    }

    /// What the application's claim is, or was.
    pub(super) fn app_record(&self, site: &SiteVolume) -> Result<ClaimRecord, RebindError> {
        match (
            self.view.claims.get(&self.desired.app_claim),
            &self.view.record,
        ) {
            (Some(claim), _) => Ok(self.record_of(claim)),
            (None, Some(record)) => Ok(record.clone()),
            (None, None) => Ok(self.record_by_volume(self.like(&site.volume)?)),
        }
    }

    /// A claim that was deleted before anything was kept of it (K-7): what its volume says of it.
    fn record_by_volume(&self, like: &PersistentVolume) -> ClaimRecord {
        let claim = &self.desired.app_claim;
        let mut volumes = self.view.volumes.values();
        let had = volumes.find(|volume| volume.is_for(&self.desired.pair, claim));
        ClaimRecord::by_volume(&self.desired.pair, claim, had.unwrap_or(like))
    }

    pub(super) fn record_of(&self, claim: &PersistentVolumeClaim) -> ClaimRecord {
        let volume = self.view.volumes.get(claim.volume_name());
        let mut record = ClaimRecord::of(claim, volume);
        // A claim without its volume's object can't say what file system was on it.
        if let (None, Some(kept)) = (volume, &self.view.record) {
            record.fs_type.clone_from(&kept.fs_type);
            record.mount_options.clone_from(&kept.mount_options);
        }
        record
    }

    fn reserve(&self, volume: &PersistentVolume, claim: &str) -> Stage {
        act(Step::Reserve {
            volume: volume.name_any(),
            claim: claim.into(),
            resource_version: volume.resource_version().unwrap_or_default(),
        })
    }

    fn in_use(&self, claim: &PersistentVolumeClaim) -> Option<Next> {
        let claim = claim.name_any();
        let pods = self.view.users_of(&claim).to_vec();
        (!pods.is_empty()).then_some(Next::Wait(Wait::InUse { claim, pods }))
    }

    /// Deletes a claim once nothing uses it.
    fn delete(&self, claim: &PersistentVolumeClaim) -> Result<Next, RebindError> {
        if let Some(wait) = self.in_use(claim) {
            return Ok(wait);
        }
        if claim.is_going() {
            // A snapshot that a stopped snapshotter never finishes would hold the claim, and with it
            // a failover, for ever. The volume is retained, and the snapshot's content names it.
            let mut keep = claim.finalizers().to_vec();
            keep.retain(|name| name != SNAPSHOT_PROTECTION);
            if keep.len() < claim.finalizers().len() {
                return Ok(Next::Do(Step::Unprotect {
                    claim: claim.name_any(),
                    keep,
                    resource_version: claim.resource_version().unwrap_or_default(),
                }));
            }
            return Ok(Next::Wait(Wait::ClaimGone {
                claim: claim.name_any(),
                finalizers: foreign_finalizers(claim),
            }));
        }
        Ok(Next::Do(Step::DeleteClaim {
            claim: claim.name_any(),
            uid: claim.uid().unwrap_or_default(),
            resource_version: claim.resource_version().unwrap_or_default(),
        }))
    }
}

pub(super) fn act(step: Step) -> Stage {
    Ok(Some(Next::Do(step)))
}

/// Waits until both sides of the binding say so.
fn bound(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<Next> {
    if claim.is_bound() && volume.is_bound_to(claim) {
        return None;
    }
    Some(Next::Wait(Wait::Bound {
        claim: claim.name_any(),
        volume: volume.name_any(),
    }))
}
