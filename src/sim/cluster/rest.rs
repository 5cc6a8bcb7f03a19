//! What must hold once everything is healed and nothing is under way.

use std::collections::BTreeSet;

use kube::ResourceExt as _;

use crate::cluster::world::{APP_CLAIM, PAIR, SITES, World};
use crate::image::Image;
use crate::volume::Volume as Device;
use api::names;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};

impl World {
    /// What must hold once everything is healed and nothing is under way.
    ///
    /// # Errors
    /// What does not, as a sentence.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        let status = self.status();
        let primary = status.primary.clone().unwrap_or_default();
        let leads = usize::from(primary == SITES[1]);
        let [held, copy] = [leads, 1 - leads].map(|at| {
            let device = self.server.storage.device(self.volumes[at].as_ref()?);
            device.map(Device::bytes)
        });
        // The standby's volume may be larger.
        let held = Image::of(&held.unwrap_or_default());
        if let Some(block) = held.differs(&copy.unwrap_or_default(), &BTreeSet::new()) {
            return Err(format!(
                "at the end block {block} differs between the sides"
            ));
        }
        let standby = SITES.iter().find(|site| **site != primary).copied();
        let replica = names::replica_claim(PAIR, standby.unwrap_or_default());
        let state = SITES.map(|site| names::state_claim(PAIR, site));
        let wanted: BTreeSet<String> = [APP_CLAIM.to_string(), replica]
            .into_iter()
            .chain(state)
            .collect();
        let claims = self.server.objects.claims.keys();
        let claims: BTreeSet<String> = claims
            .filter(|claim| !self.is_strangers(claim))
            .cloned()
            .collect();
        if claims != wanted {
            return Err(format!("at the end there are the claims {claims:?}"));
        }
        let unbound = self
            .server
            .objects
            .claims
            .values()
            .find(|claim| !claim.is_bound() && !self.is_strangers(&claim.name_any()));
        if let Some(claim) = unbound {
            return Err(format!(
                "at the end claim {} is not bound",
                claim.name_any()
            ));
        }
        self.only_so_many_volumes(wanted.len())?;
        for (at, site) in (0..).zip(SITES) {
            let cuts = self.storage_cuts(at).len();
            if cuts != 1 {
                return Err(format!(
                    "at the end there are {cuts} snapshots at site {site}"
                ));
            }
        }
        let snapshots = self.server.storage.snapshots.len();
        if snapshots != 2 {
            return Err(format!(
                "at the end the storage holds {snapshots} snapshots"
            ));
        }
        if self.server.objects.record.is_some() {
            return Err("at the end the copy of the application's claim is left over".into());
        }
        Ok(())
    }

    /// The pair has one volume for each of its claims, and no other is left over.
    fn only_so_many_volumes(&self, wanted: usize) -> Result<(), String> {
        let volumes = self.server.objects.volumes.values();
        let volumes = volumes.filter(|volume| !self.is_of_stranger(volume));
        if volumes.clone().count() != wanted {
            let extra = volumes.map(|volume| {
                let claim = volume.claim_ref().and_then(|claim| claim.name.clone());
                let status = volume.status.as_ref();
                let phase = status.and_then(|status| status.phase.clone());
                (volume.name_any(), claim, phase, volume.policy())
            });
            return Err(format!(
                "at the end there are the volumes {:?}",
                extra.collect::<Vec<_>>()
            ));
        }
        Ok(())
    }
}
