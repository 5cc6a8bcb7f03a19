//! What came of the actions, worked into the status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::observe::{HookReport, HookTarget};
use crate::observe::{Timeline, millis_between};
use api::v1alpha1::{
    CyclePhase, QuiesceState, QuiesceStatus, ReplicationPairStatus, SwitchKind, SwitchStep,
};
use protocol::units::Point;

/// What came of an action, where it matters.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// The pods that hooks have to run in.
    Selected(Vec<HookTarget>),
    /// The `pre` hooks have run, from the first time to the second.
    Held(HookReport, Timestamp),
    /// The `post` hooks have run.
    Released(HookReport, Timestamp),
    /// The driver was asked whether nothing has changed up to this cut.
    Probed(Point, bool),
    /// The source was asked to ship; a list of changes is being fed or none is needed.
    Fed(Point),
    /// The source was sent the bandwidth limit.
    Paced(Option<u64>),
    /// Every claim is bound as desired.
    Rebound,
    /// The re-binding waits for this.
    RebindWaits(String),
}

/// Works `report` into the status and the marks of time.
pub fn absorb(
    status: &mut ReplicationPairStatus,
    line: &mut Timeline,
    report: Report,
    now: Timestamp,
) {
    match report {
        Report::Selected(targets) => selected(status, line, &targets, now),
        Report::Held(outcome, at) => held(status, line, &outcome, at),
        Report::Released(outcome, at) => released(status, line, &outcome, at),
        Report::Probed(point, unchanged) if line.point == Some(point) => {
            line.unchanged = Some(unchanged);
        }
        Report::Probed(..) => {}
        Report::Fed(point) => line.fed = Some(point),
        Report::Paced(limit) => line.pace = Some(limit),
        Report::Rebound => rebound(status, now),
        Report::RebindWaits(what) => {
            let since = Time(now);
            let same = status
                .waiting
                .as_ref()
                .is_some_and(|wait| wait.what == what);
            if !same {
                status.waiting = Some(api::v1alpha1::WaitStatus { what, since });
            }
        }
    }
}

/// The claims are bound as the step of the move wanted them.
fn rebound(status: &mut ReplicationPairStatus, now: Timestamp) {
    let Some(switch) = status.switch.as_mut() else {
        return;
    };
    switch.step = match switch.step {
        SwitchStep::Rebind => SwitchStep::Release,
        SwitchStep::Park if switch.kind == SwitchKind::Forced => SwitchStep::Promote,
        SwitchStep::Park => SwitchStep::Ship,
        SwitchStep::Unpark if switch.cancelled.is_some() => SwitchStep::Cancel,
        SwitchStep::Unpark => SwitchStep::StopApplication,
        _ => return,
    };
    switch.step_since = Some(Time(now));
}

fn selected(
    status: &mut ReplicationPairStatus,
    line: &mut Timeline,
    targets: &[HookTarget],
    now: Timestamp,
) {
    let unknown = |q: &&mut QuiesceStatus| q.released_at.is_none() && q.pods.is_empty();
    if let Some(quiesce) = status.quiesce.as_mut().filter(unknown) {
        // A status that was lost did not say which are held.
        quiesce.pods = targets.iter().map(ToString::to_string).collect();
        quiesce.released_at = targets.is_empty().then_some(Time(now));
        return;
    }
    let Some(cycle) = status
        .cycle
        .as_mut()
        .filter(|cycle| cycle.phase == CyclePhase::Quiescing)
    else {
        return;
    };
    if targets.is_empty() {
        cycle.phase = CyclePhase::Cutting;
        return;
    }
    status.quiesce = Some(QuiesceStatus {
        point: cycle.point.label.clone(),
        held_at: Time(now),
        released_at: None,
        held_ms: 0,
        state: QuiesceState::Held,
        message: None,
        pods: targets.iter().map(ToString::to_string).collect(),
    });
    line.about_to_hold = true;
    line.held = Some(now);
}

fn held(
    status: &mut ReplicationPairStatus,
    line: &mut Timeline,
    outcome: &HookReport,
    at: Timestamp,
) {
    let Some(quiesce) = status.quiesce.as_mut() else {
        return;
    };
    quiesce.message = failures(outcome);
    if outcome.abort {
        quiesce.state = QuiesceState::Failed;
        return;
    }
    if let Some(cycle) = status.cycle.as_mut() {
        cycle.phase = CyclePhase::Cutting;
        line.phase_since(&CyclePhase::Cutting, at);
    }
}

fn released(
    status: &mut ReplicationPairStatus,
    line: &Timeline,
    outcome: &HookReport,
    at: Timestamp,
) {
    let Some(quiesce) = status.quiesce.as_mut() else {
        return;
    };
    quiesce.released_at = Some(Time(at));
    quiesce.held_ms = millis_between(line.held.or(Some(quiesce.held_at.0)), Some(at));
    if quiesce.state == QuiesceState::Held {
        quiesce.state = QuiesceState::Released;
    }
    if let Some(failure) = failures(outcome) {
        quiesce.message = Some(match quiesce.message.take() {
            Some(before) => format!("{before}; {failure}"),
            None => failure,
        });
    }
}

fn failures(outcome: &HookReport) -> Option<String> {
    let failed: Vec<String> = outcome
        .outcomes
        .iter()
        .filter_map(|one| {
            Some(format!(
                "in pod {}: {}",
                one.target.pod,
                one.failure.as_ref()?
            ))
        })
        .collect();
    (!failed.is_empty()).then(|| failed.join("; "))
}
