//! Which pairs need a person, and how urgently.

use kube::ResourceExt;

use api::{ReplicationPair, conditions};

/// How many pairs the last line names at most.
const NAMED_MAX: usize = 3;

/// Why a pair needs somebody; the most urgent comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// A site holds writes that nobody else has.
    Diverged,
    /// The spec does not fit what it names.
    Invalid,
    /// Something fails over and over.
    Degraded,
    /// The committed point is too old.
    Behind,
}

/// The condition that says so, as type and status.
const SIGNS: [(Urgency, &str, &str); 4] = [
    (Urgency::Diverged, conditions::DIVERGED, "True"),
    (Urgency::Invalid, conditions::VALIDATED, "False"),
    (Urgency::Degraded, conditions::DEGRADED, "True"),
    (Urgency::Behind, conditions::IN_SYNC, "False"),
];

/// The most urgent need of a pair and its reason; `None` where all is well. A pair whose first copy
/// is being made needs nobody.
fn need(pair: &ReplicationPair) -> Option<(Urgency, &str)> {
    let status = pair.status.as_ref()?;
    SIGNS.iter().find_map(|(urgency, kind, sign)| {
        let condition = conditions::get(&status.conditions, kind)?;
        let first_copy = *urgency == Urgency::Behind && status.committed_point.is_none();
        (condition.status == *sign && !first_copy).then_some((*urgency, condition.reason.as_str()))
    })
}

/// Puts those that need a person first, the most urgent at the top, else by namespace and name.
pub(super) fn worst_first(pairs: &mut [ReplicationPair]) {
    pairs.sort_by_key(|pair| {
        let urgency = need(pair).map(|(urgency, _)| urgency);
        (
            urgency.is_none(),
            urgency,
            pair.namespace(),
            pair.name_any(),
        )
    });
}

/// One line that says how many of `pairs`, which are sorted, need a person; `None` without any.
pub(super) fn last_line(pairs: &[ReplicationPair]) -> Option<String> {
    let needy: Vec<String> = pairs
        .iter()
        .filter_map(|pair| {
            let (_, reason) = need(pair)?;
            let namespace = pair.namespace().unwrap_or_default();
            Some(format!("{namespace}/{} ({reason})", pair.name_any()))
        })
        .collect();
    let more = match needy.len() {
        0 => return None,
        count if count > NAMED_MAX => ", …",
        _ => "",
    };
    let named = needy[..needy.len().min(NAMED_MAX)].join(", ");
    Some(format!(
        "{} of {} need you: {named}{more}",
        needy.len(),
        pairs.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn with(name: &str, kind: &str, status: &str) -> ReplicationPair {
        let mut pair = sample::shipping();
        pair.metadata.name = Some(name.into());
        let conditions = &mut pair.status.as_mut().unwrap().conditions;
        conditions.retain(|condition| condition.type_ != kind);
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(sample::now());
        let value = (kind, (status == "True").into(), "Because", "…");
        conditions::set(conditions, None, &now, value);
        pair
    }

    #[test]
    fn the_worst_stand_first_and_the_last_line_counts_them() {
        let mut pairs = [
            sample::shipping(),
            with("late", conditions::IN_SYNC, "False"),
            with("torn", conditions::DIVERGED, "True"),
            sample::fresh(),
        ];
        worst_first(&mut pairs);
        let names: Vec<String> = pairs.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, ["torn", "late", "fresh", "orders"]);
        assert_eq!(
            last_line(&pairs).unwrap(),
            "2 of 4 need you: shop/torn (Because), shop/late (Because)"
        );
    }

    #[test]
    fn nobody_is_needed_where_all_is_well_or_the_first_copy_is_made() {
        assert_eq!(last_line(&[sample::shipping(), sample::fresh()]), None);
        let mut first = with("first", conditions::IN_SYNC, "False");
        first.status.as_mut().unwrap().committed_point = None;
        assert_eq!(last_line(&[first]), None);
    }
}
