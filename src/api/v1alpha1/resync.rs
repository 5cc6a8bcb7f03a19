//! How do people consent to discard what only one site holds?

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::v1alpha1::PairReference;

/// Consent to discard what only one site holds. The right to create one is the right to discard data.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column has a type of its own"
)]
#[kube(
    group = "ferry.dev",
    version = "v1alpha1",
    kind = "Resync",
    plural = "resyncs",
    category = "ferry",
    namespaced,
    status = "ResyncStatus",
    derive = "PartialEq",
    doc = "Consent to discard what only one site of a pair holds, in one epoch. `kubectl ferry resync` creates it after showing what is discarded.",
    selectable = ".spec.pairRef.name",
    printcolumn(
        name = "Pair",
        type_ = "string",
        json_path = ".spec.pairRef.name",
        description = "The pair."
    ),
    printcolumn(
        name = "Discard",
        type_ = "string",
        json_path = ".spec.discardSite",
        description = "The site whose own writes may be discarded."
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "True once the site follows; False once it is certain that this consent is not used."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason",
        priority = "1",
        description = "Why Succeeded is what it is."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("a Resync can't be changed: create another one"))]
pub struct ResyncSpec {
    /// The pair.
    pub pair_ref: PairReference,
    /// The site whose own writes may be discarded: the standby that has diverged, or the primary whose
    /// claim is bound to another volume than the pair's, which then becomes the pair's.
    #[schemars(length(min = 1, max = 63))]
    pub discard_site: String,
    /// The epoch that the consent is for: `status.epoch` of the pair when it was given.
    #[schemars(range(min = 1))]
    pub epoch: i64,
}

/// What has become of the consent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResyncStatus {
    /// The generation of the spec that this report answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: whether there is anything to discard in this epoch. `Succeeded`: whether the site
    /// follows by it; with True and False it has ended, and nothing changes any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
