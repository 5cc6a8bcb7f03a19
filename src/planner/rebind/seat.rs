//! Which object of a volume a claim gets: the best there is. Pure.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt as _;

use crate::rebind::next::Planner;
use crate::rebind::object::{ClaimExt as _, VolumeExt as _};
use crate::rebind::{ClaimRecord, RebindError, SiteVolume};
use protocol::units::VolumeId;

/// A volume's object for a claim, as far as there is one.
pub(super) enum Seat<'a> {
    /// It is reserved for the claim, or bound to it.
    Ready(&'a PersistentVolume),
    /// Nobody has it, or a claim that is gone.
    Free(&'a PersistentVolume),
    /// Another claim has it.
    Taken(&'a PersistentVolume),
    /// There is none of the right mode.
    Missing(&'a PersistentVolume),
}

impl<'a> Planner<'a> {
    pub(super) fn app_seat(
        &self,
        site: &SiteVolume,
        record: &ClaimRecord,
    ) -> Result<Seat<'a>, RebindError> {
        self.seat(
            &site.volume,
            &self.desired.app_claim,
            record.claim.is_block(),
        )
    }

    pub(super) fn replica_seat(&self, site: &SiteVolume) -> Result<Seat<'a>, RebindError> {
        self.seat(&site.volume, &self.desired.replica_claim(&site.site), true)
    }

    /// The object of `key` for `claim`: the best there is.
    pub(super) fn seat(
        &self,
        key: &VolumeId,
        claim: &str,
        block: bool,
    ) -> Result<Seat<'a>, RebindError> {
        let like = self.like(key)?;
        let fit = self
            .view
            .volumes_of(key)
            .filter(|volume| volume.is_block() == block);
        let seats = fit.filter_map(|volume| {
            let holder = self.holder(volume).map(|holder| holder.name_any());
            match holder {
                // While it is bound, even an object that is being deleted stays.
                Some(holder) if holder == claim => Some((0, Seat::Ready(volume))),
                _ if volume.is_going() => None,
                Some(_) => Some((3, Seat::Taken(volume))),
                None if volume.is_for(&self.desired.pair, claim) && volume.is_reserved() => {
                    Some((1, Seat::Ready(volume)))
                }
                None => Some((2, Seat::Free(volume))),
            }
        });
        let best = seats.min_by_key(|(rank, _)| *rank);
        Ok(best.map_or(Seat::Missing(like), |(_, seat)| seat))
    }

    /// The claim that a volume's object is bound to, if it still exists.
    pub(super) fn holder(&self, volume: &PersistentVolume) -> Option<&'a PersistentVolumeClaim> {
        self.view
            .claims
            .values()
            .find(|claim| volume.is_bound_to(claim))
    }

    /// The object to copy from: one that is not being deleted, if possible.
    pub(super) fn like(&self, key: &VolumeId) -> Result<&'a PersistentVolume, RebindError> {
        self.view
            .volumes_of(key)
            .min_by_key(|volume| volume.is_going())
            .ok_or_else(|| RebindError::VolumeMissing {
                driver: key.driver.clone(),
                handle: key.handle.clone(),
            })
    }
}
