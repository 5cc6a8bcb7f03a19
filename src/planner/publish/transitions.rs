//! What has turned between two statuses: only that becomes an Event. Pure.

use crate::decide::verify;
use crate::publish::advice;
use api::v1alpha1::{ReplicationPairStatus, SwitchStep, VerificationStatus};
use api::{Reason, conditions as kinds};

/// Something that people may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whether it needs attention.
    pub warning: bool,
    /// Its stable name.
    pub reason: Reason,
    /// What Ferry was doing.
    pub action: &'static str,
    /// What happened.
    pub note: String,
}

/// What has turned from `before` to `after`.
#[must_use]
pub fn transitions(
    before: &ReplicationPairStatus,
    after: &ReplicationPairStatus,
) -> Vec<Transition> {
    let mut turns: Vec<Transition> = Vec::new();
    turns.extend(verdicts(before, after));
    turns.extend(refusals(before, after));
    turns.extend(cycle(before, after));
    turns.extend(switch(before, after));
    turns.extend(verification(before, after));
    turns
}

/// Conditions whose transitions become an Event, and what they are when all is well.
const WATCHED: [(&str, &str, &str); 6] = [
    (kinds::STORAGE_CLOCK_OFF, "False", "Replicate"),
    (kinds::VALIDATED, "True", "Validate"),
    (kinds::DEGRADED, "False", "Replicate"),
    (kinds::DIVERGED, "False", "Replicate"),
    (kinds::PRIMARY_DISAGREES, "False", "Switch"),
    (kinds::SWITCHING, "False", "Switch"),
];

fn verdicts<'a>(
    before: &'a ReplicationPairStatus,
    after: &'a ReplicationPairStatus,
) -> impl Iterator<Item = Transition> + 'a {
    WATCHED.iter().filter_map(move |(kind, good, action)| {
        let new = kinds::get(&after.conditions, kind)?;
        let old = kinds::get(&before.conditions, kind);
        let same = old.is_some_and(|old| old.status == new.status && old.reason == new.reason);
        // Refusals are events of their own.
        let quiet = new.reason == Reason::NoSwitch
            || new.reason == Reason::SwitchInProgress
            || new.reason == Reason::ActionRefused;
        // At the first reconcile only what is wrong is news.
        let well = new.status == *good && (*kind != kinds::SWITCHING || quiet);
        if same || quiet || (old.is_none() && well) {
            return None;
        }
        Some(Transition {
            warning: !well,
            reason: Reason::from(new.reason.as_str()),
            action,
            note: new.message.clone(),
        })
    })
}

/// What is refused is an event once, in the words of whoever refused it (K-8).
fn refusals<'a>(
    before: &'a ReplicationPairStatus,
    after: &'a ReplicationPairStatus,
) -> impl Iterator<Item = Transition> + 'a {
    let refused = after.failing.iter().filter(|failing| failing.refused);
    let new = refused.filter(|failing| {
        let mut known = before.failing.iter();
        !known.any(|known| known.refused && known.action == failing.action)
    });
    new.map(|failing| Transition {
        warning: true,
        reason: Reason::ActionRefused,
        action: "Perform",
        note: format!(
            "to {} is refused: {}; {}",
            failing.action,
            failing.message,
            advice(&failing.message)
        ),
    })
}

fn cycle(before: &ReplicationPairStatus, after: &ReplicationPairStatus) -> Option<Transition> {
    let point = after.committed_point.as_ref()?;
    let first = before.committed_point.is_none();
    // Every cycle would be noise: the first is news, and the first after a failure.
    let recovered = before.last_failure.is_some() && after.last_failure.is_none();
    (first || recovered).then(|| {
        let moved = after.last_cycle.as_ref().map_or(String::new(), |cycle| {
            format!(
                ": {} bytes on the wire in {} ms by {}",
                cycle.wire_bytes, cycle.total_ms, cycle.change_source
            )
        });
        Transition {
            warning: false,
            reason: Reason::CycleCommitted,
            action: "Replicate",
            note: format!("point {} is committed at the standby{moved}", point.label),
        }
    })
}

/// The first difference is news at once, and how a verification ended.
fn verification(
    before: &ReplicationPairStatus,
    after: &ReplicationPairStatus,
) -> Option<Transition> {
    let (old, new) = (before.verification.as_ref(), after.verification.as_ref()?);
    let found = |status: Option<&VerificationStatus>| {
        verify::running(status).is_some_and(|running| running.differing_bytes > 0)
    };
    let ended = new.last_time.is_some()
        && old.and_then(|old| old.last_time.as_ref()) != new.last_time.as_ref();
    if !ended && (found(old) || !found(Some(new))) {
        return None;
    }
    let verified = kinds::get(&after.conditions, kinds::VERIFIED)?;
    Some(Transition {
        warning: verified.status != "True",
        reason: Reason::from(verified.reason.as_str()),
        action: "Verify",
        note: verified.message.clone(),
    })
}

