//! The end of a cycle: the standby's snapshot is really cut, then both sides record the commit.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::evidence::applied;
use crate::decide::progress;
use crate::decide::progress::int;
use crate::decide::{DecisionBuilder, Next, idle, movers, switch};
use crate::mutations::Rule;
use crate::observe::{SiteView, millis_between};
use crate::site::{CutDesired, MoverDesired};
use api::Reason;
use api::v1alpha1::{CyclePhase, FinishedCycle, PointStatus};
use protocol::units::Point;
use wire::control::{CycleOutcome, CycleReport, Request};

/// How often to look at a snapshot or a mover that has reported nothing.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// Commits `point`. Until the last step the point committed before stays the one to promote.
pub fn commit(d: &mut DecisionBuilder<'_>, point: Point) -> Next {
    d.timeline.applied.get_or_insert(d.observed.now);
    let (Some(primary), Some(standby)) = (d.primary(), d.standby()) else {
        return Next::Stay;
    };
    if let Some(source) = primary.live() {
        progress::handshake(d, source);
    }
    // The source's mover stays for its part of the commit, but is not started again for it.
    if primary.live().is_some() {
        d.want(&primary.name, MoverDesired::Probe);
    }
    d.want(&standby.name, MoverDesired::Writer);
    d.recheck_in(RECHECK_AFTER);
    if let Some(next) = went_back(d, standby, point) {
        return next;
    }
    let rules = d.observed.rules();
    if !snapshot_is_cut(d, standby, point) && !rules.breaks(Rule::CommitsBeforeSnapshot) {
        return Next::Stay;
    }
    let Some(target) = movers::ready(d, standby) else {
        return Next::Stay;
    };
    if target
        .superblock
        .as_ref()
        .and_then(|report| report.committed)
        != Some(point)
        && !rules.breaks(Rule::CommitNotAwaited)
    {
        d.ask(&standby.name, Request::Commit { cycle: point });
        source_knows(d, primary, point);
        d.wait(format!(
            "site {} to record the commit of {point}",
            standby.name
        ));
        return Next::Stay;
    }
    if !source_knows(d, primary, point) {
        return Next::Stay;
    }
    finish(d, primary, standby, point);
    Next::Ended
}

/// Whether the standby does not hold the cut any more, because somebody put an older copy of it back:
/// then it is shipped again.
fn went_back(d: &mut DecisionBuilder<'_>, standby: &SiteView, point: Point) -> Option<Next> {
    let report = standby.live().and_then(|mover| mover.superblock.as_ref());
    if report.is_none() || applied(standby, point) {
        return None;
    }
    d.wait(format!(
        "cut {point} to be shipped again, which site {} does not hold any more",
        standby.name
    ));
    Some(Next::Await(CyclePhase::Starting))
}

/// Whether the source has recorded the commit too. A source whose pod is gone learns of it from the
/// next handshake, or before it is demoted.
fn source_knows(d: &mut DecisionBuilder<'_>, primary: &SiteView, point: Point) -> bool {
    let report = primary.live().and_then(|mover| mover.superblock.as_ref());
    if report.is_none_or(|report| report.committed == Some(point)) {
        return true;
    }
    d.ask(&primary.name, Request::Commit { cycle: point });
    d.wait(format!(
        "site {} to record the commit of {point}",
        primary.name
    ));
    false
}

/// Whether the standby's snapshot of `point` is cut and usable, or is unavailable at this site.
/// Bound is not cut: a snapshotter that is stopped leaves it bound for ever.
fn snapshot_is_cut(d: &mut DecisionBuilder<'_>, standby: &SiteView, point: Point) -> bool {
    let class = d
        .settings
        .site(&standby.name)
        .and_then(|site| site.snapshot_class.clone());
    let (Some(class), Some(_)) = (class, &standby.replica_claim) else {
        return true;
    };
    let Some(cut) = standby.cut(point) else {
        d.at(&standby.name).cut = Some(CutDesired {
            point,
            class: Some(class),
        });
        d.wait(format!("the snapshot of {point} at site {}", standby.name));
        return false;
    };
    if cut.ready && cut.created.is_some() {
        return true;
    }
    if let Some(error) = &cut.error {
        d.trouble(
            Reason::SnapshotFailed,
            format!(
                "VolumeSnapshot {} can't be taken: {error}; the snapshotter tries again",
                cut.name
            ),
        );
    }
    d.wait(format!(
        "VolumeSnapshot {} to be cut; the point committed before stays promotable",
        cut.name
    ));
    false
}

fn finish(d: &mut DecisionBuilder<'_>, primary: &SiteView, standby: &SiteView, point: Point) {
    let report = [primary, standby]
        .into_iter()
        .find_map(|site| report_of(site, point));
    let Some(cycle) = d.status.cycle.take() else {
        return;
    };
    let line = d.timeline.clone();
    let began = line.began.or(Some(cycle.started_at.0));
    let held_ms = d
        .status
        .quiesce
        .as_ref()
        .filter(|q| q.point == cycle.point.label)
        .map_or(0, |q| q.held_ms);
    let report = report.unwrap_or_else(|| unreported(point));
    let known = !report.digest.is_empty();
    let source_before = d
        .status
        .change_source
        .as_ref()
        .map(|change_source| change_source.source.clone());
    d.status.last_cycle = Some(FinishedCycle {
        point: cycle.point.label.clone(),
        change_source: if known {
            format!("{:?}", report.change_source)
        } else {
            source_before.unwrap_or_default()
        },
        data_bytes: int(report.data_bytes),
        zero_bytes: int(report.zero_bytes),
        read_bytes: int(report.read_bytes),
        wire_bytes: int(report.wire_bytes),
        total_ms: millis_between(began, Some(d.observed.now)),
        held_ms,
        snapshot_ms: millis_between(line.asked, line.cut),
        start_ms: millis_between(line.cut, line.started),
        handshake_ms: int(report.handshake_ms),
        ship_ms: int(report.ship_ms),
        apply_ms: int(report.apply_ms),
        commit_ms: millis_between(line.applied, Some(d.observed.now)),
        committed_at: Some(Time(d.observed.now)),
    });
    let cut_at = cycle.point.cut_at.or_else(|| {
        d.status
            .committed_point
            .as_ref()
            .filter(|p| p.point() == point)
            .and_then(|p| p.cut_at.clone())
    });
    d.status.committed_point = Some(PointStatus::new(point, cut_at));
    d.status.last_failure = None;
    if let Some(site) = d
        .status
        .sites
        .iter_mut()
        .find(|s| s.name == standby.name.as_str())
    {
        site.diverged = false;
    }
    if d.status.switch.as_ref().is_some_and(switch::unfinished) {
        // Both movers are needed for what follows the last cut.
        return;
    }
    // What was wanted for the cycle only is let go; the target may linger for the next one.
    d.want(&primary.name, MoverDesired::Off);
    idle::rest(d);
}

/// What is known of a cycle whose movers were gone before they were asked.
fn unreported(point: Point) -> CycleReport {
    CycleReport {
        cycle: point,
        change_source: protocol::units::ChangeSource::FullRead,
        read_bytes: 0,
        data_bytes: 0,
        zero_bytes: 0,
        wire_bytes: 0,
        digest: String::new(),
        handshake_ms: 0,
        ship_ms: 0,
        apply_ms: 0,
    }
}

fn report_of(site: &SiteView, point: Point) -> Option<CycleReport> {
    match &site.live()?.last {
        Some(CycleOutcome::Applied(report)) if report.cycle == point => Some(report.clone()),
        _ => None,
    }
}
