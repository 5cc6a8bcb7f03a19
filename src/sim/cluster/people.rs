//! What people ask for: changes of the role, consent, and another thought.

use rand::Rng;

use crate::cluster::world::{SITES, World};
use api::ReplicationPairSpec;
use api::v1alpha1::{Promotion, PromotionKind, ReplicationPairStatus, Resolution};
use planner::decide::switch;

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
}
