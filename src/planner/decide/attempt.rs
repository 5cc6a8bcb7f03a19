//! What becomes of an attempt that went wrong.

use jiff::SignedDuration;

use crate::decide::DecisionBuilder;
use crate::decide::builder::after;
use api::Reason;
use api::v1alpha1::{CyclePhase, FailureStatus};

/// How often one cut is tried. Beyond it the cycle fails, what was committed stays, and the next
/// tick cuts again.
pub const ATTEMPTS_MAX: i64 = 5;

/// The pause after the first failed attempt; it doubles with each further one.
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(1);

/// Tries the same cut again after a pause, or abandons it.
pub fn retry(d: &mut DecisionBuilder<'_>, reason: Reason, message: String) {
    let Some(cycle) = d.status.cycle.as_mut() else {
        return;
    };
    if cycle.attempt >= ATTEMPTS_MAX {
        fail(d, reason, message);
        return;
    }
    let doublings = u32::try_from(cycle.attempt.clamp(1, 10) - 1).unwrap_or(0);
    cycle.attempt += 1;
    let resume = after(d.observed.now, PAUSE_MIN.saturating_mul(1 << doublings));
    d.timeline.retry_at = Some(resume);
    d.timeline.started = None;
    d.recheck_at(resume);
    d.phase(CyclePhase::Starting);
    d.wait(format!("the next attempt, because {message}"));
}

/// Ends the cycle. Nothing that is committed is touched; the next one begins after a pause.
pub fn fail(d: &mut DecisionBuilder<'_>, reason: Reason, message: String) {
    let Some(cycle) = d.status.cycle.take() else {
        return;
    };
    let before = d
        .status
        .last_failure
        .as_ref()
        .map_or(0, |failure| failure.attempts);
    d.status.last_failure = Some(FailureStatus {
        point: cycle.point.label,
        reason,
        message,
        attempts: before + 1,
        at: d.now(),
    });
}
