//! Which requests are kept: the newest ten of a kind, and whatever has not ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use api::v1alpha1::RequestStatus;

/// How many requests of a kind are kept for a pair.
pub const KEPT: usize = 10;

/// Those that are deleted, by UID: older than [`KEPT`] others, and ended. Each comes with whether it has.
#[must_use]
pub fn outdated<'a>(requests: impl Iterator<Item = (&'a ObjectMeta, bool)>) -> Vec<String> {
    let mut all: Vec<(RequestStatus, bool)> = requests
        .map(|(meta, over)| (RequestStatus::of(meta), over))
        .collect();
    all.sort_by(|one, other| other.0.cmp(&one.0));
    let old = all.into_iter().skip(KEPT).filter(|(_, over)| *over);
    old.map(|(request, _)| request.uid).collect()
}
