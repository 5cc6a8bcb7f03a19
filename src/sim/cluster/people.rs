//! What people ask for: changes of the role, consent, and another thought.

use rand::Rng;

use crate::cluster::world::{APP_CLAIM, APP_POD, PAIR, SITES, World};
use api::v1alpha1::{Promotion, PromotionKind, ReplicationPairStatus, Resolution};
use api::{Reason, ReplicationPairSpec, names};
use planner::decide::switch;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};

impl World {
    /// What the operator reports.
    pub(crate) fn status(&self) -> ReplicationPairStatus {
        let pair = self.server.pair.as_ref();
        pair.and_then(|pair| pair.status.clone())
            .unwrap_or_default()
    }

    /// Somebody edits the pair.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut ReplicationPairSpec)) {
        let stamp = self.server.objects.stamp();
        if let Some(pair) = &mut self.server.pair {
            let before = pair.spec.primary.clone();
            change(&mut pair.spec);
            self.oracle.primary_edited |= before != pair.spec.primary;
            let generation = pair.metadata.generation.get_or_insert(0);
            *generation += 1;
            pair.metadata.resource_version = Some(stamp);
        }
        self.server.changed();
    }

    /// Whether a change of the role is under way.
    pub(crate) fn is_moving(&self) -> bool {
        self.status()
            .switch
            .as_ref()
            .is_some_and(switch::unfinished)
    }

    /// Somebody wants the role to move.
    pub(crate) fn want_role_moved(&mut self, forced: bool) {
        let status = self.status();
        let (Some(primary), Some(epoch)) = (status.primary, status.epoch) else {
            return;
        };
        let to = SITES.into_iter().find(|site| *site != primary);
        let to = to.unwrap_or_default().to_string();
        let ordered = forced || self.random.random_range(0..3) == 0;
        let kind = match forced {
            true => PromotionKind::Forced,
            false => PromotionKind::Planned,
        };
        self.edit(|spec| match ordered {
            true => {
                spec.promotion = Some(Promotion {
                    site: to,
                    epoch,
                    kind,
                    attempt: None,
                });
            }
            false => spec.primary = to,
        });
    }

    /// Somebody wants the sides compared.
    pub(crate) fn want_comparison(&mut self) {
        let trigger = self.millis().to_string();
        self.edit(|spec| spec.verify_trigger = Some(trigger));
    }

    /// Whether the comparison that was asked for last has ended.
    pub(crate) fn is_compared(&self) -> bool {
        let wanted = self
            .server
            .pair
            .as_ref()
            .and_then(|pair| pair.spec.verify_trigger.clone());
        let verification = self.status().verification.unwrap_or_default();
        verification.running.is_none() && verification.trigger == wanted
    }

    /// Whether the pair says that the damage is at its primary.
    pub(crate) fn finds_its_cut_rotten(&self) -> bool {
        let damaged = api::Reason::PrimaryDamaged.as_str();
        let conditions = self.status().conditions;
        conditions
            .iter()
            .any(|condition| condition.reason == damaged)
    }

    /// Somebody thinks better of it.
    pub(crate) fn withdraw(&mut self) {
        let status = self.status();
        let before = status.switch.map(|switch| switch.from).or(status.primary);
        let Some(before) = before else { return };
        self.edit(|spec| {
            spec.primary = before;
            spec.promotion = None;
        });
    }

    /// Somebody consents to discard what only the standby holds.
    pub(crate) fn consent_now(&mut self) {
        let status = self.status();
        let (Some(primary), Some(epoch)) = (status.primary, status.epoch) else {
            return;
        };
        let site = SITES.into_iter().find(|site| *site != primary);
        let resolution = Some(Resolution {
            discard_site: site.unwrap_or_default().into(),
            epoch,
        });
        let known = self.server.pair.as_ref().map(|pair| &pair.spec.resolution);
        if known != Some(&resolution) {
            self.edit(|spec| spec.resolution = resolution);
        }
    }

    /// The people's own manifest of the application's claim, where that is gone; the patient wait until
    /// its volume is reserved for it.
    pub(crate) fn reapply_claim(&mut self, patient: bool) {
        let mut volumes = self.server.objects.volumes.values();
        let reserved = volumes.any(|volume| {
            let own = volume.claim_ref().and_then(|claim| claim.name.as_deref());
            own == Some(APP_CLAIM) && volume.is_reserved() && !volume.is_going()
        });
        let gone = !self.server.objects.claims.contains_key(APP_CLAIM);
        if gone && (reserved || !patient) && !self.server.health.cache_lags {
            self.app.may_be_elsewhere |= !reserved;
            let claim = self.manifest.clone();
            drop(self.server.put_claim(&claim));
        }
    }

    /// What a claim of the pair is bound to in place of the pair's volume goes.
    fn delete_foreign(&mut self) {
        if self.app_is_elsewhere() {
            self.server.delete_pod(APP_POD, None);
            self.server.objects.delete_claim(APP_CLAIM);
        }
        for site in SITES {
            let claim = names::replica_claim(PAIR, site);
            let handle = self.server.handle_of_claim(&claim);
            if handle.is_some_and(|handle| !self.volumes.contains(&Some(handle))) {
                self.server.objects.delete_claim(&claim);
            }
        }
    }

    /// Whoever deleted the application's claim creates it again; one that got another volume they delete
    /// once more.
    pub(crate) fn look_after_claim(&mut self) {
        let conditions = self.status().conditions;
        let replaced = Reason::VolumeReplaced.as_str();
        if self.is_moving() || conditions.iter().any(|c| c.reason == replaced) {
            self.delete_foreign();
        }
        let claim = self.server.objects.claims.get(APP_CLAIM);
        if claim.is_some_and(|claim| claim.is_going()) {
            self.server.delete_pod(APP_POD, None);
        }
        if self.is_moving() {
            return;
        }
        self.reapply_claim(true);
    }
}
