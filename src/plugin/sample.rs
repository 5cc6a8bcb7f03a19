//! Pairs for the tests of what people see.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use api::{Promotion, ReplicationPair};

/// The moment at which the samples are shown.
pub(super) fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A moment `seconds` before [`now`].
pub(super) fn ago(seconds: i64) -> Time {
    Time(Timestamp::from_second(now().as_second() - seconds).unwrap())
}

/// A healthy pair in the middle of a cycle.
pub(super) fn shipping() -> ReplicationPair {
    from(include_str!("sample/shipping.yaml"))
}

/// A pair whose switch waits for the application.
pub(super) fn waiting() -> ReplicationPair {
    from(include_str!("sample/waiting.yaml"))
}

/// A pair that the operator has not reconciled yet.
pub(super) fn fresh() -> ReplicationPair {
    let mut pair = shipping();
    pair.metadata.name = Some("fresh".into());
    pair.metadata.creation_timestamp = Some(ago(3));
    pair.status = None;
    pair
}

/// A promotion of the pair of [`waiting`] with this condition `Succeeded`.
pub(super) fn promotion(name: &str, succeeded: &str) -> Promotion {
    let yaml = include_str!("sample/promotion.yaml");
    let yaml = yaml.replace("NAME", name).replace("SUCCEEDED", succeeded);
    serde_yaml::from_str(&yaml).unwrap()
}

fn from(yaml: &str) -> ReplicationPair {
    serde_yaml::from_str(yaml).unwrap()
}
