//! Writes to the API: applies, deletes, and small patches.

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, Preconditions,
};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::apply::Error;
use api::names;
use api::snapshots::ALLOW_MODE_CHANGE;

/// Applies `object` in its namespace, as the operator's.
pub async fn put<K>(client: &Client, object: &K) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object))
        .await
        .map(drop)
        .map_err(|source| failed(format!("apply {} {namespace}/{name}", K::kind(&())), source))
}

/// Which object of a name is meant.
pub enum Only {
    /// Whichever has the name.
    Any,
    /// The one with this UID: no newer one of that name.
    Uid(String),
    /// The one of this resource version: not one that has changed since it was looked at.
    Version(String),
}

impl From<Only> for Preconditions {
    fn from(only: Only) -> Preconditions {
        let (uid, resource_version) = match only {
            Only::Any => (None, None),
            Only::Uid(uid) => (Some(uid), None),
            Only::Version(version) => (None, Some(version)),
        };
        Preconditions {
            uid,
            resource_version,
        }
    }
}

/// Deletes an object; one that is gone already is fine, and so is one that is not
/// the one that is meant any more.
pub async fn delete<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    only: Only,
) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams {
        preconditions: Some(only.into()),
        ..DeleteParams::background()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        // 409: the object with that UID is gone, and another has its name; or it has changed.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(failed(
            format!("delete {} {namespace}/{name}", K::kind(&())),
            source,
        )),
    }
}

/// Asks for a larger claim.
pub async fn grow(client: &Client, namespace: &str, claim: &str, bytes: u64) -> Result<(), Error> {
    let api: Api<k8s_openapi::api::core::v1::PersistentVolumeClaim> =
        Api::namespaced(client.clone(), namespace);
    let patch = json!({"spec": {"resources": {"requests": {"storage": bytes.to_string()}}}});
    api.patch(claim, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|source| {
            failed(
                format!("grow claim {namespace}/{claim} to {bytes} bytes"),
                source,
            )
        })
}

/// Allows a claim of another volume mode to be made from a snapshot.
pub async fn allow_mode_change(client: &Client, content: &str) -> Result<(), Error> {
    let gvk = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
    let patch = json!({"metadata": {"annotations": {ALLOW_MODE_CHANGE: "true"}}});
    api.patch(content, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|source| failed(format!("annotate VolumeSnapshotContent {content}"), source))
}

/// The error for an action that the API server refused.
pub fn failed(action: String, source: kube::Error) -> Error {
    Error::Api {
        action,
        source: Box::new(source),
    }
}
