//! What people ask for: changes of the role, consent, and another thought.

use std::sync::LazyLock;

use rand::Rng;

use crate::cluster::asked::promotion;
use crate::cluster::world::{APP_CLAIM, APP_POD, PAIR, SITES, World};
use api::v1alpha1::{PromotionKind, PromotionSpec, ReplicationPairStatus, SwitchKind};
use api::{Reason, ReplicationPairSpec, conditions, names};
use planner::decide::switch;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};
use protocol::units::Epoch;

/// A status that says nothing.
static NOTHING: LazyLock<ReplicationPairStatus> = LazyLock::new(ReplicationPairStatus::default);

impl World {
    /// What the operator reports.
    pub(crate) fn status(&self) -> &ReplicationPairStatus {
        let pair = self.server.pair.as_ref();
        pair.and_then(|pair| pair.status.as_ref())
            .unwrap_or(&NOTHING)
    }

    /// Somebody edits the pair.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut ReplicationPairSpec)) {
        let stamp = self.server.objects.stamp();
        if let Some(pair) = &mut self.server.pair {
            let before = pair.spec.primary.clone();
            change(&mut pair.spec);
            let edited = before != pair.spec.primary;
            self.oracle.primary_edited |= edited;
            self.oracle.taken_back |= edited;
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
        let (Some(primary), Some(epoch)) = (&status.primary, status.epoch) else {
            return;
        };
        let to = SITES.into_iter().find(|site| site != primary);
        let to = to.unwrap_or_default().to_string();
        let by_request = forced || self.random.random_range(0..3) == 0;
        let kind = match forced {
            true => PromotionKind::Forced,
            false => PromotionKind::Planned,
        };
        match by_request {
            true => self.ask(promotion(&to, epoch, kind)),
            false => self.edit(|spec| spec.primary = to),
        }
    }

    /// Somebody creates a promotion.
    pub(crate) fn ask(&mut self, spec: PromotionSpec) {
        self.oracle.taken_back |= spec.cancel;
        let one = self.server.put_promotion(spec);
        self.oracle
            .asked
            .insert(one.metadata.uid.unwrap_or_default(), one.spec);
    }

    /// Somebody creates once more what was asked for before.
    pub(crate) fn ask_again(&mut self) {
        let all = self.server.asked.promotions.values();
        let specs: Vec<PromotionSpec> = all.map(|one| one.spec.clone()).collect();
        if !specs.is_empty() {
            let spec = specs[self.random.random_range(0..specs.len())].clone();
            self.ask(spec);
        }
    }

    /// Somebody deletes requests: it asks for nothing.
    pub(crate) fn prune_requests(&mut self) {
        let random = &mut self.random;
        let asked = &mut self.server.asked;
        asked.promotions.retain(|_, _| random.random());
        asked.resyncs.retain(|_, _| random.random());
        self.server.changed();
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
        let verification = self.status().verification.as_ref();
        let ended = verification.is_none_or(|verification| verification.running.is_none());
        ended && verification.and_then(|verification| verification.trigger.clone()) == wanted
    }

    /// Whether the pair says that the damage is at its primary.
    pub(crate) fn finds_its_cut_rotten(&self) -> bool {
        let damaged = api::Reason::PrimaryDamaged.as_str();
        let mut conditions = self.status().conditions.iter();
        conditions.any(|condition| condition.reason == damaged)
    }

    /// Somebody thinks better of it.
    pub(crate) fn withdraw(&mut self) {
        let status = self.status();
        let switch = status.switch.as_ref();
        let before = switch.map(|switch| &switch.from);
        let Some(before) = before.or(status.primary.as_ref()).cloned() else {
            return;
        };
        self.oracle.taken_back = true;
        self.take_back();
        self.server.cancel_promotions();
        self.edit(|spec| spec.primary = before);
    }

    /// A change of the role whose request is gone is cancelled by one that is made cancelled, as the plugin
    /// does it.
    fn take_back(&mut self) {
        let status = self.status();
        let Some(switch) = status.switch.clone().filter(switch::unfinished) else {
            return;
        };
        let own = switch.request.as_ref().map(|request| &request.uid);
        let mut all = self.server.asked.promotions.values();
        if own.is_none() || all.any(|one| one.metadata.uid.as_ref() == own) {
            return;
        }
        let kind = match switch.kind == SwitchKind::Forced {
            true => PromotionKind::Forced,
            false => PromotionKind::Planned,
        };
        self.ask(promotion(&switch.to, switch.epoch - 1, kind));
    }

    /// Somebody consents to discard what only the standby holds, whether it holds anything or not.
    pub(crate) fn consent_now(&mut self) {
        self.consent_for(0);
    }

    /// Somebody consents to it for so many epochs ago.
    pub(crate) fn consent_for(&mut self, ago: i64) {
        let status = self.status();
        let (Some(primary), Some(epoch)) = (&status.primary, status.epoch) else {
            return;
        };
        let at = usize::from(primary == SITES[0]);
        self.consent_to(at, epoch - ago);
    }

    /// Somebody consents to discard what only a site holds.
    pub(crate) fn consent_to(&mut self, at: usize, epoch: i64) {
        self.server.put_resync(SITES[at], epoch);
        if let Ok(epoch) = u64::try_from(epoch) {
            self.oracle.consents.insert((at, Epoch(epoch)));
        }
    }

    /// Somebody looks after a standby that is diverged, and consents unless that was done.
    pub(crate) fn consent_where_held(&mut self) {
        let status = self.status();
        let held = status.sites.iter().any(|site| site.diverged);
        let mut given = self.server.asked.resyncs.values();
        let stands = given.any(|one| {
            let known = one.status.as_ref().map_or(&[][..], |s| &s.conditions);
            Some(one.spec.epoch) == status.epoch && !conditions::is_over(known)
        });
        if held && !stands && status.consent.is_none() {
            self.consent_now();
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
            let foreign = handle.is_some_and(|handle| !self.volumes.contains(&Some(handle)));
            if foreign && !self.is_strangers(&claim) {
                self.server.objects.delete_claim(&claim);
            }
        }
    }

    /// A pair that was applied with the other site's name has its manifest changed, as its status says (K-15).
    pub(crate) fn follow_swapped(&mut self) {
        let swapped = Reason::SitesSwapped.as_str();
        if self.status().conditions.iter().any(|c| c.reason == swapped) {
            self.edit(|spec| {
                let other = SITES.into_iter().find(|site| *site != spec.primary);
                spec.primary = other.unwrap_or_default().into();
            });
        }
    }

    /// Whoever deleted the application's claim creates it again; one that got another volume they delete
    /// once more.
    pub(crate) fn look_after_claim(&mut self) {
        let replaced = Reason::VolumeReplaced.as_str();
        let mut conditions = self.status().conditions.iter();
        if self.is_moving() || conditions.any(|c| c.reason == replaced) {
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
