//! Condition types of a `ReplicationPair` and of the requests for it, and how one is set.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The standby can be promoted and replication goes on.
pub const READY: &str = "Ready";
/// The spec makes sense together with the objects that it names.
pub const VALIDATED: &str = "Validated";
/// Cycles are being made.
pub const REPLICATING: &str = "Replicating";
/// The committed point is no older than twice the interval.
pub const IN_SYNC: &str = "InSync";
/// Something fails over and over; the committed point stays.
pub const DEGRADED: &str = "Degraded";
/// The primary role is being moved.
pub const SWITCHING: &str = "Switching";
/// A site holds writes that nobody else has, and waits for consent.
pub const DIVERGED: &str = "Diverged";
/// The manifest names another primary than the data does, and is not followed.
pub const PRIMARY_DISAGREES: &str = "PrimaryDisagrees";

/// A storage's clock is off by more than a minute.
pub const STORAGE_CLOCK_OFF: &str = "StorageClockOff";

/// The last comparison of the two images found no difference.
pub const VERIFIED: &str = "Verified";

/// This request is the one that counts.
pub const ACCEPTED: &str = "Accepted";
/// What was requested is done. True and False are final.
pub const SUCCEEDED: &str = "Succeeded";

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl Holds {
    /// The word, as the API has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Holds::True => "True",
            Holds::False => "False",
            Holds::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Holds {
        match holds {
            true => Holds::True,
            false => Holds::False,
        }
    }
}

/// Whether the request with these conditions has ended.
#[must_use]
pub fn is_over(conditions: &[Condition]) -> bool {
    get(conditions, SUCCEEDED).is_some_and(|c| c.status != Holds::Unknown.as_str())
}

/// Puts a condition into `conditions`. The transition time moves only when the status changes.
pub fn set(
    conditions: &mut Vec<Condition>,
    generation: Option<i64>,
    now: &Time,
    (kind, status, reason, message): (&str, Holds, &str, &str),
) {
    let status = status.as_str();
    let old = conditions.iter().position(|c| c.type_ == kind);
    let since = old
        .map(|i| &conditions[i])
        .filter(|c| c.status == status)
        .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
    let condition = Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: since,
    };
    match old {
        Some(i) => conditions[i] = condition,
        None => conditions.push(condition),
    }
}

/// The condition of this type, if it was ever set.
#[must_use]
pub fn get<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == kind)
}
