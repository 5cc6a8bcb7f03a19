//! The middle of a cycle: start the movers, ask them to ship, watch them until the cut is applied.

use jiff::SignedDuration;

use crate::decide::evidence::applied;
use crate::decide::receive::receive;
use crate::decide::{DecisionBuilder, Next, change_source, movers, progress, unchanged};
use crate::observe::{Cut, SiteView};
use crate::site::{MoverDesired, MoverTask, is_settled};
use api::Reason;
use api::v1alpha1::CyclePhase;
use protocol::units::Point;
use wire::control::{Activity, CycleOutcome, MoverStatus, Refusal, RefusalKind, Request};

/// The longest wait for both movers. Beyond it the attempt counts as failed.
pub const START_WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);

/// The longest wait for the standby to report what the source reports already. Beyond it the cut is shipped again.
const REPORT_WAIT_MAX: SignedDuration = SignedDuration::from_secs(30);

/// How often to look at movers that have reported nothing.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// Starts both movers, and asks them to ship when both answer.
pub fn start(d: &mut DecisionBuilder<'_>, point: Point) -> Next {
    let (Some(primary), Some(standby)) = (d.primary(), d.standby()) else {
        return Next::Stay;
    };
    let Some(cut) = primary.cut(point).filter(|cut| cut.ready) else {
        return Next::Failed(
            Reason::SnapshotFailed,
            format!(
                "the snapshot of cut {point} at site {} was deleted; the next cycle makes another",
                primary.name
            ),
        );
    };
    if applied(standby, point) {
        return Next::Go(CyclePhase::Committing);
    }
    if let Some(next) = unchanged::settle(d, primary, standby, cut) {
        return next;
    }
    d.want(&primary.name, MoverDesired::Reader(point));
    d.want(&standby.name, MoverDesired::Writer);
    if let Some(at) = d.timeline.retry_at.filter(|at| *at > d.observed.now) {
        d.recheck_at(at);
        return Next::Stay;
    }
    match both_ready(d, primary, standby, point) {
        Ok(movers) => request(d, primary, standby, movers, cut),
        Err(next) => next,
    }
}

/// Both reports, when both movers answer, have superblocks of this pair, and devices that fit; else what
/// comes next.
fn both_ready<'a>(
    d: &mut DecisionBuilder<'a>,
    primary: &'a SiteView,
    standby: &'a SiteView,
    point: Point,
) -> Result<(&'a MoverStatus, &'a MoverStatus), Next> {
    let ready = [primary, standby].map(|site| movers::ready(d, site));
    let [Some(source), Some(target)] = ready else {
        d.recheck_in(RECHECK_AFTER);
        if d.in_phase(&CyclePhase::Starting) > START_WAIT_MAX {
            restart_unreadable(d, [primary, standby]);
            let stuck = movers::stuck(d);
            return Err(Next::Retry(
                Reason::MoverNotStarting,
                format!(
                    "the movers did not start within {} minutes: {stuck}",
                    START_WAIT_MAX.as_mins()
                ),
            ));
        }
        return Err(Next::Stay);
    };
    let (have, need) = (
        target.device_bytes.unwrap_or(0),
        source.device_bytes.unwrap_or(0),
    );
    if have < need {
        grow_target(d, standby, have, need);
        return Err(Next::Stay);
    }
    tracing::debug!(%point, "both movers are ready");
    Ok((source, target))
}

/// A mover looks at its superblock once, when it starts: one that could not read it is started again.
fn restart_unreadable(d: &mut DecisionBuilder<'_>, sites: [&SiteView; 2]) {
    for site in sites {
        let unreadable = site
            .live()
            .is_some_and(|mover| mover.superblock_error.is_some());
        if let Some(pod) = site.pod.as_ref().filter(|_| unreadable) {
            d.at(&site.name).replace_mover = Some(pod.uid.clone());
        }
    }
}

