//! What has turned between two statuses: only that becomes an Event. Pure.

use crate::api::v1alpha1::ReplicationPairStatus;
use crate::api::{conditions as kinds, reasons};

/// Something that people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whether it needs attention.
    pub warning: bool,
    /// One of [`reasons`].
    pub reason: String,
    /// What Ferry was doing.
    pub action: &'static str,
    /// What happened.
    pub note: String,
}

/// What has turned from `before` to `after`.
#[must_use]
pub fn turns(before: &ReplicationPairStatus, after: &ReplicationPairStatus) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    turns.extend(verdicts(before, after));
    turns.extend(cycle(before, after));
    turns.extend(switch(before, after));
    turns
}

/// Conditions that are worth an Event, and what they are when all is well.
const WATCHED: [(&str, &str, &str); 5] = [
    (kinds::VALIDATED, "True", "Validate"),
    (kinds::DEGRADED, "False", "Replicate"),
    (kinds::DIVERGED, "False", "Replicate"),
    (kinds::PRIMARY_DISAGREES, "False", "Switch"),
    (kinds::SWITCHING, "False", "Switch"),
];

fn verdicts<'a>(
    before: &'a ReplicationPairStatus,
    after: &'a ReplicationPairStatus,
) -> impl Iterator<Item = Turn> + 'a {
    WATCHED.iter().filter_map(move |(kind, good, action)| {
        let new = kinds::get(&after.conditions, kind)?;
        let old = kinds::get(&before.conditions, kind);
        let same = old.is_some_and(|old| old.status == new.status && old.reason == new.reason);
        let quiet =
            [reasons::NO_SWITCH, reasons::SWITCH_IN_PROGRESS].contains(&new.reason.as_str());
        // At the first visit only what is wrong is news.
        let well = new.status == *good && (*kind != kinds::SWITCHING || quiet);
        if same || quiet || (old.is_none() && well) {
            return None;
        }
        Some(Turn {
            warning: !well,
            reason: new.reason.clone(),
            action,
            note: new.message.clone(),
        })
    })
}

fn cycle(before: &ReplicationPairStatus, after: &ReplicationPairStatus) -> Option<Turn> {
    let point = after.committed_point.as_ref()?;
    let first = before.committed_point.is_none();
    // Every cycle would be noise: the first is news, and the first after a failure.
    let recovered = before.last_failure.is_some() && after.last_failure.is_none();
    (first || recovered).then(|| {
        let moved = after.last_cycle.as_ref().map_or(String::new(), |cycle| {
            format!(
                ": {} bytes on the wire in {} ms by {}",
                cycle.wire_bytes, cycle.total_ms, cycle.rung
            )
        });
        Turn {
            warning: false,
            reason: reasons::CYCLE_COMMITTED.into(),
            action: "Replicate",
            note: format!("point {} is committed at the standby{moved}", point.label),
        }
    })
}

fn switch(before: &ReplicationPairStatus, after: &ReplicationPairStatus) -> Option<Turn> {
    let new = after.switch.as_ref()?;
    let old = before
        .switch
        .as_ref()
        .filter(|old| old.epoch == new.epoch && old.to == new.to);
    if old.is_some_and(|old| old.step == new.step) {
        return None;
    }
    let done = new.finished_at.is_some();
    let point = new
        .promoted_point
        .as_ref()
        .map_or("-", |point| point.label.as_str());
    let note = match new.step.as_str() {
        "Done" => format!(
            "site {} is primary in epoch {} at point {point}{}",
            new.to,
            new.epoch,
            new.loss
                .as_ref()
                .map_or(String::new(), |loss| format!(". Given up: {loss}"))
        ),
        "Cancelled" => format!(
            "site {} stays primary: the wish for {} was withdrawn",
            new.from, new.to
        ),
        step => format!(
            "{} move of the primary role from {} to {}: {step}",
            new.kind, new.from, new.to
        ),
    };
    let reason = if new.step == "Done" {
        reasons::PROMOTED
    } else {
        reasons::SWITCH_IN_PROGRESS
    };
    Some(Turn {
        warning: done && new.loss.is_some(),
        reason: reason.into(),
        action: "Switch",
        note,
    })
}
