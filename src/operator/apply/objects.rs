//! Writes to the API: applies, deletes, and small patches.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
    Preconditions,
};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::apply::Error;
use api::names;
use api::snapshots::ALLOW_MODE_CHANGE;

/// Creates `object` in its namespace. One of that name which is the pair's already stays what it is; one
/// that is not is somebody else's, and is not touched (K-3).
pub async fn make<K>(client: &Client, object: &K) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let what = |verb: &str| format!("{verb} {} {namespace}/{name}", K::kind(&()));
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let params = PostParams {
        field_manager: Some(names::OPERATOR_MANAGER.into()),
        ..PostParams::default()
    };
    match api.create(&params, object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = api.get_opt(&name).await;
            let found = found.map_err(|source| failed(what("read"), source))?;
            let owner = |object: &K| object.labels().get(names::PAIR_UID_LABEL).cloned();
            match found.is_none_or(|found| owner(&found) == owner(object)) {
                true => Ok(()),
                false => Err(Error::NameTaken {
                    object: format!("{} {name}", K::kind(&())),
                }),
            }
        }
        Err(source) => Err(failed(what("create"), source)),
    }
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
    let patch = json!({"spec": {"resources": {"requests": {"storage": bytes.to_string()}}}});
    let changed = change_claim(client, namespace, claim, patch).await;
    changed.map_err(|source| {
        failed(
            format!("grow claim {namespace}/{claim} to {bytes} bytes"),
            source,
        )
    })
}

/// Notes a change of the role with a state claim, or removes the note.
pub async fn note(
    client: &Client,
    namespace: &str,
    claim: &str,
    role_change: Option<String>,
) -> Result<(), Error> {
    let patch = json!({"metadata": {"annotations": {names::ROLE_CHANGE_ANNOTATION: role_change}}});
    match change_claim(client, namespace, claim, patch).await {
        // Nothing is lost that a status does not say: the role moves without the claim too.
        Err(error) if cluster::is_not_found(&error) => Ok(()),
        done => done.map_err(|source| {
            failed(
                format!("note the role change with claim {namespace}/{claim}"),
                source,
            )
        }),
    }
}

/// Allows a claim of another volume mode to be made from a snapshot.
pub async fn allow_mode_change(client: &Client, content: &str) -> Result<(), Error> {
    let patch = json!({"metadata": {"annotations": {ALLOW_MODE_CHANGE: "true"}}});
    change_content(client, content, patch).await
}

/// Has a snapshot's content, and what the storage keeps for it, go with the snapshot.
pub async fn drop_with_snapshot(client: &Client, content: &str) -> Result<(), Error> {
    let patch = json!({"spec": {"deletionPolicy": "Delete"}});
    change_content(client, content, patch).await
}

/// Makes a claim that an earlier pair has left the replica of a site (K-3).
pub async fn take_over(
    client: &Client,
    (namespace, claim): (&str, &str),
    uid: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let patch = json!({"metadata": {"uid": uid, "labels": labels}});
    let changed = change_claim(client, namespace, claim, patch).await;
    changed.map_err(|source| failed(format!("take over claim {namespace}/{claim}"), source))
}

async fn change_claim(
    client: &Client,
    namespace: &str,
    claim: &str,
    patch: serde_json::Value,
) -> Result<(), kube::Error> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    api.patch(claim, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

async fn change_content(
    client: &Client,
    content: &str,
    patch: serde_json::Value,
) -> Result<(), Error> {
    let gvk = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&gvk));
    api.patch(content, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|source| failed(format!("change VolumeSnapshotContent {content}"), source))
}

/// The error for an action that the API server refused.
pub fn failed(action: String, source: kube::Error) -> Error {
    Error::Api {
        action,
        source: Box::new(source),
    }
}
