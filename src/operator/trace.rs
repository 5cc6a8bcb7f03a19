//! Which trace the requests of a round carry.

use api::v1alpha1::ReplicationPairStatus;
use planner::decide::switch;
use wire::Trace;

/// How much of the pair's UID a trace has: enough to tell the pairs of one cluster apart.
const UID_CHARS: usize = 8;

/// The trace of what is under way: `UID-EPOCH.SEQ` for a cycle, `UID-role-EPOCH` for a change of the role
/// between its cycles. It is made of what the status says, so it stays the same over a restart.
pub fn of(uid: &str, status: &ReplicationPairStatus) -> Option<Trace> {
    let uid: String = uid.chars().take(UID_CHARS).collect();
    let cycle = status.cycle.as_ref();
    let cycle = cycle.map(|cycle| format!("{uid}-{}", cycle.point.point()));
    let moving = status.switch.as_ref();
    let moving = moving.filter(|moving| switch::unfinished(moving));
    let text = cycle.or_else(|| Some(format!("{uid}-role-{}", moving?.epoch)))?;
    Trace::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn trace(status: serde_json::Value) -> Option<String> {
        let status = serde_json::from_value(status).unwrap();
        of("9f3a77c1-85d2-4b1e-8f43-0d9b9f0f8a11", &status).map(|trace| trace.to_string())
    }

    #[test]
    fn a_cycle_and_a_change_of_the_role_have_a_trace_and_a_pair_at_rest_has_none() {
        let point = json!({"label": "1.7", "epoch": 1, "seq": 7});
        let began = "2026-01-01T00:00:00Z";
        let cycle = json!({"point": point, "phase": "Cutting", "startedAt": began});
        let switch = |ended: Option<&str>| {
            json!({
                "kind": "Planned", "step": "StopApplication", "epoch": 2, "from": "east", "to": "west",
                "generation": "g", "startedAt": began, "finishedAt": ended,
            })
        };
        assert_eq!(trace(json!({})), None);
        assert_eq!(
            trace(json!({"cycle": cycle})).as_deref(),
            Some("9f3a77c1-1.7")
        );
        let stopping = switch(None);
        assert_eq!(
            trace(json!({"switch": stopping})).as_deref(),
            Some("9f3a77c1-role-2")
        );
        assert_eq!(
            trace(json!({"switch": stopping, "cycle": cycle})).as_deref(),
            Some("9f3a77c1-1.7")
        );
        assert_eq!(trace(json!({"switch": switch(Some(began))})), None);
    }
}
