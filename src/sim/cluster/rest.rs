//! What must hold once everything is healed and nothing is under way.

use std::collections::BTreeSet;

use kube::ResourceExt as _;

use crate::cluster::world::{APP_CLAIM, PAIR, SITES, World};
use crate::volume::Volume as Device;
use api::names;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};

impl World {
    /// What must hold once everything is healed and nothing is under way.
    ///
    /// # Errors
    /// What does not, as a sentence.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        let volumes = [0, 1].map(|at| self.volumes[at].clone().unwrap_or_default());
        let device = |volume: &String| self.server.storage.device(volume);
        let [east, west] = volumes
            .each_ref()
            .map(|volume| device(volume).map(Device::bytes));
        if east != west {
            return Err("at the end the sides differ".into());
        }
        let status = self.status();
        let primary = status.primary.unwrap_or_default();
        let standby = SITES.iter().find(|site| **site != primary).copied();
        let replica = names::replica_claim(PAIR, standby.unwrap_or_default());
        let state = SITES.map(|site| names::state_claim(PAIR, site));
        let wanted: BTreeSet<String> = [APP_CLAIM.to_string(), replica]
            .into_iter()
            .chain(state)
            .collect();
        let claims: BTreeSet<String> = self.server.objects.claims.keys().cloned().collect();
        if claims != wanted {
            return Err(format!("at the end there are the claims {claims:?}"));
        }
        let unbound = self
            .server
            .objects
            .claims
            .values()
            .find(|claim| !claim.is_bound());
        if let Some(claim) = unbound {
            return Err(format!(
                "at the end claim {} is not bound",
                claim.name_any()
            ));
        }
        if self.server.objects.volumes.len() != wanted.len() {
            let extra = self.server.objects.volumes.values().map(|volume| {
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
}
