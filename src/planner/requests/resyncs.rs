//! Which Resync counts: one for the present epoch and for a site that has something to discard.

use crate::observe::Observed;
use crate::validate::pinned;
use api::v1alpha1::ConsentStatus;
use api::{ReplicationPairStatus, Resync, conditions};

/// The oldest Resync that consents to discard what `site` holds in the epoch of `status`, of those that
/// were not used before.
#[must_use]
pub fn counting<'a>(
    resyncs: &'a [Resync],
    status: &ReplicationPairStatus,
    site: &str,
) -> Option<&'a Resync> {
    let of_now = resyncs.iter().filter(|one| {
        let known = one.status.as_ref().map_or(&[][..], |s| &s.conditions);
        let used = status.adopted_by.is_some() && status.adopted_by == one.metadata.uid;
        Some(one.spec.epoch) == status.epoch
            && one.spec.discard_site == site
            && !conditions::is_over(known)
            && !used
    });
    of_now.min_by_key(|one| (one.metadata.creation_timestamp.clone(), &one.metadata.uid))
}

/// Whether it is known that `site` holds nothing of its own: it has committed a point of the present epoch,
/// and is not diverged. Until then a copy may yet turn out to be another than it should be.
#[must_use]
pub fn follows(status: &ReplicationPairStatus, site: &str) -> bool {
    let diverged = status.sites.iter().any(|s| s.name == site && s.diverged);
    !diverged && status.committed_point.is_some()
}

/// The consent that is recorded and still holds: for the present epoch and the present standby, until that
/// follows.
#[must_use]
pub fn consented(status: &ReplicationPairStatus) -> Option<&ConsentStatus> {
    let consent = status.consent.as_ref()?;
    let holds = Some(consent.epoch) == status.epoch
        && Some(&consent.site) != status.primary.as_ref()
        && !follows(status, &consent.site);
    holds.then_some(consent)
}

/// Whether there is something at the primary to consent to: another volume behind the application's
/// claim than the pair's.
#[must_use]
pub fn is_replaced(observed: &Observed) -> bool {
    let primary = observed.primary_site();
    let primary = primary.and_then(|primary| observed.site(&primary));
    primary.is_some_and(|primary| pinned::replaced(observed, primary))
}
