//! Which volume is the pair's: the one that was recorded, whatever a claim is bound to now (K-1).

use crate::mutations::Rule;
use crate::observe::{Observed, SiteView, Volume};
use crate::validate::Problem;
use api::Reason;
use api::v1alpha1::SiteStatus;
use protocol::units::{Epoch, VolumeId};

/// Whether the claim of a site is bound to another volume than the recorded one. While the status does
/// not know it, the label that Ferry left on the volume counts.
#[must_use]
pub fn replaced(observed: &Observed, site: &SiteView) -> bool {
    let (Some(recorded), Some(now)) = (recorded(observed, site), volume(observed, site)) else {
        return false;
    };
    now.id() != Some(recorded) && !observed.rules().breaks(Rule::VolumeNotPinned)
}

fn recorded(observed: &Observed, site: &SiteView) -> Option<VolumeId> {
    let status = observed.pair.status.as_ref();
    let mut sites = status.into_iter().flat_map(|status| &status.sites);
    let known = sites.find(|known| known.name == site.name.as_str());
    known
        .and_then(SiteStatus::volume_id)
        .or_else(|| site.labelled_volume.as_ref()?.id())
}

/// What is behind the claim that the site has in its role.
fn volume<'a>(observed: &Observed, site: &'a SiteView) -> Option<&'a Volume> {
    let primary = observed.primary_site()? == site.name;
    let claim = match primary {
        true => site.app_claim.as_ref(),
        false => site.replica_claim.as_ref(),
    };
    claim?.volume.as_ref()
}

/// The epoch of a consent to discard what the primary's recorded volume holds.
#[must_use]
pub fn consent(observed: &Observed) -> Option<Epoch> {
    let resolution = observed.pair.spec.resolution.as_ref()?;
    let status = observed.pair.status.as_ref()?;
    let valid = status.primary.as_ref() == Some(&resolution.discard_site)
        && status.epoch == Some(resolution.epoch);
    valid.then(|| Epoch(u64::try_from(resolution.epoch).unwrap_or(0)))
}

/// Whether the volume behind the application's claim becomes the pair's now: by a consent that was not
/// used before.
#[must_use]
pub fn adopts(observed: &Observed) -> bool {
    let status = observed.pair.status.as_ref();
    let used = status.and_then(|status| status.adopted_epoch);
    let primary = observed.primary_site();
    let primary = primary.and_then(|primary| observed.site(&primary));
    let fresh = consent(observed).is_some_and(|epoch| used != i64::try_from(epoch.0).ok());
    fresh && primary.is_some_and(|primary| replaced(observed, primary))
}

/// What is wrong where a claim is bound to another volume.
pub(super) fn check(observed: &Observed) -> Option<Problem> {
    let site = observed
        .sites
        .iter()
        .find(|site| replaced(observed, site))?;
    if adopts(observed) {
        return None;
    }
    let VolumeId { driver, handle } = recorded(observed, site)?;
    let now = volume(observed, site)?;
    let primary = observed.primary_site()? == site.name;
    let advice = match primary {
        true => format!(
            "to go on with the recorded one, move what has to be kept and delete claim {}: Ferry reserves the \
             recorded volume for the next claim of that name; to go on with the new one instead, set \
             spec.resolution to {{discardSite: {}, epoch: {}}}",
            observed.pair.spec.claim_name,
            site.name,
            observed.pair.status.as_ref()?.epoch?,
        ),
        false => "delete the replica claim: Ferry makes it again for the recorded volume".into(),
    };
    Some(Problem::new(
        Reason::VolumeReplaced,
        format!(
            "the claim at site {} is bound to PersistentVolume {}, and the pair's volume there is {handle} of \
             driver {driver}: nothing is cut or shipped, and what the standby holds can be promoted; {advice}",
            site.name, now.name,
        ),
    ))
}
