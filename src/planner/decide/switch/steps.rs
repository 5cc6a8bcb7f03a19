//! What every step of a role change needs: where it stands, going on, and the new primary's mover.

use jiff::SignedDuration;

use crate::decide::DecisionBuilder;
use crate::observe::SiteView;
use crate::site::MoverDesired;
use api::v1alpha1::{SwitchKind, SwitchStatus, SwitchStep};
use protocol::units::ImageState;

/// How often to look again at what nobody tells us of, such as pods that come and go.
pub const RECHECK_AFTER: SignedDuration = SignedDuration::from_millis(300);

/// Whether a role change is under way.
#[must_use]
pub fn unfinished(switch: &SwitchStatus) -> bool {
    switch.finished_at.is_none()
}

/// Whether the site that the role is to go to was not asked to take it yet.
#[must_use]
pub fn before_promotion(switch: &SwitchStatus) -> bool {
    switch.step.is_before_promotion()
}

/// Whether the role change has come to where roles and claims do not match.
#[must_use]
pub fn rebinding(switch: &SwitchStatus) -> bool {
    unfinished(switch) && switch.step.is_rebinding()
}

/// Records the next step; it is done in the next round, after it was written.
pub fn step(d: &mut DecisionBuilder<'_>, next: SwitchStep) {
    let now = d.now();
    if let Some(switch) = d.status.switch.as_mut() {
        let from = std::mem::replace(&mut switch.step, next.clone());
        switch.step_since = Some(now);
        assert!(
            from == next || from.may_go_to(&next),
            "a role change can't go from {from} to {next}"
        );
    }
    d.timeline.switch_step = Some((next, d.observed.now));
    d.recheck_at(d.observed.now);
}

/// How long the present step has taken, as far as this process has seen.
pub fn in_step(d: &mut DecisionBuilder<'_>, name: &SwitchStep) -> SignedDuration {
    let now = d.observed.now;
    match &d.timeline.switch_step {
        Some((step, since)) if step == name => now.duration_since(*since),
        _ => {
            d.timeline.switch_step = Some((name.clone(), now));
            SignedDuration::ZERO
        }
    }
}

/// Asks for the new primary's mover. A forced promotion needs the volume only to finish a set that is
/// fully staged; a mover that never had it keeps no claim from being re-bound.
pub fn want_new(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, site: &SiteView) {
    if site.replica_claim.is_none() {
        // The role goes back to a site that never let it go.
        d.want(&site.name, MoverDesired::Probe);
        return;
    }
    if switch.kind == SwitchKind::Forced && !has_staged(d, site) {
        d.want(&site.name, MoverDesired::Probe);
    } else {
        d.want(&site.name, MoverDesired::Writer);
    }
}

/// Whether a set is staged completely at a site and not written yet: by its mover, or by the last one that
/// answered.
fn has_staged(d: &mut DecisionBuilder<'_>, site: &SiteView) -> bool {
    let report = site.live().and_then(|mover| mover.superblock.as_ref());
    match report.map(|report| report.image) {
        Some(ImageState::Redo(_)) => {
            d.timeline.staged.insert(site.name.clone());
        }
        Some(_) => {
            d.timeline.staged.remove(&site.name);
        }
        None => {}
    }
    d.timeline.staged.contains(&site.name)
}
