//! A cut in which nothing has changed since the committed point. It is abandoned, and its number with
//! it: the committed point stays what it is, and no mover is started to learn that there is no work.
//!
//! Only the driver's own list of changes proves it, and only when it ends completely and empty. Whatever
//! falls short of that goes the usual way.

use jiff::SignedDuration;

use crate::decide::consent::is_diverged;
use crate::decide::evidence::staying;
use crate::decide::{DecisionBuilder, Next, idle, switch, verify};
use crate::observe::SnapshotFacts;
use crate::observe::{Cut, SiteView, millis_between};
use crate::site::{MoverDesired, MoverTask, ProbePlan};
use api::v1alpha1::UnchangedStatus;
use protocol::units::{ImageState, Point};
use wire::control::Activity;

/// How long the movers need not have met. Beyond it a cycle goes the usual way although nothing may
/// have changed, for that also proves that the standby is there and holds what it committed.
const UNSEEN_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Whether the running cycle may end without movers, as far as the pair's own state goes.
#[must_use]
pub fn may(d: &DecisionBuilder<'_>) -> bool {
    let status = &d.status;
    let (Some(committed), Some(primary), Some(standby)) = (d.committed(), d.primary(), d.standby())
    else {
        return false;
    };
    let moving = status.switch.as_ref().is_some_and(switch::unfinished);
    let verifying = verify::running(status.verification.as_ref()).is_some();
    let diverged = d
        .observed
        .sites
        .iter()
        .any(|s| is_diverged(d, s.name.as_str()));
    let first_attempt = d.cycle().is_some_and(|cycle| cycle.attempt == 1);
    let met = status
        .last_cycle
        .as_ref()
        .filter(|last| last.point == committed.to_string() && last.change_source == "Delta");
    let met = met.and_then(|last| last.committed_at.as_ref());
    let seen = met.is_some_and(|at| d.observed.now.duration_since(at.0) < UNSEEN_MAX);
    committed.epoch == d.epoch()
        && !moving
        && !verifying
        && !diverged
        && first_attempt
        && status.last_failure.is_none()
        && seen
        && staying(primary).is_none()
        && rests(standby, committed)
}

/// Whether the standby's mover is gone, or says itself that it holds `committed` and is at nothing.
fn rests(standby: &SiteView, committed: Point) -> bool {
    if staying(standby).is_none() {
        return true;
    }
    let Some(mover) = standby.live() else {
        return false;
    };
    let holds = mover.superblock.as_ref().is_some_and(|report| {
        report.committed == Some(committed)
            && report.image == ImageState::Consistent(committed)
            && !report.diverged
    });
    holds && mover.activity == Activity::Idle
}

/// Asks the driver whether anything has changed up to `cut`, and ends the cycle when it has named
/// nothing. `None` when the cycle has to go the normal way.
pub fn settle(
    d: &mut DecisionBuilder<'_>,
    primary: &SiteView,
    standby: &SiteView,
    cut: &Cut,
) -> Option<Next> {
    let begun = primary
        .source_claims
        .iter()
        .any(|claim| claim.point == cut.point);
    if d.timeline.unchanged == Some(false) || begun || !may(d) {
        return None;
    }
    let plan = plan(d, primary, standby, cut)?;
    if staying(standby).is_some() {
        d.want(&standby.name, MoverDesired::Writer);
    }
    if d.timeline.unchanged.is_some() {
        end(d);
        return Some(Next::Ended);
    }
    d.task(&primary.name, MoverTask::Probe(Box::new(plan)));
    Some(Next::Stay)
}

/// The question, when both sides have their snapshot of the committed point and the volume has kept
/// its size.
fn plan(
    d: &DecisionBuilder<'_>,
    primary: &SiteView,
    standby: &SiteView,
    cut: &Cut,
) -> Option<ProbePlan> {
    let committed = d.committed()?;
    let base = primary.cut(committed).filter(|cut| cut.ready)?;
    let kept = standby.cut(committed).filter(|cut| cut.ready)?;
    let (facts, base) = (cut.facts.clone()?, base.facts.clone()?);
    let volume = d.app_claim()?.volume.as_ref()?.handle.as_deref()?;
    let of_volume = |facts: &SnapshotFacts| facts.volume_handle.as_deref() == Some(volume);
    let bytes = facts.size_bytes?;
    let sizes = [base.size_bytes, kept.facts.as_ref()?.size_bytes];
    let same_size = sizes.iter().all(|size| *size == Some(bytes));
    (of_volume(&facts) && of_volume(&base) && same_size).then_some(ProbePlan {
        cycle: cut.point,
        snapshot: cut.name.clone(),
        facts,
        base,
        bytes,
    })
}

/// Abandons the cut. Its snapshot is swept like that of any cut that nothing needs.
fn end(d: &mut DecisionBuilder<'_>) {
    let (Some(cycle), Some(committed)) = (d.status.cycle.take(), &d.status.committed_point) else {
        return;
    };
    let point = cycle.point.point();
    d.status.unchanged = Some(UnchangedStatus {
        since: committed.label.clone(),
        total_ms: millis_between(d.timeline.began, Some(d.observed.now)),
        snapshot_ms: millis_between(d.timeline.asked, d.timeline.cut),
        point: cycle.point,
    });
    d.keep.retain(|(_, kept)| *kept != point);
    idle::rest(d);
}
