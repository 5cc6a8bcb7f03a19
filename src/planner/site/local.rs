//! A site of this cluster. A site of another cluster will be one behind the link to its operator.

use protocol::units::{Epoch, PairName, VolumeId};

use crate::observe::SiteView;
use crate::rebind::{DesiredBinding, SiteVolume};
use crate::site::{ClaimDesired, Refused, SiteDecision, SiteDesired, decide};

/// A site, wherever it is: it shows itself and gets what it is to become.
pub trait Site {
    /// What is there.
    fn view(&self) -> &SiteView;

    /// Has the site become `desired`.
    ///
    /// # Errors
    /// When the site knows a higher epoch.
    fn desire(&self, desired: &SiteDesired) -> Result<SiteDecision, Refused>;
}

/// A site of this cluster: what is to be done there is done by this operator.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a>(pub &'a SiteView);

impl Site for Local<'_> {
    fn view(&self) -> &SiteView {
        self.0
    }

    fn desire(&self, desired: &SiteDesired) -> Result<SiteDecision, Refused> {
        decide(self.0, desired)
    }
}

/// The one re-binding for two sites of one cluster, which share the application's claim; `None` unless
/// one of them takes that claim, or it is parked, and the other has its replica claim.
#[must_use]
pub fn rebinding(
    (pair, uid): (PairName, String),
    epoch: Epoch,
    app_claim: &str,
    sites: &[(SiteDesired, SiteDecision)],
) -> Option<DesiredBinding> {
    let find = |volume: fn(&ClaimDesired) -> Option<&VolumeId>| {
        sites.iter().find_map(|(desired, decision)| {
            Some(SiteVolume {
                site: desired.site.clone(),
                volume: volume(decision.claim.as_ref()?)?.clone(),
            })
        })
    };
    Some(DesiredBinding {
        pair,
        uid,
        epoch,
        app_claim: app_claim.into(),
        primary: find(app_volume),
        standby: Some(find(replica_volume)?),
        closed: find(closed_volume),
        only_reserve: sites
            .iter()
            .any(|(_, decision)| matches!(decision.claim, Some(ClaimDesired::Reserved(_)))),
    })
    .filter(|desired| desired.primary.is_some() != desired.closed.is_some())
}

fn app_volume(claim: &ClaimDesired) -> Option<&VolumeId> {
    match claim {
        ClaimDesired::App(volume) | ClaimDesired::Reserved(volume) => Some(volume),
        ClaimDesired::Replica(_) | ClaimDesired::Parked(_) => None,
    }
}

fn replica_volume(claim: &ClaimDesired) -> Option<&VolumeId> {
    match claim {
        ClaimDesired::Replica(volume) => Some(volume),
        ClaimDesired::App(_) | ClaimDesired::Reserved(_) | ClaimDesired::Parked(_) => None,
    }
}

fn closed_volume(claim: &ClaimDesired) -> Option<&VolumeId> {
    match claim {
        ClaimDesired::Parked(volume) => Some(volume),
        ClaimDesired::App(_) | ClaimDesired::Reserved(_) | ClaimDesired::Replica(_) => None,
    }
}
