//! The middle of a cycle: start the movers, give the orders, watch them until the cut is applied.

use jiff::SignedDuration;

use crate::decide::{
    Action, Device, Draft, attempt, change_source, commit, movers, progress, unchanged,
};
use crate::observe::{Claim, Cut, SiteView, VolumeMode};
use api::Reason;
use api::names;
use api::v1alpha1::CyclePhase;
use protocol::units::Point;
use wire::control::{
    Activity, CycleOutcome, MoverStatus, ReceiveRequest, Refusal, RefusalKind, Request,
};

/// The longest wait for both movers. Beyond it the attempt counts as failed.
pub const START_WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);

/// How often to look at movers that have told us nothing.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// Makes the source's claim, starts both movers, and gives the orders when both answer.
pub fn start(d: &mut Draft<'_>, point: Point) {
    let (Some(primary), Some(standby)) = (d.primary(), d.standby()) else {
        return;
    };
    let Some(cut) = primary.cut(point).filter(|cut| cut.ready) else {
        attempt::fail(
            d,
            Reason::SnapshotFailed,
            format!(
                "the snapshot of cut {point} at site {} was deleted; the next cycle cuts again",
                primary.name
            ),
        );
        return;
    };
    if applied(standby, point) {
        d.phase(CyclePhase::Committing);
        commit::commit(d, point);
        return;
    }
    if unchanged::settle(d, primary, standby, cut) {
        return;
    }
    source_claim(d, primary, cut);
    let claim = names::source_claim(d.o.name(), primary.name.as_str(), point);
    d.want(&primary.name, Device::Cut(claim));
    if let Some(replica) = &standby.replica_claim {
        d.want(&standby.name, Device::Replica(replica.name.clone()));
    }
    if d.line.retry_at.is_some_and(|at| at > d.o.now) {
        d.visit_at(d.line.retry_at.unwrap_or(d.o.now));
        return;
    }
    if let Some((source, target)) = both_ready(d, primary, standby, point) {
        order(d, primary, standby, (source, target), cut);
    }
}

/// Makes the claim that the source reads `cut` from, where there is none.
pub fn source_claim(d: &mut Draft<'_>, primary: &SiteView, cut: &Cut) {
    let Some(app) = d.app_claim() else {
        return;
    };
    let foreign_mode = app.mode == VolumeMode::Filesystem && !cut.mode_change_allowed;
    if let (true, Some(content)) = (foreign_mode, &cut.content) {
        d.act(Action::AllowModeChange {
            content: content.clone(),
        });
    }
    if primary
        .source_claims
        .iter()
        .any(|claim| claim.point == cut.point && !claim.deleting)
    {
        return;
    }
    let bytes = cut.restore_bytes.unwrap_or(0).max(app.capacity_bytes);
    let class = restore_class(app, primary);
    d.act(Action::MakeSourceClaim {
        site: primary.name.clone(),
        point: cut.point,
        class,
        bytes,
    });
}

/// The storage class that a cut is restored with: of the volume's own driver. After a move of the role
/// the claim may name a class of the other site's driver.
fn restore_class(app: &Claim, site: &SiteView) -> Option<String> {
    let driver = app
        .volume
        .as_ref()
        .and_then(|volume| volume.driver.as_ref());
    let here = site.storage_class.as_ref();
    let fits = here.filter(|class| Some(&class.driver) == driver);
    let own = app.storage_class.clone().filter(|class| !class.is_empty());
    fits.map(|class| class.name.clone())
        .or(own)
        .or_else(|| here.map(|class| class.name.clone()))
}

/// Both reports, when both movers answer, have superblocks of this pair, and devices that fit.
fn both_ready<'a>(
    d: &mut Draft<'a>,
    primary: &'a SiteView,
    standby: &'a SiteView,
    point: Point,
) -> Option<(&'a MoverStatus, &'a MoverStatus)> {
    let ready = [primary, standby].map(|site| movers::ready(d, site));
    let [Some(source), Some(target)] = ready else {
        d.visit_in(RECHECK_AFTER);
        if d.in_phase(&CyclePhase::Starting) > START_WAIT_MAX {
            restart_unreadable(d, [primary, standby]);
            let stuck = movers::stuck(d);
            attempt::retry(
                d,
                Reason::MoverNotStarting,
                format!(
                    "the movers did not start within {} minutes: {stuck}",
                    START_WAIT_MAX.as_mins()
                ),
            );
        }
        return None;
    };
    let (have, need) = (
        target.device_bytes.unwrap_or(0),
        source.device_bytes.unwrap_or(0),
    );
    if have < need {
        grow_target(d, standby, have, need);
        return None;
    }
    tracing::debug!(%point, "both movers are ready");
    Some((source, target))
}

/// A mover looks at its superblock once, when it starts: one that could not read it is started again.
fn restart_unreadable(d: &mut Draft<'_>, sites: [&SiteView; 2]) {
    for site in sites {
        let unreadable = site
            .live()
            .is_some_and(|mover| mover.superblock_error.is_some());
        if let Some(pod) = site.pod.as_ref().filter(|_| unreadable) {
            d.act(Action::StopMover {
                site: site.name.clone(),
                uid: pod.uid.clone(),
            });
        }
    }
}

/// The target's device is too small still. A claim that has grown shows it to a new pod.
fn grow_target(d: &mut Draft<'_>, standby: &SiteView, have: u64, need: u64) {
    let Some(replica) = &standby.replica_claim else {
        return;
    };
    if replica.requested_bytes < need {
        d.act(Action::Grow {
            claim: replica.name.clone(),
            bytes: need,
        });
    } else if replica.capacity_bytes >= need
        && let Some(pod) = &standby.pod
    {
        d.act(Action::StopMover {
            site: standby.name.clone(),
            uid: pod.uid.clone(),
        });
    }
    d.wait(format!(
        "claim {} to grow from {have} to {need} bytes",
        replica.name
    ));
    d.visit_in(RECHECK_AFTER);
}

