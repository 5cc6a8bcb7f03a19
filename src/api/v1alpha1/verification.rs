//! What Ferry reports of the comparison of both images.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::v1alpha1::PointStatus;

/// The last comparison of the standby's image with the primary's, and the one under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// The one under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<RunningVerification>,
    /// When the last one ended; absent while there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Time>,
    /// The committed point that its last slice was compared at, `epoch.seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<String>,
    /// Bytes that it compared.
    #[serde(default)]
    pub compared_bytes: i64,
    /// Bytes in blocks that differed.
    #[serde(default)]
    pub differing_bytes: i64,
    /// Bytes of those that were repaired.
    #[serde(default)]
    pub repaired_bytes: i64,
    /// The first ranges that differed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// From its beginning to its end, with the cycles that went first.
    #[serde(default)]
    pub duration_seconds: i64,
    /// The `spec.verifyTrigger` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// A verification under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunningVerification {
    /// When it began.
    pub started_at: Time,
    /// The `spec.verifyTrigger` that it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The committed point that its last slice was compared at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointStatus>,
    /// Everything below this byte is compared.
    #[serde(default)]
    pub compared_bytes: i64,
    /// The size of the image; 0 before the first slice.
    #[serde(default)]
    pub size_bytes: i64,
    /// Bytes in blocks that differed; they are repaired.
    #[serde(default)]
    pub differing_bytes: i64,
    /// The first ranges that differed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}
