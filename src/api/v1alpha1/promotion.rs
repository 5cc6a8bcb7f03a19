//! How do people ask for the primary role to be moved, once?

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::v1alpha1::spec::DURATION;
use crate::v1alpha1::{PairReference, PointStatus, SwitchStep};

/// A request to move the primary role of a pair once. It never changes, and its absence or deletion asks
/// for nothing.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column has a type of its own"
)]
#[kube(
    group = "ferry.dev",
    version = "v1alpha1",
    kind = "Promotion",
    plural = "promotions",
    category = "ferry",
    namespaced,
    status = "PromotionStatus",
    derive = "PartialEq",
    doc = "A request to move the primary role of a pair once, in one epoch. `kubectl ferry promote` creates it after showing the plan or the loss.",
    selectable = ".spec.pairRef.name",
    printcolumn(
        name = "Pair",
        type_ = "string",
        json_path = ".spec.pairRef.name",
        description = "The pair whose role is to move."
    ),
    printcolumn(
        name = "Site",
        type_ = "string",
        json_path = ".spec.site",
        description = "The site to promote."
    ),
    printcolumn(
        name = "Kind",
        type_ = "string",
        json_path = ".spec.kind",
        description = "Whether anything may be lost."
    ),
    printcolumn(
        name = "Step",
        type_ = "string",
        json_path = ".status.step",
        description = "Where the move is."
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "True once the site is primary; False once it is certain that this request moves nothing."
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
#[x_kube(validation = Rule::new("self.pairRef == oldSelf.pairRef && self.site == oldSelf.site && \
    self.epoch == oldSelf.epoch && self.kind == oldSelf.kind")
    .message("a Promotion can't be changed, only cancelled: create another one"))]
#[x_kube(validation = Rule::new("has(self.acceptLossOf) == has(oldSelf.acceptLossOf) && \
    (!has(self.acceptLossOf) || self.acceptLossOf == oldSelf.acceptLossOf)")
    .message("acceptLossOf can't be changed: create another Promotion"))]
#[x_kube(validation = Rule::new("!oldSelf.cancel || self.cancel")
    .message("a Promotion that is cancelled stays so: create another one"))]
#[x_kube(validation = Rule::new("!has(self.acceptLossOf) || self.kind == 'Forced'")
    .message("acceptLossOf is for kind Forced only: a planned move loses nothing"))]
pub struct PromotionSpec {
    /// The pair.
    pub pair_ref: PairReference,
    /// The site to promote.
    #[schemars(length(min = 1, max = 63))]
    pub site: String,
    /// The epoch that the request is for: `status.epoch` of the pair when it was made. In any other
    /// epoch it is void.
    #[schemars(range(min = 1))]
    pub epoch: i64,
    /// `Planned` drains and loses nothing. `Forced` promotes the committed point and discards what
    /// was written after it.
    #[serde(default)]
    pub kind: PromotionKind,
    /// The age of what the standby holds up to which a forced move is begun, such as `5m`: what was
    /// written since is lost. Where it is older when the request is picked up, nothing is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 16),
        regex(pattern = DURATION)
    )]
    pub accept_loss_of: Option<String>,
    /// Takes the request back, which works until the application runs at the new site. The only change
    /// there is.
    #[serde(default)]
    pub cancel: bool,
}

/// How the role is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PromotionKind {
    /// A last cut of the stopped application is shipped first: nothing is lost.
    #[default]
    Planned,
    /// The committed point is promoted as it is: what was written after it is lost.
    Forced,
}

/// How far the request has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// The generation of the spec that this report answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: whether this is the request that counts. `Succeeded`: whether the site is primary by
    /// it; with True and False it has ended, and nothing changes any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The step that the move is at, or was at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<SwitchStep>,
    /// The point that was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointStatus>,
    /// What a forced move has lost, as far as it can be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
}