/// The target's device is too small still. A claim that has grown shows it to a new pod.
fn grow_target(d: &mut DecisionBuilder<'_>, standby: &SiteView, have: u64, need: u64) {
    let Some(replica) = &standby.replica_claim else {
        return;
    };
    if replica.requested_bytes < need {
        let volumes = d.at(&standby.name).volumes.as_mut();
        if let Some(replica) = volumes.and_then(|volumes| volumes.replica.as_mut()) {
            replica.bytes_min = replica.bytes_min.max(need);
        }
    } else if replica.capacity_bytes >= need
        && let Some(pod) = &standby.pod
    {
        d.at(&standby.name).replace_mover = Some(pod.uid.clone());
    }
    d.wait(format!(
        "claim {} to grow from {have} to {need} bytes",
        replica.name
    ));
    d.recheck_in(RECHECK_AFTER);
}

fn request(
    d: &mut DecisionBuilder<'_>,
    primary: &SiteView,
    standby: &SiteView,
    (source, target): (&MoverStatus, &MoverStatus),
    cut: &Cut,
) -> Next {
    let point = cut.point;
    if stale_cut_goes(d, standby, point) {
        return Next::Stay;
    }
    d.timeline.started.get_or_insert(d.observed.now);
    d.timeline.retry_at = None;
    if source.activity != Activity::Idle && source.activity != Activity::Shipping(point)
        || lost_feed(d, source, point)
    {
        let reason = "the operator begins this attempt again".into();
        d.ask(&primary.name, Request::Abort { reason });
    }
    receive(d, primary, standby, target, point);
    let plan = change_source::plan(d, primary, standby, source, target, cut);
    d.task(&primary.name, MoverTask::Ship(Box::new(plan)));
    // The request carries the limit that is in force now.
    d.timeline.pace = Some(d.settings.transfer.bytes_per_second);
    // Whether the requests got through is seen in the movers' reports, never assumed.
    Next::Await(CyclePhase::Shipping)
}

/// Whether the standby, which has not applied the cut, has a snapshot of that number: it was cut after an
/// older copy had been put back, so it is of something else, and it goes before anything is shipped.
fn stale_cut_goes(d: &mut DecisionBuilder<'_>, standby: &SiteView, point: Point) -> bool {
    let Some(cut) = standby.cut(point) else {
        return false;
    };
    d.wait(format!(
        "VolumeSnapshot {} to be deleted, which is not of what was cut",
        cut.name
    ));
    d.recheck_in(RECHECK_AFTER);
    if is_settled(standby, cut) {
        d.at(&standby.name).discard = Some(point);
    }
    true
}

/// A source that ships already in an attempt that this process did not begin waits for a list that
/// nobody feeds any more.
fn lost_feed(d: &DecisionBuilder<'_>, source: &MoverStatus, point: Point) -> bool {
    source.activity == Activity::Shipping(point) && d.timeline.fed != Some(point)
}

/// Watches the shipment until the target has applied the cut.
pub fn watch(d: &mut DecisionBuilder<'_>, point: Point) -> Next {
    let (Some(primary), Some(standby)) = (d.primary(), d.standby()) else {
        return Next::Stay;
    };
    d.want(&primary.name, MoverDesired::Reader(point));
    d.want(&standby.name, MoverDesired::Writer);
    if applied(standby, point) {
        d.timeline.applied.get_or_insert(d.observed.now);
        return Next::Go(CyclePhase::Committing);
    }
    d.recheck_in(RECHECK_AFTER);
    let (Some(source), Some(target)) = (d.mover(&primary.name), d.mover(&standby.name)) else {
        return lost(d, primary, standby);
    };
    if let Some((cause, retryable)) = failed(source, target, point) {
        return fail_or_retry(d, standby, cause, retryable);
    }
    if has_arrived(source, point) {
        return awaits_report(d, standby);
    }
    if lost_feed(d, source, point) || source.activity == Activity::Idle {
        return Next::Go(CyclePhase::Starting);
    }
    pace(d, primary);
    progress::report(d, source, target);
    Next::Stay
}

/// Whether the source reports the cut as applied.
fn has_arrived(source: &MoverStatus, point: Point) -> bool {
    source.activity != Activity::Shipping(point)
        && matches!(&source.last, Some(CycleOutcome::Applied(report)) if report.cycle == point)
}

