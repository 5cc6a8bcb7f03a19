//! The application is never held longer than it must be: when and where `post` hooks are due.

use jiff::SignedDuration;

use crate::decide::DecisionBuilder;
use crate::observe::HookTarget;
use crate::site::HookStep;
use api::v1alpha1::{CyclePhase, QuiesceState, QuiesceStatus};

/// The longest that the application is held for one cut. Beyond it the application goes on and the
/// cut is abandoned: the application comes first.
pub const HOLD_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Runs `post` wherever `pre` was tried, as soon as nothing needs the application to be held.
pub fn release(d: &mut DecisionBuilder<'_>) {
    status_was_lost(d);
    let Some(targets) = held(d) else { return };
    if targets.is_empty() {
        d.hooks = Some(HookStep::Select);
    } else if due(d) {
        d.hooks = Some(HookStep::Release(targets));
    }
}

/// With the status is lost which pods are held, if any: all of them are released (K-13).
fn status_was_lost(d: &mut DecisionBuilder<'_>) {
    let begun = d.observed.sites.iter().any(|s| s.state_claim.is_some());
    let lost = begun && d.status.pair_id.is_none() && d.status.quiesce.is_none();
    if lost && !d.settings.hooks.is_empty() {
        d.status.quiesce = Some(QuiesceStatus {
            point: String::new(),
            held_at: d.now(),
            released_at: None,
            held_ms: 0,
            state: QuiesceState::Held,
            message: None,
            pods: Vec::new(),
        });
    }
}

/// The pods that may be held now.
fn held(d: &DecisionBuilder<'_>) -> Option<Vec<HookTarget>> {
    let quiesce = d
        .status
        .quiesce
        .as_ref()
        .filter(|q| q.released_at.is_none())?;
    Some(
        quiesce
            .pods
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect(),
    )
}

/// Whether pods may be held now.
#[must_use]
pub fn holding(d: &DecisionBuilder<'_>) -> bool {
    d.status
        .quiesce
        .as_ref()
        .is_some_and(|q| q.released_at.is_none() && !q.pods.is_empty())
}

fn due(d: &DecisionBuilder<'_>) -> bool {
    let (Some(quiesce), Some(cycle)) = (&d.status.quiesce, d.cycle()) else {
        return true;
    };
    if quiesce.state == QuiesceState::Failed || cycle.point.label != quiesce.point {
        return true;
    }
    match &cycle.phase {
        // Recorded, but not by this process: whether `pre` ran is unknown, so begin again.
        CyclePhase::Quiescing => !d.timeline.about_to_hold,
        CyclePhase::Cutting => {
            let cut = d.primary().and_then(|site| site.cut(cycle.point.point()));
            let settled = cut.is_some_and(|cut| cut.created.is_some() || cut.error.is_some());
            settled || d.observed.now.duration_since(quiesce.held_at.0) > HOLD_MAX
        }
        CyclePhase::Starting
        | CyclePhase::Shipping
        | CyclePhase::Applying
        | CyclePhase::Committing
        | CyclePhase::Unknown(_) => true,
    }
}
