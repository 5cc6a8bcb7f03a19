//! When the next cycle begins. Ticks that fall into a running cycle are coalesced, never queued.

use jiff::{SignedDuration, Timestamp};

use crate::decide::DecisionBuilder;
use crate::decide::builder::after;

/// The pause after the first failed cycle; it doubles with each further one.
const RETRY_MIN: SignedDuration = SignedDuration::from_secs(5);
/// The longest pause after a failed cycle, or the interval if that is shorter.
const RETRY_MAX: SignedDuration = SignedDuration::from_mins(2);

/// When the next cycle may begin; in the past when one is due.
#[must_use]
pub fn next_cycle(d: &DecisionBuilder<'_>) -> Timestamp {
    if let Some(failure) = &d.status.last_failure {
        return after(
            failure.at.0,
            retry_pause(failure.attempts, d.settings.interval),
        );
    }
    let trigger = d.observed.pair.spec.sync_trigger.as_ref();
    if trigger.is_some() && trigger != d.status.last_sync_trigger.as_ref() {
        return d.observed.now;
    }
    if d.committed().is_none() {
        return d.observed.now;
    }
    let last = d
        .status
        .last_cut
        .as_ref()
        .and_then(|cut| cut.cut_at.clone());
    last.map_or(d.observed.now, |cut| after(cut.0, d.settings.interval))
}

fn retry_pause(failures: i64, interval: SignedDuration) -> SignedDuration {
    let doublings = u32::try_from(failures.clamp(1, 10) - 1).unwrap_or(0);
    let pause = RETRY_MIN.saturating_mul(1 << doublings);
    pause.min(RETRY_MAX).min(interval.max(RETRY_MIN))
}
