//! The first half of a cycle: hold the application, cut, let it go.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::evidence::staying;
use crate::decide::{DecisionBuilder, Next, hold, unchanged};
use crate::mutations::Rule;
use crate::observe::{Cut, SiteView};
use crate::site::{CutDesired, HookStep, MoverDesired};
use api::Reason;
use api::v1alpha1::{CyclePhase, PointStatus, QuiesceState};
use protocol::units::Point;

/// The longest wait for a snapshot to be usable. Beyond it the cut is abandoned and another is made
/// later; a snapshotter that is merely slow has had its time.
pub const SNAPSHOT_WAIT_MAX: SignedDuration = SignedDuration::from_mins(10);

/// How often to look at a snapshot of which no watch has reported anything.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(20);

/// Finds the pods, records them, and holds the application.
pub fn hold(d: &mut DecisionBuilder<'_>, point: Point) -> Next {
    let label = point.to_string();
    let recorded = d
        .status
        .quiesce
        .as_ref()
        .filter(|q| q.point == label)
        .cloned();
    match recorded {
        None => d.hooks = Some(HookStep::Select),
        Some(quiesce) if quiesce.state == QuiesceState::Failed && quiesce.released_at.is_some() => {
            let what = quiesce
                .message
                .unwrap_or_else(|| "a pre hook failed".into());
            return Next::Failed(
                Reason::QuiesceFailed,
                format!(
                    "no cut was taken: {what}; the application was released. Repair the hook, or set onFailure: Continue"
                ),
            );
        }
        // Released without having failed: an operator that held it has gone. Begin again.
        Some(quiesce) if quiesce.released_at.is_some() => {
            d.status.quiesce = None;
            d.hooks = Some(HookStep::Select);
        }
        Some(quiesce) if quiesce.state == QuiesceState::Held && d.hooks.is_none() => {
            let targets = quiesce
                .pods
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect();
            d.hooks = Some(HookStep::Hold(targets));
        }
        Some(_) => {}
    }
    Next::Stay
}

/// Makes the cut and waits until it can be read. The target's mover starts meanwhile.
pub fn cut(d: &mut DecisionBuilder<'_>, point: Point) -> Next {
    want_target(d);
    let (Some(primary), Some(_)) = (d.primary(), d.app_claim()) else {
        return Next::Failed(
            Reason::ClaimNotFound,
            "the claim disappeared before the cut".into(),
        );
    };
    let Some(cut) = primary.cut(point) else {
        if is_abandoned(d, point) {
            return abandoned();
        }
        d.timeline.asked.get_or_insert(d.observed.now);
        let class = d.settings.site(&primary.name);
        let class = class.and_then(|site| site.snapshot_class.clone());
        d.at(&primary.name).cut = Some(CutDesired { point, class });
        return Next::Stay;
    };
    record(d, point, cut);
    if !cut.ready {
        return pending(d, point, cut);
    }
    if let Some(problem) = foreign(d, primary, cut) {
        return problem;
    }
    d.timeline.cut.get_or_insert(d.observed.now);
    if let Some(cycle) = d.status.cycle.as_mut() {
        cycle.cut_done_at = Some(Time(d.observed.now));
    }
    Next::Go(CyclePhase::Starting)
}

/// A cut of another volume than the pair's: the claim was made again before it was taken (K-1).
fn foreign(d: &DecisionBuilder<'_>, primary: &SiteView, cut: &Cut) -> Option<Next> {
    let handle = cut.facts.as_ref()?.volume_handle.as_ref()?;
    let mut sites = d.status.sites.iter();
    let known = sites.find(|site| site.name == primary.name.as_str())?;
    let foreign = known.handle.as_ref().is_some_and(|known| known != handle)
        && !d.observed.rules().breaks(Rule::VolumeNotPinned);
    foreign.then(|| {
        Next::Failed(
            Reason::VolumeReplaced,
            format!(
                "VolumeSnapshot {} is of volume {handle}, which is not the pair's",
                cut.name
            ),
        )
    })
}

/// The target's mover is started while the cut is made: its pod takes as long. Where it may turn out
/// that nothing has changed it is started with the source's, which takes longer.
fn want_target(d: &mut DecisionBuilder<'_>) {
    let Some(standby) = d.standby() else { return };
    if staying(standby).is_none() && unchanged::may(d) {
        return;
    }
    d.want(&standby.name, MoverDesired::Writer);
}

/// Whether the cut was to be made of a held application, which had to be released before.
fn is_abandoned(d: &DecisionBuilder<'_>, point: Point) -> bool {
    let label = point.to_string();
    let quiesce = d
        .status
        .quiesce
        .as_ref()
        .filter(|q| q.point == label && !q.pods.is_empty());
    quiesce.is_some_and(|quiesce| quiesce.released_at.is_some())
}

fn abandoned() -> Next {
    Next::Failed(
        Reason::SnapshotFailed,
        "the application had to be released before the snapshot was cut; it is tried again".into(),
    )
}

fn record(d: &mut DecisionBuilder<'_>, point: Point, cut: &Cut) {
    let Some(created) = cut.created else { return };
    let status = PointStatus::new(point, Some(Time(created)));
    if let Some(cycle) = d.status.cycle.as_mut() {
        cycle.point = status.clone();
    }
    d.status.last_cut = Some(status);
}

fn pending(d: &mut DecisionBuilder<'_>, point: Point, cut: &Cut) -> Next {
    d.recheck_in(RECHECK_AFTER);
    if let Some(error) = &cut.error {
        d.trouble(
            Reason::SnapshotFailed,
            format!(
                "VolumeSnapshot {} can't be taken: {error}; the snapshotter tries again",
                cut.name
            ),
        );
    }
    if cut.created.is_none() && !hold::holding(d) && is_abandoned(d, point) {
        return abandoned();
    }
    if d.in_phase(&CyclePhase::Cutting) > SNAPSHOT_WAIT_MAX {
        let error = cut
            .error
            .clone()
            .unwrap_or_else(|| "the snapshotter said nothing".into());
        return Next::Failed(
            Reason::SnapshotFailed,
            format!(
                "VolumeSnapshot {} was not ready after {} minutes: {error}. See the CSI driver's snapshotter",
                cut.name,
                SNAPSHOT_WAIT_MAX.as_mins()
            ),
        );
    }
    d.wait(format!("VolumeSnapshot {} to be ready", cut.name));
    Next::Stay
}
