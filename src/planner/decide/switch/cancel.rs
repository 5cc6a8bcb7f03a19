//! A planned move that is cancelled, by people or by itself: it loses nothing or does not happen (K-6).
//!
//! Before the promotion the claim is bound again to the volume that it had. Once the new primary was
//! asked to take the role nobody knows whether it has: then the old one is promoted in the epoch after,
//! as long as nothing has run at the new one.

use jiff::SignedDuration;

use crate::decide::DecisionBuilder;
use crate::decide::switch::steps::step;
use crate::decide::switch::{closed, requested};
use api::v1alpha1::{SwitchKind, SwitchStatus, SwitchStep};

/// Why a move ends that people have taken back.
pub const WITHDRAWN: &str = "the request was withdrawn";

/// The most last cuts that one move takes.
const LAST_CUTS_MAX: i64 = 3;

/// Cancels a planned move that nobody asks for any more, or that has stood still for too long. Whether
/// it did.
pub fn cancel_if_due(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    if switch.kind != SwitchKind::Planned {
        // A forced one is not undone once it has begun to move the role.
        let early = switch.step.is_before_promotion() && switch.cancelled.is_none();
        return early && requested::withdrawn(d, switch) && cancel(d, switch, WITHDRAWN.into());
    }
    let going_back = switch.cancelled.is_some();
    if !going_back && requested::withdrawn(d, switch) {
        return cancel(d, switch, WITHDRAWN.into());
    }
    let asked = switch.step.is_before_promotion() && going_back;
    match overdue(d, switch).filter(|_| !asked) {
        Some(why) if switch.step.is_before_promotion() => {
            cancel_by_itself(d, why);
            true
        }
        Some(why) => {
            let done = cancel(d, switch, why);
            if done {
                handle_request(d, switch);
            }
            done
        }
        None => false,
    }
}

/// Cancels a move that has not come to its promotion, and does not begin it again.
pub fn cancel_by_itself(d: &mut DecisionBuilder<'_>, why: String) {
    if let Some(switch) = d.status.switch.clone() {
        handle_request(d, &switch);
        cancel(d, &switch, why);
    }
}

/// A last cut more, unless there were too many.
pub fn begin_again(
    d: &mut DecisionBuilder<'_>,
    switch: &SwitchStatus,
    next: SwitchStep,
    why: &str,
) {
    d.status.cycle = None;
    if switch.last_cuts.unwrap_or(0) >= LAST_CUTS_MAX {
        let why = format!("{LAST_CUTS_MAX} last cuts came to nothing, the last one because {why}");
        return cancel_by_itself(d, why);
    }
    if let Some(switch) = d.status.switch.as_mut() {
        // What was cut before is no last cut.
        switch.promoted_point = None;
    }
    step(d, next);
}

/// The manifest that asked for the move is not followed again, until it is changed once more. A Promotion
/// ends with its move.
fn handle_request(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    let spec = &d.observed.pair.spec;
    if spec.primary == switch.to {
        d.status.handled_primary = Some(spec.primary.clone());
    }
}

/// Whether the move is cancelled now.
fn cancel(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, why: String) -> bool {
    let next = match switch.step {
        SwitchStep::StopApplication if closed::is_parked(d, switch) => SwitchStep::Unpark,
        SwitchStep::StopApplication | SwitchStep::LastCut => SwitchStep::Cancel,
        SwitchStep::Park | SwitchStep::Ship | SwitchStep::Unpark => SwitchStep::Unpark,
        SwitchStep::Promote | SwitchStep::Demote | SwitchStep::Rebind => {
            return give_back(d, switch, why);
        }
        _ => return false,
    };
    d.status.cycle = None;
    leave(d, switch, next, why);
    true
}

/// Withdraws a promotion that nothing was done for yet: the claim is bound again where it was parked.
pub fn withdraw_promotion(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    let next = match closed::is_parked(d, switch) {
        true => SwitchStep::Unpark,
        false => SwitchStep::Cancel,
    };
    leave(d, switch, next, WITHDRAWN.into());
}

/// Goes on with the way back, and records why.
fn leave(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, next: SwitchStep, why: String) {
    if let Some(switch) = d.status.switch.as_mut() {
        switch.cancelled = Some(why);
    }
    if switch.step != next {
        step(d, next);
    }
}

/// The role goes back to where it was, in the epoch after: what both sides hold is the last cut.
fn give_back(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, why: String) -> bool {
    let known = switch.promoted_point.is_some() && switch.disturbed.is_none();
    if !closed::is_parked(d, switch) || !known {
        return false;
    }
    let generation = d.observed.fresh.generation.to_string();
    if let Some(switch) = d.status.switch.as_mut() {
        std::mem::swap(&mut switch.from, &mut switch.to);
        switch.epoch += 1;
        switch.generation = generation;
        switch.step = SwitchStep::Promote;
        switch.cancelled = switch.cancelled.is_none().then_some(why);
    }
    step(d, SwitchStep::Promote);
    true
}

/// Why a move has stood still for too long, if it has.
fn overdue(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) -> Option<String> {
    let now = d.observed.now;
    if let Some(cycle) = d.cycle() {
        let at = (cycle.phase.clone(), cycle.done_bytes);
        let known = d.timeline.switch_progress.as_ref();
        if known.is_none_or(|(known, _)| *known != at) {
            d.timeline.switch_progress = Some((at, now));
        }
    }
    let began = switch.step_since.as_ref().unwrap_or(&switch.started_at).0;
    let progress = d.timeline.switch_progress.as_ref().map(|(_, since)| *since);
    let since = progress.map_or(began, |progress| progress.max(began));
    let timeout = d.settings.role_change_timeout;
    if now.duration_since(since) < timeout {
        d.recheck_in(timeout.saturating_sub(now.duration_since(since).max(SignedDuration::ZERO)));
        return None;
    }
    let waiting = d.status.waiting.as_ref();
    let waiting = waiting.map_or(String::new(), |wait| format!(", waiting for {}", wait.what));
    Some(format!(
        "step {} stood still for {} s{waiting}",
        switch.step,
        timeout.as_secs()
    ))
}
