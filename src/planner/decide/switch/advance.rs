//! The step of a role change that is due now.

use jiff::SignedDuration;

use crate::decide::DecisionBuilder;
use crate::decide::switch::application::{start_application, stop_application};
use crate::decide::switch::steps::{RECHECK_AFTER, in_step, step, unfinished, want_new};
use crate::decide::switch::{binding, cancel, closed, demote, promote, requested};
use crate::mutations::Rule;
use crate::site::MoverDesired;
use api::v1alpha1::{PointStatus, SwitchKind, SwitchStatus, SwitchStep};

/// The longest that a forced move waits for the claim of the site that is lost. Beyond it the move goes
/// on; the claim is bound to the new volume as soon as it is unused.
const PARK_WAIT_MAX: SignedDuration = SignedDuration::from_secs(5);

/// Goes on with a change of the role, or begins one that is requested.
pub fn advance(d: &mut DecisionBuilder<'_>) {
    if d.status
        .switch
        .as_ref()
        .is_none_or(|switch| !unfinished(switch))
    {
        if let Some(switch) = requested::wanted(d) {
            d.status.switch = Some(switch);
        }
    } else {
        requested::detach(d);
        requested::join(d);
    }
    let Some(switch) = d.status.switch.clone().filter(unfinished) else {
        return;
    };
    d.cycles_allowed = false;
    if cancel::cancel_if_due(d, &switch) {
        return;
    }
    match switch.step {
        SwitchStep::StopApplication => stop(d, &switch),
        SwitchStep::LastCut => last_cut(d, &switch),
        SwitchStep::Park => park(d, &switch),
        SwitchStep::Ship => ship(d, &switch),
        SwitchStep::Promote => promote::promote(d, &switch),
        SwitchStep::Demote => demote::demote(d, &switch),
        SwitchStep::Rebind => binding::rebind(d, &switch),
        SwitchStep::Release => release(d, &switch),
        SwitchStep::Unpark => {
            if switch.cancelled.is_none() {
                prestart_movers(d, &switch, false);
            }
            binding::unpark(d, &switch);
        }
        SwitchStep::Cancel => release(d, &switch),
        // The first two are finished; with the last the pass holds before.
        SwitchStep::Done | SwitchStep::Cancelled | SwitchStep::Unknown(_) => {}
    }
}

/// Starts the mover of the new primary early, and with `old` the old one's too: when its next task
/// is to be demoted, and not to read a last cut.
fn prestart_movers(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, old: bool) {
    for site in &d.observed.sites {
        if site.name.as_str() == switch.to {
            want_new(d, switch, site);
        } else if old {
            d.want(&site.name, MoverDesired::Probe);
        }
    }
}

/// Nobody may write: the application is stopped, by us or by its people, and what it wrote is in the
/// volume.
fn stop(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    let forced = switch.kind == SwitchKind::Forced;
    prestart_movers(d, switch, forced);
    let stopped = stop_application(d, switch);
    // A cut that was begun while the application could write is no last cut.
    if d.cycle()
        .is_some_and(|cycle| cycle.phase.is_before_shipping() || forced)
    {
        d.status.cycle = None;
    }
    if let Some(cycle) = d.cycle() {
        let what = format!("cycle {} to end", cycle.point.label);
        d.wait(what);
        return;
    }
    if !stopped || !is_still_at(d, &SwitchStep::StopApplication) {
        return;
    }
    if forced || d.observed.rules().breaks(Rule::LastCutSkipped) {
        step(d, SwitchStep::Park);
    } else if closed::is_detached(d, switch) {
        step(d, SwitchStep::LastCut);
    }
}