fn switch(before: &ReplicationPairStatus, after: &ReplicationPairStatus) -> Option<Transition> {
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
    let note = match &new.step {
        SwitchStep::Done => format!(
            "site {} is primary in epoch {} at point {point}{}",
            new.to,
            new.epoch,
            new.loss
                .as_ref()
                .map_or(String::new(), |loss| format!(". Lost: {loss}"))
        ),
        SwitchStep::Cancelled => format!(
            "site {} stays primary: {}",
            after.primary.as_deref().unwrap_or(&new.from),
            new.cancelled
                .as_deref()
                .unwrap_or("the request was withdrawn")
        ),
        step => format!(
            "{} move of the primary role from {} to {}: {step}",
            new.kind, new.from, new.to
        ),
    };
    let reason = if new.step == SwitchStep::Done {
        Reason::Promoted
    } else {
        Reason::SwitchInProgress
    };
    Some(Transition {
        warning: done && new.loss.is_some(),
        reason,
        action: "Switch",
        note,
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::publish::conditions::verified;
    use api::v1alpha1::{FailingAction, RunningVerification};

    fn status(differing: i64, running: bool, last: Option<&str>) -> ReplicationPairStatus {
        let time = |text: &str| Time(text.parse().unwrap());
        let differences = vec!["4096 bytes at 8192".to_string()];
        let mut status = ReplicationPairStatus {
            verification: Some(VerificationStatus {
                running: running.then(|| RunningVerification {
                    started_at: time("2026-01-01T00:00:00Z"),
                    trigger: None,
                    point: None,
                    compared_bytes: 0,
                    size_bytes: 0,
                    differing_bytes: differing,
                    differences: differences.clone(),
                }),
                last_time: last.map(time),
                differing_bytes: if running { 0 } else { differing },
                repaired_bytes: if running { 0 } else { differing },
                differences,
                ..VerificationStatus::default()
            }),
            ..ReplicationPairStatus::default()
        };
        let (holds, reason, message) = verified(&status);
        let verdict = (
            kinds::VERIFIED,
            holds.into(),
            reason.as_str(),
            message.as_str(),
        );
        let now = time("2026-01-02T00:00:00Z");
        kinds::set(&mut status.conditions, None, &now, verdict);
        status
    }

    #[test]
    fn a_difference_is_news_at_once_and_again_when_it_is_repaired() {
        let (monday, sunday) = (Some("2026-01-05T00:00:00Z"), Some("2026-01-11T00:00:00Z"));
        let said = |before: &ReplicationPairStatus, after: &ReplicationPairStatus| {
            let turn = verification(before, after)?;
            let names = turn.warning == turn.note.contains("4096 bytes at 8192");
            assert!(names, "{turn:?}");
            Some((turn.reason, turn.warning))
        };
        let clean = status(0, false, monday);
        let begun = status(0, true, monday);
        let found = status(4096, true, monday);
        let more = status(8192, true, monday);
        let repaired = status(8192, false, sunday);
        assert_eq!(said(&clean, &begun), None);
        let warned = |reason: Reason| Some((reason, true));
        assert_eq!(said(&begun, &found), warned(Reason::DifferenceFound));
        assert_eq!(said(&found, &more), None, "once");
        assert_eq!(said(&more, &repaired), warned(Reason::DifferenceRepaired));
        assert_eq!(said(&repaired, &repaired), None);
        let good = Some((Reason::NoDifference, false));
        assert_eq!(said(&begun, &status(0, false, sunday)), good);
    }

    /// K-8: a refusal is an Event once, in the words of whoever refused it, and with what to do.
    #[test]
    fn k_8_a_refusal_is_an_event_once() {
        let since = Time("2026-01-01T00:00:00Z".parse().unwrap());
        let calm = ReplicationPairStatus::default();
        let refused = ReplicationPairStatus {
            failing: vec![FailingAction {
                action: "create pod orders-east-mover".into(),
                message: "pods \"orders-east-mover\" is forbidden: exceeded quota: q".into(),
                refused: true,
                since,
            }],
            ..ReplicationPairStatus::default()
        };
        let reported = transitions(&calm, &refused);
        assert_eq!(reported.len(), 1);
        assert!(reported[0].warning && reported[0].reason == Reason::ActionRefused);
        for part in ["orders-east-mover", "exceeded quota: q", "ResourceQuota"] {
            assert!(reported[0].note.contains(part), "{reported:?}");
        }
        assert!(transitions(&refused, &refused).is_empty());
    }
}
