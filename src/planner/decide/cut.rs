//! The first half of a cycle: hold the application, cut, let it go.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::{Action, Device, Draft, SnapshotRequest, attempt, hold, ship, unchanged};
use crate::observe::Cut;
use api::Reason;
use api::v1alpha1::{CyclePhase, PointStatus, QuiesceState};
use protocol::units::Point;

/// The longest wait for a snapshot to be usable. Beyond it the cut is given up and another is made
/// later; a snapshotter that is merely slow has had its time.
pub const SNAPSHOT_WAIT_MAX: SignedDuration = SignedDuration::from_mins(10);

/// How often to look at a snapshot of which no watch has told us anything.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(20);

/// Finds the pods, records them, and holds the application.
pub fn hold(d: &mut Draft<'_>, point: Point) {
    let label = point.to_string();
    let recorded = d
        .status
        .quiesce
        .as_ref()
        .filter(|q| q.point == label)
        .cloned();
    match recorded {
        None => d.act(Action::SelectPods),
        Some(quiesce) if quiesce.state == QuiesceState::Failed && quiesce.released_at.is_some() => {
            let what = quiesce
                .message
                .unwrap_or_else(|| "a pre hook failed".into());
            attempt::fail(
                d,
                Reason::QuiesceFailed,
                format!(
                    "no cut was taken: {what}; the application was released. Mend the hook, or set onFailure: Continue"
                ),
            );
        }
        // Released without having failed: an operator that held it has gone. Begin again.
        Some(quiesce) if quiesce.released_at.is_some() => {
            d.status.quiesce = None;
            d.act(Action::SelectPods);
        }
        Some(quiesce) if quiesce.state == QuiesceState::Held && !d.has_actions() => {
            let targets = quiesce
                .pods
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect();
            d.act(Action::Hold(targets));
        }
        Some(_) => {}
    }
}

/// Makes the cut and waits until it can be read. The target's mover starts meanwhile.
pub fn cut(d: &mut Draft<'_>, point: Point) {
    want_target(d);
    let (Some(primary), Some(app)) = (d.primary(), d.app_claim()) else {
        attempt::fail(
            d,
            Reason::ClaimNotFound,
            "the claim disappeared before the cut".into(),
        );
        return;
    };
    let Some(cut) = primary.cut(point) else {
        if given_up(d, point) {
            return;
        }
        d.line.asked.get_or_insert(d.o.now);
        d.act(Action::Cut(SnapshotRequest {
            site: primary.name.clone(),
            point,
            claim: app.name.clone(),
            class: d
                .set
                .site(&primary.name)
                .and_then(|s| s.snapshot_class.clone()),
        }));
        return;
    };
    record(d, point, cut);
    if !cut.ready {
        pending(d, point, cut);
        return;
    }
    d.line.cut.get_or_insert(d.o.now);
    if let Some(cycle) = d.status.cycle.as_mut() {
        cycle.cut_done_at = Some(Time(d.o.now));
    }
    d.phase(CyclePhase::Starting);
    ship::start(d, point);
}

/// The target's mover is started while the cut is made: its pod takes as long. Where it may turn out
/// that nothing has changed it is started with the source's, which takes longer.
fn want_target(d: &mut Draft<'_>) {
    let Some(standby) = d.standby() else { return };
    if unchanged::staying(standby).is_none() && unchanged::may(d) {
        return;
    }
    if let Some(claim) = &standby.replica_claim {
        d.want(&standby.name, Device::Replica(claim.name.clone()));
    }
}

/// A cut that was to be made of a held application, which had to be let go, is worth nothing.
fn given_up(d: &mut Draft<'_>, point: Point) -> bool {
    let label = point.to_string();
    let quiesce = d
        .status
        .quiesce
        .as_ref()
        .filter(|q| q.point == label && !q.pods.is_empty());
    if quiesce.is_none_or(|q| q.released_at.is_none()) {
        return false;
    }
    attempt::fail(
        d,
        Reason::SnapshotFailed,
        "the application had to be released before the snapshot was cut; it is tried again".into(),
    );
    true
}

fn record(d: &mut Draft<'_>, point: Point, cut: &Cut) {
    let Some(created) = cut.created else { return };
    let status = PointStatus::new(point, Some(Time(created)));
    if let Some(cycle) = d.status.cycle.as_mut() {
        cycle.point = status.clone();
    }
    d.status.last_cut = Some(status);
}

fn pending(d: &mut Draft<'_>, point: Point, cut: &Cut) {
    d.visit_in(RECHECK_AFTER);
    if let Some(error) = &cut.error {
        d.trouble(
            Reason::SnapshotFailed,
            format!(
                "VolumeSnapshot {} can't be taken: {error}; the snapshotter tries again",
                cut.name
            ),
        );
    }
    if cut.created.is_none() && !hold::holding(d) && given_up(d, point) {
        return;
    }
    if d.in_phase(&CyclePhase::Cutting) > SNAPSHOT_WAIT_MAX {
        let error = cut
            .error
            .clone()
            .unwrap_or_else(|| "the snapshotter said nothing".into());
        attempt::fail(
            d,
            Reason::SnapshotFailed,
            format!(
                "VolumeSnapshot {} was not ready after {} minutes: {error}. See the CSI driver's snapshotter",
                cut.name,
                SNAPSHOT_WAIT_MAX.as_mins()
            ),
        );
        return;
    }
    d.wait(format!("VolumeSnapshot {} to be ready", cut.name));
}
