//! The step of a role change that is due now.

use crate::decide::DecisionBuilder;
use crate::decide::switch::application::{start_application, stop_application};
use crate::decide::switch::steps::{step, unfinished, want_new};
use crate::decide::switch::{binding, demote, promote};
use crate::mutations::Rule;
use crate::site::MoverDesired;
use api::v1alpha1::{PointStatus, SwitchKind, SwitchStatus, SwitchStep};

/// Goes on with a change of the role, or begins one that is requested.
pub fn advance(d: &mut DecisionBuilder<'_>) {
    if d.status
        .switch
        .as_ref()
        .is_none_or(|switch| !unfinished(switch))
    {
        if let Some(switch) = promote::wanted(d) {
            d.status.switch = Some(switch);
        }
    } else {
        promote::escalate_to_forced(d);
    }
    let Some(switch) = d.status.switch.clone().filter(unfinished) else {
        return;
    };
    d.cycles_allowed = false;
    match switch.step {
        SwitchStep::StopApplication => stop(d, &switch),
        SwitchStep::LastCut => last_cut(d, &switch),
        SwitchStep::Promote => promote::promote(d, &switch),
        SwitchStep::Demote => demote::demote(d, &switch),
        SwitchStep::Rebind => binding::rebind(d, &switch),
        SwitchStep::Release => release(d, &switch, SwitchStep::Done),
        SwitchStep::Cancel => release(d, &switch, SwitchStep::Cancelled),
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

/// Nobody may write: the application is stopped, by us or by its people.
fn stop(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    if promote::withdrawn(d, switch) {
        step(d, SwitchStep::Cancel);
        return;
    }
    prestart_movers(d, switch, switch.kind == SwitchKind::Forced);
    let stopped = stop_application(d, switch);
    // A cut that was begun while the application could write is no last cut.
    if d.cycle()
        .is_some_and(|cycle| cycle.phase.is_before_shipping() || switch.kind == SwitchKind::Forced)
    {
        d.status.cycle = None;
    }
    if let Some(cycle) = d.cycle() {
        let what = format!("cycle {} to end", cycle.point.label);
        d.wait(what);
        return;
    }
    if stopped {
        let forced =
            switch.kind == SwitchKind::Forced || d.observed.rules().breaks(Rule::LastCutSkipped);
        let next = if forced {
            SwitchStep::Promote
        } else {
            SwitchStep::LastCut
        };
        step(d, next);
    }
}

/// The last cut of the stopped volume, shipped and committed: nothing is lost.
fn last_cut(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    let last = switch.promoted_point.as_ref().map(PointStatus::point);
    let shipped = d.cycle().is_none() && last.is_some() && d.committed() == last;
    prestart_movers(d, switch, shipped);
    if promote::withdrawn(d, switch) {
        d.status.cycle = None;
        step(d, SwitchStep::Cancel);
        return;
    }
    if !stop_application(d, switch) {
        // Somebody started a pod again: what it writes would be lost.
        d.status.cycle = None;
        step(d, SwitchStep::StopApplication);
        return;
    }
    if shipped {
        step(d, SwitchStep::Promote);
        return;
    }
    d.cycles_allowed = true;
    d.cycle_now = true;
    d.wait("the last cut to be shipped and committed".into());
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
        switch.promoted_point = Some(point);
    }
}

/// The application may go on: where the role is now.
fn release(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, end: SwitchStep) {
    if start_application(d, switch) {
        return;
    }
    step(d, end);
    let now = d.now();
    if let Some(switch) = d.status.switch.as_mut() {
        switch.finished_at = Some(now);
    }
    d.cycles_allowed = true;
}
