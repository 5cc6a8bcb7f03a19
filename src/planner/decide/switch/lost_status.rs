//! A status that was lost: a role change that was under way is picked up again, by the note of it that is
//! kept with the state claims (K-13).

use crate::decide::DecisionBuilder;
use crate::decide::switch::steps::unfinished;
use crate::observe::{SiteView, Volume};
use crate::site::Note;
use api::v1alpha1::{SiteStatus, SwitchKind, SwitchStatus, SwitchStep};

/// Notes the change of the role with the state claims: at which step it is, and how many replicas the
/// application had.
pub fn note(d: &mut DecisionBuilder<'_>) {
    let switch = d.status.switch.as_ref().filter(|s| unfinished(s));
    let text = switch.and_then(|switch| serde_json::to_string(switch).ok());
    let note = text.map_or(Note::Nothing, Note::RoleChange);
    for site in &d.observed.sites {
        d.at(&site.name).note = note.clone();
    }
}

/// The change of the role that is noted, the later of two.
#[must_use]
pub fn noted(d: &DecisionBuilder<'_>) -> Option<SwitchStatus> {
    let notes = d.observed.sites.iter();
    let notes = notes.filter_map(|site| serde_json::from_str(site.noted.as_ref()?).ok());
    notes.max_by_key(|s: &SwitchStatus| (s.epoch, s.step_since.as_ref().map(|since| since.0)))
}

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
pub fn volumes_by_evidence(d: &mut DecisionBuilder<'_>) {
    let direct = |site: &SiteView| {
        let replica = || {
            site.replica_claim
                .as_ref()
                .and_then(|claim| claim.volume.clone())
        };
        site.labelled_volume.clone().or_else(replica)
    };
    let app = d.observed.app_claim();
    let app = app.and_then(|claim| claim.volume.clone());
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