/// The standby reports next what the source reports already. One that was put back just after
/// it had applied the cut never does: it is shipped again.
fn awaits_report(d: &mut DecisionBuilder<'_>, standby: &SiteView) -> Next {
    let now = d.observed.now;
    let since = *d.timeline.arrived.get_or_insert(now);
    if now.duration_since(since) > REPORT_WAIT_MAX {
        d.timeline.arrived = None;
        return Next::Await(CyclePhase::Starting);
    }
    d.wait(format!(
        "site {} to report the cut as applied",
        standby.name
    ));
    Next::Stay
}

/// Sends the source the bandwidth limit when another is in force than was sent: the spec was changed,
/// or a window of the schedule has opened or closed.
fn pace(d: &mut DecisionBuilder<'_>, primary: &SiteView) {
    let limit = d.settings.transfer.bytes_per_second;
    if d.timeline.pace != Some(limit) {
        d.task(&primary.name, MoverTask::Pace(limit));
    }
    if let Some(until) = d.settings.bandwidth_until {
        d.recheck_at(until);
    }
}

/// A mover went away in the middle.
fn lost(d: &mut DecisionBuilder<'_>, primary: &SiteView, standby: &SiteView) -> Next {
    let gone = |site: &SiteView| {
        site.pod
            .as_ref()
            .is_none_or(|pod| pod.deleting || pod.ended)
    };
    let missing: Vec<&str> = [primary, standby]
        .into_iter()
        .filter(|s| gone(s))
        .map(|s| s.name.as_str())
        .collect();
    if missing.is_empty() {
        // The pods are there and only the connection is not: that heals by itself, or a pod ends.
        d.wait("the movers to answer again".into());
        return Next::Stay;
    }
    Next::Retry(
        Reason::CycleFailed,
        format!(
            "the mover at site {} went away in the middle of the cycle",
            missing.join(" and at site ")
        ),
    )
}

/// How the attempt failed: the target's cause first, for the source sees only that it hung up, or
/// that a target which has failed meanwhile expects nothing any more.
fn failed<'a>(
    source: &'a MoverStatus,
    target: &'a MoverStatus,
    point: Point,
) -> Option<(&'a Refusal, bool)> {
    if source.activity != Activity::Idle {
        return None;
    }
    let cause = |mover: &'a MoverStatus| match &mover.last {
        Some(CycleOutcome::Failed {
            cycle,
            cause,
            retryable,
        }) if *cycle == point => Some((cause, *retryable)),
        _ => None,
    };
    let (from_source, from_target) = (cause(source)?, cause(target));
    let sees_little = matches!(
        from_source.0.kind,
        RefusalKind::PeerUnreachable | RefusalKind::OutOfOrder
    );
    Some(from_target.filter(|_| sees_little).unwrap_or(from_source))
}

fn fail_or_retry(
    d: &mut DecisionBuilder<'_>,
    standby: &SiteView,
    cause: &Refusal,
    retryable: bool,
) -> Next {
    let message = cause.message.clone();
    if cause.kind == RefusalKind::Diverged {
        if let Some(status) = d
            .status
            .sites
            .iter_mut()
            .find(|s| s.name == standby.name.as_str())
        {
            status.diverged = true;
        }
        Next::Failed(Reason::Diverged, message)
    } else if retryable {
        Next::Retry(reason_of(cause.kind), message)
    } else {
        Next::Failed(reason_of(cause.kind), message)
    }
}

/// The reason that people see: one of its own where there is something of its own to do.
fn reason_of(kind: RefusalKind) -> Reason {
    match kind {
        RefusalKind::StagingTooSmall => Reason::StagingTooSmall,
        RefusalKind::StateVolumeFull => Reason::StateVolumeFull,
        RefusalKind::TargetTooSmall => Reason::ReplicaTooSmall,
        RefusalKind::SourceShrunk => Reason::SourceShrunk,
        RefusalKind::NotABlockImage => Reason::NotABlockImage,
        RefusalKind::StateVolumeFailed => Reason::StateVolumeUnreadable,
        _ => Reason::CycleFailed,
    }
}
