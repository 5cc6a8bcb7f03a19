//! What does a request name, and how is one recorded?

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pair that a request is for, in the namespace of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A request of people that is followed. It stays recorded when its object is deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestStatus {
    /// When the object was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// Its name.
    pub name: String,
    /// Its UID: an object that is created again under the name is another request.
    pub uid: String,
}

impl RequestStatus {
    /// The record of a request with this metadata.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> RequestStatus {
        RequestStatus {
            created_at: meta.creation_timestamp.clone(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }
}

/// Consent to discard what only one site holds, which is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsentStatus {
    /// The site.
    pub site: String,
    /// The epoch that it is for.
    pub epoch: i64,
    /// The Resync.
    pub request: RequestStatus,
}
