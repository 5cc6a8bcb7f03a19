//! A status that was lost: a role change that may be under way is picked up again.

use crate::decide::DecisionBuilder;
use crate::observe::{SiteView, Volume};
use api::v1alpha1::{SiteStatus, SwitchKind, SwitchStatus, SwitchStep};

/// The status is lost and the pair has seen a promotion: whether claims and roles match is not
/// known. The last steps are done again; where they were done already they change nothing.
pub fn resume_after_loss(d: &mut DecisionBuilder<'_>) {
    let Some(to) = d.status.primary.clone() else {
        return;
    };
    let from = d
        .observed
        .sites
        .iter()
        .find(|site| site.name.as_str() != to);
    let Some(from) = from.map(|site| site.name.to_string()) else {
        return;
    };
    volumes_by_evidence(d);
    d.status.switch = Some(SwitchStatus {
        kind: SwitchKind::Forced,
        from,
        to,
        epoch: d.status.epoch.unwrap_or(0),
        generation: d.status.generation.clone().unwrap_or_default(),
        ..SwitchStatus::at(SwitchStep::Demote, d.now())
    });
}

/// Which volume is whose, without the status: labels of an earlier re-binding first, then the
/// replica claims, and what is left is what the application's claim is bound to.
fn volumes_by_evidence(d: &mut DecisionBuilder<'_>) {
    let direct = |site: &SiteView| {
        let replica = || {
            site.replica_claim
                .as_ref()
                .and_then(|claim| claim.volume.clone())
        };
        site.labelled_volume.clone().or_else(replica)
    };
    let app = d.app_claim().and_then(|claim| claim.volume.clone());
    let evidence: Vec<(&SiteView, Option<Volume>)> = d
        .observed
        .sites
        .iter()
        .map(|site| (site, direct(site)))
        .collect();
    let taken = |volume: &Volume| {
        evidence
            .iter()
            .any(|(_, known)| known.as_ref().is_some_and(|k| k.handle == volume.handle))
    };
    let rest = app.filter(|volume| !taken(volume));
    d.status.sites = evidence
        .iter()
        .map(|(site, known)| {
            let volume = known.clone().or_else(|| rest.clone());
            SiteStatus {
                name: site.name.to_string(),
                role: String::new(),
                volume: volume.as_ref().map(|v| v.name.clone()),
                driver: volume.as_ref().and_then(|v| v.driver.clone()),
                handle: volume.and_then(|v| v.handle),
                ..SiteStatus::default()
            }
        })
        .collect();
}
