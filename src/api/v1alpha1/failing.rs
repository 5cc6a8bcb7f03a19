//! What could not be done when it was tried last, and is tried again.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that Ferry has tried and could not do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingAction {
    /// What was tried, with the object's name.
    pub action: String,
    /// Why it could not be done, in the words of whoever refused it.
    pub message: String,
    /// Whether it was refused, by the API server or for what only a person can judge; otherwise whoever
    /// was asked could not be reached.
    pub refused: bool,
    /// Since when it can't be done.
    pub since: Time,
}
