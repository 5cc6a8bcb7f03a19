//! Writes to the API: applies, deletes, and small patches.

use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, Preconditions,
};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::names;
use crate::operator::apply::Error;
use crate::operator::snapshot_api::ALLOW_MODE_CHANGE;

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

/// Deletes an object; one that is gone already is fine. With `uid`, no newer object of that name.
pub async fn delete<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams {
        preconditions: uid.map(|uid| Preconditions {
            uid: Some(uid.into()),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        // 409: the object with that UID is gone, and another has its name.
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