fn order(
    d: &mut Draft<'_>,
    primary: &SiteView,
    standby: &SiteView,
    (source, target): (&MoverStatus, &MoverStatus),
    cut: &Cut,
) {
    let point = cut.point;
    d.line.started.get_or_insert(d.o.now);
    d.line.retry_at = None;
    if source.activity != Activity::Idle && source.activity != Activity::Shipping(point)
        || lost_feed(d, source, point)
    {
        d.act(Action::Command {
            site: primary.name.clone(),
            request: Request::Abort {
                reason: "the operator begins this attempt again".into(),
            },
        });
    }
    receive(d, primary, standby, target, point);
    let plan = change_source::plan(d, primary, standby, source, target, cut);
    d.act(Action::Ship(Box::new(plan)));
    // The order carries the limit that is in force now.
    d.line.pace = Some(d.set.transfer.bytes_per_second);
    // Whether the orders got through is seen in the movers' reports, never assumed.
    d.phase(CyclePhase::Shipping);
}

/// Has the target expect `point`. What it is at gives way: a cut that was given up, or never begun for
/// good, or a slice of a verification.
pub fn receive(
    d: &mut Draft<'_>,
    primary: &SiteView,
    standby: &SiteView,
    target: &MoverStatus,
    point: Point,
) {
    if target.activity == Activity::Receiving(point) {
        return;
    }
    if target.activity != Activity::Idle {
        d.act(Action::Command {
            site: standby.name.clone(),
            request: Request::Abort {
                reason: format!("cut {point} comes instead"),
            },
        });
    }
    d.act(Action::Command {
        site: standby.name.clone(),
        request: Request::Receive(ReceiveRequest {
            cycle: point,
            peer_site: primary.name.clone(),
        }),
    });
}

/// A source that ships already in an attempt that this process did not begin waits for a list that
/// nobody feeds any more.
fn lost_feed(d: &Draft<'_>, source: &MoverStatus, point: Point) -> bool {
    source.activity == Activity::Shipping(point) && d.line.fed != Some(point)
}

/// Watches the shipment until the target has applied the cut.
pub fn watch(d: &mut Draft<'_>, point: Point) {
    let (Some(primary), Some(standby)) = (d.primary(), d.standby()) else {
        return;
    };
    let claim = names::source_claim(d.o.name(), primary.name.as_str(), point);
    d.want(&primary.name, Device::Cut(claim));
    if let Some(replica) = &standby.replica_claim {
        d.want(&standby.name, Device::Replica(replica.name.clone()));
    }
    if applied(standby, point) {
        d.line.applied.get_or_insert(d.o.now);
        d.phase(CyclePhase::Committing);
        commit::commit(d, point);
        return;
    }
    d.visit_in(RECHECK_AFTER);
    let (Some(source), Some(target)) = (d.mover(&primary.name), d.mover(&standby.name)) else {
        lost(d, primary, standby);
        return;
    };
    if let Some((cause, retryable)) = failed(source, target, point) {
        give_up_or_retry(d, standby, cause, retryable);
        return;
    }
    if matches!(&source.last, Some(CycleOutcome::Applied(report)) if report.cycle == point) {
        d.wait(format!(
            "site {} to report the cut as applied",
            standby.name
        ));
        return;
    }
    if lost_feed(d, source, point) || source.activity == Activity::Idle {
        d.phase(CyclePhase::Starting);
        start(d, point);
        return;
    }
    pace(d, primary);
    progress::report(d, source, target);
}

/// Tells the source when another bandwidth limit is in force than it was told: the spec was changed,
/// or a window of the schedule has opened or closed.
fn pace(d: &mut Draft<'_>, primary: &SiteView) {
    let limit = d.set.transfer.bytes_per_second;
    if d.line.pace != Some(limit) {
        d.act(Action::Pace {
            site: primary.name.clone(),
            bytes_per_second: limit,
        });
    }
    if let Some(until) = d.set.bandwidth_until {
        d.visit_at(until);
    }
}

/// A mover went away in the middle.
fn lost(d: &mut Draft<'_>, primary: &SiteView, standby: &SiteView) {
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
        return;
    }
    attempt::retry(
        d,
        Reason::CycleFailed,
        format!(
            "the mover at site {} went away in the middle of the cycle",
            missing.join(" and at site ")
        ),
    );
}

/// Whether the standby's volume holds `point` wholly.
pub fn applied(standby: &SiteView, point: Point) -> bool {
    let report = standby.live().and_then(|mover| mover.superblock.as_ref());
    report.is_some_and(|report| report.applied == Some(point) || report.committed == Some(point))
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

fn give_up_or_retry(d: &mut Draft<'_>, standby: &SiteView, cause: &Refusal, retryable: bool) {
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
        attempt::fail(d, Reason::Diverged, message);
    } else if retryable {
        attempt::retry(d, reason_of(cause.kind), message);
    } else {
        attempt::fail(d, reason_of(cause.kind), message);
    }
}

/// The reason that people see: one of its own where there is something of its own to do.
fn reason_of(kind: RefusalKind) -> Reason {
    match kind {
        RefusalKind::StagingTooSmall => Reason::StagingTooSmall,
        RefusalKind::StateVolumeFull => Reason::StateVolumeFull,
        RefusalKind::TargetTooSmall => Reason::ReplicaTooSmall,
        _ => Reason::CycleFailed,
    }
}
