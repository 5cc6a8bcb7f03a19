//! What is kept of the application's claim while it is deleted and made again.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde::{Deserialize, Serialize};

/// What is kept of the application's claim, in a ConfigMap that the pair owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRecord {
    /// The claim, ready to be created again but for `spec.volumeName`.
    pub claim: PersistentVolumeClaim,
    /// File system on the volume, from the PersistentVolume that the claim was bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fs_type: Option<String>,
    /// Mount options, from the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
}

/// The ConfigMap's name.
#[must_use]
pub fn record_name(pair: &str) -> String {
    format!("{pair}-rebind")
}