/// The last cut of the stopped volume is taken: nothing is lost.
fn last_cut(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    prestart_movers(d, switch, false);
    if !stop_application(d, switch) || !closed::is_detached(d, switch) {
        if is_still_at(d, &SwitchStep::LastCut) {
            // Somebody started a pod again: what it writes would be lost.
            cancel::begin_again(
                d,
                switch,
                SwitchStep::StopApplication,
                "the volume was used again",
            );
        }
        return;
    }
    // The claim that the mover reads the cut from is made while the application's says how.
    let made = d
        .primary()
        .zip(d.cycle())
        .is_some_and(|(primary, cycle)| primary.source_claim(cycle.point.point()).is_some());
    if made || is_shipped(d, switch) {
        step(d, SwitchStep::Park);
        return;
    }
    d.cycles_allowed = true;
    d.cycle_now = true;
    d.wait("the last cut to be taken".into());
}

/// Whether the move was not cancelled meanwhile.
fn is_still_at(d: &DecisionBuilder<'_>, step: &SwitchStep) -> bool {
    d.status.switch.as_ref().map(|switch| &switch.step) == Some(step)
}

fn is_shipped(d: &DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    let last = switch.promoted_point.as_ref().map(PointStatus::point);
    d.cycle().is_none() && last.is_some() && d.committed() == last
}

/// No pod can start on the old volume any more. The last cut is shipped meanwhile.
fn park(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    if switch.kind == SwitchKind::Forced {
        stop_application(d, switch);
        prestart_movers(d, switch, true);
        binding::park(d, switch);
        if in_step(d, &SwitchStep::Park) > PARK_WAIT_MAX {
            step(d, SwitchStep::Promote);
        }
    } else if is_undisturbed(d, switch) {
        prestart_movers(d, switch, is_shipped(d, switch));
        binding::park(d, switch);
    }
}

/// The last cut is shipped and committed, and nobody can write meanwhile.
fn ship(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    if !is_undisturbed(d, switch) {
        return;
    }
    let shipped = is_shipped(d, switch);
    prestart_movers(d, switch, shipped);
    if !closed::is_parked(d, switch) {
        // Somebody has deleted it, or has created it again.
        binding::park(d, switch);
    } else if shipped || d.observed.rules().breaks(Rule::LastCutSkipped) {
        step(d, SwitchStep::Promote);
    } else {
        d.wait("the last cut to be shipped and committed".into());
    }
}

/// Whether the last cut still is one; else another is taken.
fn is_undisturbed(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    d.recheck_in(RECHECK_AFTER);
    let Some(from) = d.site_called(&switch.from) else {
        return false;
    };
    let skipped = d.observed.rules().breaks(Rule::LastCutSkipped);
    let failed = d.cycle().is_none() && !is_shipped(d, switch) && !skipped;
    let reopened = switch.step == SwitchStep::Ship && closed::is_bound_here(d, from);
    let why = closed::disturbance(from)
        .or_else(|| reopened.then(|| "the claim was bound to it again".into()))
        .or_else(|| failed.then(|| "its cycle failed".into()));
    if let Some(why) = &why {
        cancel::begin_again(d, switch, SwitchStep::Unpark, why);
    }
    why.is_none()
}

/// Remembers which cut is the last one, once its cycle has begun.
pub fn note_last_cut(d: &mut DecisionBuilder<'_>) {
    let Some(point) = d.cycle().map(|cycle| cycle.point.clone()) else {
        return;
    };
    if let Some(switch) = d
        .status
        .switch
        .as_mut()
        .filter(|s| s.step == SwitchStep::LastCut && unfinished(s))
    {
        let known = switch.promoted_point.as_ref();
        if known.is_none_or(|known| known.label != point.label) {
            switch.last_cuts = Some(switch.last_cuts.unwrap_or(0) + 1);
        }
        switch.promoted_point = Some(point);
    }
}

/// The application may go on: where the role is now.
fn release(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    if start_application(d, switch) {
        return;
    }
    let end = match switch.step == SwitchStep::Cancel || switch.cancelled.is_some() {
        true => SwitchStep::Cancelled,
        false => SwitchStep::Done,
    };
    step(d, end);
    let now = d.now();
    if let Some(switch) = d.status.switch.as_mut() {
        switch.finished_at = Some(now);
    }
    d.cycles_allowed = true;
}
