//! Whether a site may hold writes that nobody else has, and whether they may be discarded.

use crate::decide::DecisionBuilder;
use crate::mutations::Rule;
use crate::requests;
use api::v1alpha1::{ConsentStatus, RequestStatus};
use protocol::units::Epoch;

/// Whether `site` may hold writes that nobody else has.
#[must_use]
pub fn is_diverged(d: &DecisionBuilder<'_>, site: &str) -> bool {
    d.status.sites.iter().any(|s| s.name == site && s.diverged)
}

/// Consent to overwrite the standby, if it is given for this very epoch and site.
#[must_use]
pub fn consent(d: &DecisionBuilder<'_>) -> Option<Epoch> {
    if d.observed.rules().breaks(Rule::ConsentEpochIgnored) {
        return of_any_epoch(d);
    }
    requests::consented(&d.status).map(|_| d.epoch())
}

/// The newest consent, as a broken rule has it.
fn of_any_epoch(d: &DecisionBuilder<'_>) -> Option<Epoch> {
    let standby = d.standby()?;
    let given = d.observed.resyncs.iter();
    let given = given.filter(|one| one.spec.discard_site == standby.name.as_str());
    let epochs = given.filter_map(|one| u64::try_from(one.spec.epoch).ok());
    epochs.max().map(Epoch)
}

/// Records the consent that is given now. It then holds although its object is deleted.
pub fn note(d: &mut DecisionBuilder<'_>) {
    if consent(d).is_some() {
        return;
    }
    d.status.consent = None;
    let Some(standby) = d.standby().map(|standby| standby.name.to_string()) else {
        return;
    };
    if !requests::follows(&d.status, &standby)
        && let Some(given) = requests::counting(&d.observed.resyncs, &d.status, &standby)
    {
        d.status.consent = Some(ConsentStatus {
            site: standby,
            epoch: given.spec.epoch,
            request: RequestStatus::of(&given.metadata),
        });
    }
}
