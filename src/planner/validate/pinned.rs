//! Which volume is the pair's: the one that was recorded, whatever a claim is bound to now (K-1).

use crate::mutations::Rule;
use crate::observe::{Observed, SiteView, Volume};
use crate::requests;
use crate::validate::Problem;
use api::v1alpha1::SiteStatus;
use api::{Reason, Resync};
use protocol::units::VolumeId;

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

/// The consent by which the volume behind the application's claim becomes the pair's now, and what only
/// the recorded one holds is discarded: one that was not used before.
#[must_use]
pub fn adopts(observed: &Observed) -> Option<&Resync> {
    let status = observed.pair.status.as_ref()?;
    let primary = observed.site(&observed.primary_site()?)?;
    let consent = requests::counting(&observed.resyncs, status, primary.name.as_str());
    consent.filter(|_| replaced(observed, primary))
}

/// What is wrong where a claim is bound to another volume.
pub(super) fn check(observed: &Observed) -> Option<Problem> {
    let site = observed
        .sites
        .iter()
        .find(|site| replaced(observed, site))?;
    if adopts(observed).is_some() {
        return None;
    }
    let VolumeId { driver, handle } = recorded(observed, site)?;
    let now = volume(observed, site)?;
    let primary = observed.primary_site()? == site.name;
    let advice = match primary {
        true => format!(
            "to go on with the recorded one, move what has to be kept and delete claim {}: Ferry reserves the \
             recorded volume for the next claim of that name; to go on with the new one instead, kubectl ferry \
             resync {} --discard {}",
            observed.pair.spec.claim_name,
            observed.name(),
            site.name,
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
