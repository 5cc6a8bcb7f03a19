//! The application's claim where no pod may start on it: it names a volume that does not exist. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use crate::mutations::Rule;
use crate::rebind::next::{Planner, Stage, act};
use crate::rebind::object::{ClaimExt as _, VolumeExt as _};
use crate::rebind::{SiteVolume, Step, new_volume};

impl Planner<'_> {
    /// Whether the application's claim is parked.
    pub(super) fn is_app_parked(&self) -> bool {
        let claim = self.view.claims.get(&self.desired.app_claim);
        claim.is_some_and(|claim| new_volume::parked_at(self.view, claim).is_some())
    }

    /// Whoever creates the application's claim while it is being parked gets the volume that it had,
    /// never an empty one.
    pub(super) fn prepare_parking(&self, site: &SiteVolume) -> Stage {
        let Some(claim) = self.app_to_delete()? else {
            return Ok(None);
        };
        let record = self.record_of(claim);
        let reserved = self.view.volumes_of(&site.volume).any(|volume| {
            let fits = volume.is_block() == record.claim.is_block() && !volume.is_going();
            fits && volume.is_reserved()
                && volume.is_for(&self.desired.pair, &self.desired.app_claim)
        });
        if reserved {
            return Ok(None);
        }
        let like = self.like(&site.volume)?;
        let volume = new_volume::for_app(self.view, self.desired, site, like, &record);
        act(Step::CreateVolume(Box::new(volume)))
    }

    /// The application's claim, with the name of a volume that does not exist.
    pub(super) fn create_parked(&self, found: Option<&PersistentVolumeClaim>) -> Stage {
        if found.is_some() || self.view.rules.breaks(Rule::ClaimNotParked) {
            return Ok(None);
        }
        let Some(site) = self.desired.parked() else {
            return Ok(None);
        };
        let record = self.app_record(site)?;
        let name = new_volume::parked_name(self.view, self.desired);
        act(Step::CreateClaim(Box::new(record.bound_to(&name))))
    }
}
