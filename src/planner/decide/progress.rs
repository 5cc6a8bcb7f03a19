//! How far the shipment has come, reported coarsely: the API server is no place for a ticker.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::DecisionBuilder;
use api::v1alpha1 as reported;
use api::v1alpha1::{ChangeSourceStatus, HandshakeStatus};
use protocol::units::{CyclePhase, Progress};
use wire::control::MoverStatus;

/// Progress is written when this part of the work has been done since it was last: one twentieth.
const STEP_PART: u64 = 20;

/// Puts what the movers say into the status.
pub fn report(d: &mut DecisionBuilder<'_>, source: &MoverStatus, target: &MoverStatus) {
    handshake(d, source);
    let of = |mover: &MoverStatus| {
        mover
            .progress
            .filter(|p| Some(p.cycle) == d.cycle().map(|c| c.point.point()))
    };
    let (shipping, applying) = (of(source), of(target));
    let Some(progress) = shipping.or(applying) else {
        return;
    };
    let phase = match applying.map(|p| p.phase) {
        Some(CyclePhase::Staged | CyclePhase::Applying | CyclePhase::Applied) => {
            reported::CyclePhase::Applying
        }
        _ => reported::CyclePhase::Shipping,
    };
    let Some(cycle) = d.status.cycle.as_mut() else {
        return;
    };
    let before = u64::try_from(cycle.done_bytes).unwrap_or(0);
    let moved = progress.done_bytes.abs_diff(before);
    let planned = u64::try_from(cycle.planned_bytes).unwrap_or(0);
    if cycle.phase == phase
        && planned == progress.planned_bytes
        && moved < (planned / STEP_PART).max(1)
    {
        return;
    }
    cycle.phase = phase;
    cycle.planned_bytes = int(progress.planned_bytes);
    cycle.done_bytes = int(progress.done_bytes);
    cycle.wire_bytes = int(progress.wire_bytes);
    cycle.bytes_per_second = int(rate(progress.wire_bytes, &progress));
    cycle.eta_seconds = eta(&progress);
}

fn rate(bytes: u64, progress: &Progress) -> u64 {
    bytes
        .saturating_mul(1000)
        .checked_div(progress.elapsed_ms)
        .unwrap_or(0)
}

fn eta(progress: &Progress) -> Option<i64> {
    let left = progress.planned_bytes.saturating_sub(progress.done_bytes);
    left.checked_div(rate(progress.done_bytes, progress))
        .map(int)
}

/// What the handshake decided and the change source in use, once for each cycle.
pub fn handshake(d: &mut DecisionBuilder<'_>, source: &MoverStatus) {
    if let Some(decision) = &source.decision {
        let new = HandshakeStatus {
            mode: format!("{:?}", decision.mode),
            row: format!("{:?}", decision.row),
            reason: decision.reason.clone(),
            at: None,
        };
        let same = d.status.handshake.as_ref().is_some_and(|old| {
            old.mode == new.mode && old.row == new.row && old.reason == new.reason
        });
        if !same {
            d.status.handshake = Some(HandshakeStatus {
                at: Some(Time(d.observed.now)),
                ..new
            });
        }
    }
    if let Some(used) = &source.change_source {
        d.status.change_source = Some(ChangeSourceStatus {
            source: format!("{:?}", used.source),
            reason: used.reason.clone(),
        });
    }
}

/// A count as the API's integers take it.
#[must_use]
pub fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
