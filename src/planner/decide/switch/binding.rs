//! The claims follow the roles: which volume belongs behind which claim.

use crate::decide::DecisionBuilder;
use crate::decide::switch::application::{start_application, stop_application};
use crate::decide::switch::closed;
use crate::decide::switch::steps::RECHECK_AFTER;
use crate::rebind::{DesiredBinding, SiteVolume};
use crate::site::ClaimDesired;
use api::v1alpha1::{ReplicationPairStatus, SwitchStatus};
use api::{Reason, ReplicationPair};
use protocol::units::{Epoch, PairName, SiteName, VolumeId};

/// The claims follow the roles.
pub fn rebind(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    // The movers hold volumes that are about to be bound to other claims: none is wanted here. The
    // re-binding itself waits until a claim is unused, so that much is done while they end.
    let bound = d
        .site_called(&switch.to)
        .is_some_and(|to| closed::is_bound_here(d, to));
    if !bound && !closed::is_parked(d, switch) {
        // Whoever still runs on the old volume keeps the claim from being bound to the new one.
        stop_application(d, switch);
    }
    bind(d, switch, ClaimDesired::App, &switch.to, &switch.from);
}

/// The application's claim is bound to nothing, so that no pod can start on the old volume.
pub fn park(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    bind(d, switch, ClaimDesired::Parked, &switch.from, &switch.to);
}

/// The application's claim is bound again to the volume that it had.
pub fn unpark(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    if switch.cancelled.is_none() {
        stop_application(d, switch);
    }
    bind(d, switch, ClaimDesired::App, &switch.from, &switch.to);
}

/// The application's claim is for the volume of `site`, or closed to it, and `other` has its replica
/// claim.
fn bind(
    d: &mut DecisionBuilder<'_>,
    switch: &SwitchStatus,
    app: fn(VolumeId) -> ClaimDesired,
    site: &str,
    other: &str,
) {
    if let Some(wait) = d.status.waiting.clone() {
        // What it waits for is learnt only when it is tried. Until then the last answer holds:
        // taken back and given again it would wake the operator over and over.
        d.wait(wait.what);
    }
    d.recheck_in(RECHECK_AFTER);
    let (Some(one), Some(other)) = (volume_of(&d.status, site), volume_of(&d.status, other)) else {
        d.trouble(
            Reason::SwitchInProgress,
            "the volumes' handles are unknown: neither the status nor the claims say them. Restore the \
             claims' PersistentVolumes"
                .into(),
        );
        return;
    };
    let bound = d
        .primary()
        .is_some_and(|primary| primary.name == one.site && closed::is_bound_here(d, primary));
    let deleting = d.app_claim().is_some_and(|claim| claim.deleting);
    let runs = switch.cancelled.is_some() || !switch.step.is_before_promotion();
    if bound && !deleting && runs {
        // What is left to do is the standby's.
        start_application(d, switch);
    }
    d.at(&one.site).claim = Some(app(one.volume));
    d.at(&other.site).claim = Some(ClaimDesired::Replica(other.volume));
}

/// Which volume belongs behind which claim while `primary` has the role; `None` while a handle is
/// unknown.
#[must_use]
pub fn desired_binding(
    pair: &ReplicationPair,
    status: &ReplicationPairStatus,
    primary: &str,
) -> Option<DesiredBinding> {
    let meta = &pair.metadata;
    let standby = status.sites.iter().find(|site| site.name != primary)?;
    Some(DesiredBinding {
        pair: PairName::new(meta.namespace.as_deref()?, meta.name.as_deref()?).ok()?,
        uid: meta.uid.clone()?,
        epoch: Epoch(u64::try_from(status.epoch?).ok()?),
        app_claim: pair.spec.claim_name.clone(),
        primary: Some(volume_of(status, primary)?),
        standby: Some(volume_of(status, &standby.name)?),
        closed: None,
        only_reserve: false,
    })
}

fn volume_of(status: &ReplicationPairStatus, site: &str) -> Option<SiteVolume> {
    let known = status.sites.iter().find(|s| s.name == site)?;
    Some(SiteVolume {
        site: site.parse::<SiteName>().ok()?,
        volume: known.volume_id()?,
    })
}
