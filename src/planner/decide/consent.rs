//! Whether a site may hold writes that nobody else has, and whether they may be discarded.

use crate::decide::DecisionBuilder;
use protocol::units::Epoch;

/// Whether `site` may hold writes that nobody else has.
#[must_use]
pub fn is_diverged(d: &DecisionBuilder<'_>, site: &str) -> bool {
    d.status.sites.iter().any(|s| s.name == site && s.diverged)
}

/// Consent to overwrite the standby, if it is given for this very epoch and site.
#[must_use]
pub fn consent(d: &DecisionBuilder<'_>) -> Option<Epoch> {
    let resolution = d.observed.pair.spec.resolution.as_ref()?;
    let standby = d.standby()?;
    let valid = resolution.discard_site == standby.name.as_str()
        && Some(resolution.epoch) == d.status.epoch;
    valid.then(|| d.epoch())
}
