//! A cycle, from its tick to its commit. One at a time; each phase is decided from what is there.

use jiff::SignedDuration;

use crate::decide::{
    DecisionBuilder, Next, admission, attempt, commit, cut, idle, schedule, ship, switch, verify,
};
use api::Reason;
use api::v1alpha1::{CyclePhase, CycleStatus, PointStatus};
use protocol::units::Point;

/// How often a pair that waits for a free slot looks for one.
const SLOT: SignedDuration = SignedDuration::from_secs(2);

/// Goes on with the running cycle, or begins one that is due.
pub fn run(d: &mut DecisionBuilder<'_>) {
    let epoch = d.epoch();
    if d.cycle().is_some_and(|c| c.point.point().epoch != epoch) {
        // Its primary was put back to an older copy of itself, and the pair to an older epoch: nobody
        // is left who can ship it.
        d.status.cycle = None;
    }
    // What is cut now would be of another volume than the pair's (K-1).
    let problem = d.validated.problem();
    let replaced = problem.is_some_and(|problem| problem.reason == Reason::VolumeReplaced);
    if replaced
        && d.cycle()
            .is_some_and(|cycle| cycle.phase.is_before_shipping())
    {
        d.status.cycle = None;
    }
    if d.cycle().is_none() {
        verify::note(d);
    }
    if d.cycle().is_none() && (verify::holds(d) || !begin_if_due(d)) {
        verify::run(d);
        idle::linger(d);
        return;
    }
    let Some(cycle) = d.cycle().cloned() else {
        return;
    };
    let point = cycle.point.point();
    d.timeline = d.timeline.of(point);
    d.timeline.began.get_or_insert(d.observed.now);
    for site in &d.observed.sites {
        d.keep.insert((site.name.clone(), point));
    }
    phases(d, point, cycle.phase);
}

/// Lives through as many phases as come to their end now: each at most once.
fn phases(d: &mut DecisionBuilder<'_>, point: Point, mut phase: CyclePhase) {
    for _ in CyclePhase::KNOWN {
        let next = match &phase {
            CyclePhase::Quiescing => cut::hold(d, point),
            CyclePhase::Cutting => cut::cut(d, point),
            CyclePhase::Starting => ship::start(d, point),
            CyclePhase::Shipping | CyclePhase::Applying => ship::watch(d, point),
            CyclePhase::Committing => commit::commit(d, point),
            // Nothing comes here with it: the pass holds before.
            CyclePhase::Unknown(_) => Next::Stay,
        };
        match next {
            Next::Go(next) => {
                d.phase(next.clone());
                phase = next;
            }
            Next::Await(next) => return d.phase(next),
            Next::Retry(reason, message) => return attempt::retry(d, reason, message),
            Next::Failed(reason, message) => return attempt::fail(d, reason, message),
            Next::Stay | Next::Ended => return,
        }
    }
}

fn begin_if_due(d: &mut DecisionBuilder<'_>) -> bool {
    if admission::barred(d).is_some() {
        return false;
    }
    let due = if d.cycle_now && d.status.last_failure.is_none() {
        d.observed.now
    } else {
        schedule::next_cycle(d)
    };
    if due > d.observed.now {
        d.recheck_at(due);
        idle::in_sync_until(d);
        return false;
    }
    let moving = d.status.switch.as_ref().is_some_and(switch::unfinished);
    if !d.observed.slot && !moving {
        d.wait("a free slot: as many pairs as may be are at work".into());
        d.recheck_in(SLOT);
        return false;
    }
    begin(d);
    true
}

/// Begins a cycle with a number that was never used.
fn begin(d: &mut DecisionBuilder<'_>) {
    let point = Point {
        epoch: d.epoch(),
        seq: d.highest_seq().next(),
    };
    let phase = if d.settings.hooks.is_empty() {
        CyclePhase::Cutting
    } else {
        CyclePhase::Quiescing
    };
    d.status.cycle = Some(CycleStatus {
        point: PointStatus::new(point, None),
        phase,
        started_at: d.now(),
        attempt: 1,
        planned_bytes: 0,
        done_bytes: 0,
        wire_bytes: 0,
        bytes_per_second: 0,
        eta_seconds: None,
        cut_done_at: None,
    });
    d.status.last_seq = i64::try_from(point.seq.0).ok();
    d.status
        .last_sync_trigger
        .clone_from(&d.observed.pair.spec.sync_trigger);
}
