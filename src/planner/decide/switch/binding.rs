//! The claims follow the roles: which volume belongs behind which claim.

use crate::decide::DecisionBuilder;
use crate::decide::switch::application::start_application;
use crate::decide::switch::steps::RECHECK_AFTER;
use crate::observe::Claim;
use crate::rebind::{DesiredBinding, SiteVolume, VolumeKey};
use crate::site::ClaimDesired;
use api::v1alpha1::{ReplicationPairStatus, SwitchStatus};
use api::{Reason, ReplicationPair};
use protocol::units::{Epoch, PairName, SiteName};

/// The claims follow the roles.
pub fn rebind(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    // The movers hold volumes that are about to be bound to other claims: none is wanted here. The
    // re-binding itself waits until a claim is unused, so that much is done while they end.
    if let Some(wait) = d.status.waiting.clone() {
        // What it waits for is learnt only when it is tried. Until then the last answer holds:
        // taken back and given again it would wake the operator over and over.
        d.wait(wait.what);
    }
    match desired_binding(&d.observed.pair, &d.status, switch) {
        Some(desired) => {
            if has_volume_of(d.app_claim(), desired.primary.as_ref()) {
                // What is left to do is the standby's.
                start_application(d, switch);
            }
            for (site, claim) in [
                (
                    desired.primary,
                    ClaimDesired::App as fn(VolumeKey) -> ClaimDesired,
                ),
                (desired.standby, ClaimDesired::Replica),
            ] {
                if let Some(SiteVolume { site, volume }) = site {
                    d.at(&site).claim = Some(claim(volume));
                }
            }
        }
        None => {
            d.trouble(
                Reason::SwitchInProgress,
                "the volumes' handles are unknown: neither the status nor the claims say them. Restore the \
                 claims' PersistentVolumes"
                    .into(),
            );
        }
    }
    d.recheck_in(RECHECK_AFTER);
}

/// Which volume belongs behind which claim once `switch` is done; `None` while a handle is unknown.
#[must_use]
pub fn desired_binding(
    pair: &ReplicationPair,
    status: &ReplicationPairStatus,
    switch: &SwitchStatus,
) -> Option<DesiredBinding> {
    let meta = &pair.metadata;
    let volume = |site: &str| {
        let known = status.sites.iter().find(|s| s.name == site)?;
        Some(SiteVolume {
            site: site.parse::<SiteName>().ok()?,
            volume: VolumeKey {
                driver: known.driver.clone()?,
                handle: known.handle.clone()?,
            },
        })
    };
    Some(DesiredBinding {
        pair: PairName::new(meta.namespace.as_deref()?, meta.name.as_deref()?).ok()?,
        epoch: Epoch(u64::try_from(status.epoch?).ok()?),
        app_claim: pair.spec.claim_name.clone(),
        primary: Some(volume(&switch.to)?),
        standby: Some(volume(&switch.from)?),
    })
}

/// Whether the application's claim is bound to the volume of `site`.
fn has_volume_of(claim: Option<&Claim>, site: Option<&SiteVolume>) -> bool {
    let bound = claim.filter(|claim| claim.bound && !claim.deleting);
    let volume = bound.and_then(|claim| claim.volume.as_ref());
    volume.zip(site).is_some_and(|(volume, site)| {
        volume.driver.as_ref() == Some(&site.volume.driver)
            && volume.handle.as_ref() == Some(&site.volume.handle)
    })
}
