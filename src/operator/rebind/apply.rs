//! Carrying out one step.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use api::names;
use cluster::{Error, failed};
use planner::rebind::object::{BOUND_BY_CONTROLLER, VolumeExt as _};
use planner::rebind::record::{RECORD_KEY, record_name};
use planner::rebind::{ClaimRecord, DesiredBinding, RebindError, Step, new_volume};

/// Carries out one step. Repeating it is harmless. A conflict (the object has changed since it was
/// observed, or is gone) counts as done: the next observation decides again.
///
/// # Errors
/// When the API server refuses.
pub async fn execute(
    client: &Client,
    desired: &DesiredBinding,
    owner: &OwnerReference,
    step: &Step,
) -> Result<(), Error> {
    let (volumes, namespace) = (Api::all(client.clone()), desired.pair.namespace());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let done = match step {
        Step::Retain {
            volume,
            site,
            before,
        } => retain_volume(&volumes, &desired.labels(site), volume, before.as_deref()).await,
        Step::CreateVolume(volume) => return create_volume(&volumes, volume).await,
        Step::Reserve {
            volume,
            claim,
            resource_version,
        } => reserve(&volumes, desired, volume, claim, resource_version).await,
        Step::Record(record) => return keep(client, desired, owner, record).await,
        Step::DeleteClaim {
            claim,
            uid,
            resource_version,
        } => {
            let params = only_if(uid, resource_version);
            claims.delete(claim, &params).await.map(drop)
        }
        Step::CreateClaim(claim) => claims.create(&PostParams::default(), claim).await.map(drop),
        Step::DeleteVolume {
            volume,
            uid,
            resource_version,
        } => {
            let params = only_if(uid, resource_version);
            volumes.delete(volume, &params).await.map(drop)
        }
        Step::LetGo {
            volume,
            keep,
            resource_version,
        } => {
            let patch = json!({"metadata": {
                "finalizers": keep, "resourceVersion": resource_version,
            }});
            merge(&volumes, volume, &patch).await
        }
        Step::Unprotect {
            claim,
            keep,
            resource_version,
        } => {
            let patch = json!({"metadata": {
                "finalizers": keep, "resourceVersion": resource_version,
            }});
            merge(&claims, claim, &patch).await
        }
        Step::Forget => {
            let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            let name = record_name(desired.pair.name());
            maps.delete(&name, &DeleteParams::default()).await.map(drop)
        }
    };
    match done {
        // Gone, or not as it was: whatever is there now is read again.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
            tracing::info!(%step, reason = status.message, "a step has been overtaken");
            Ok(())
        }
        other => other.map_err(failed(|| step.to_string())),
    }
}

/// Sets a volume's reclaim policy to Retain and labels it as the pair's; one that is gone is left.
///
/// # Errors
/// When the API server refuses.
pub async fn retain(
    client: &Client,
    labels: &BTreeMap<String, String>,
    volume: &str,
    before: Option<String>,
) -> Result<(), Error> {
    let volumes = Api::all(client.clone());
    match retain_volume(&volumes, labels, volume, before.as_deref()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map_err(failed(|| format!("retain PersistentVolume {volume}"))),
    }
}

async fn retain_volume(
    volumes: &Api<PersistentVolume>,
    labels: &BTreeMap<String, String>,
    volume: &str,
    before: Option<&str>,
) -> Result<(), kube::Error> {
    let mut patch = json!({
        "metadata": {"labels": labels},
        "spec": {"persistentVolumeReclaimPolicy": "Retain"},
    });
    if let Some(before) = before {
        patch["metadata"]["annotations"] = json!({names::RECLAIM_POLICY_ANNOTATION: before});
    }
    merge(volumes, volume, &patch).await
}

/// An object that exists already is as good as created if it stands for the same volume.
async fn create_volume(
    volumes: &Api<PersistentVolume>,
    volume: &PersistentVolume,
) -> Result<(), Error> {
    let name = volume.name_any();
    match volumes.create(&PostParams::default(), volume).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = volumes.get_opt(&name).await;
            let found = found.map_err(failed(|| format!("read PersistentVolume {name}")))?;
            match found.filter(|found| found.volume_id() != volume.volume_id()) {
                None => Ok(()),
                Some(_) => Err(RebindError::NameTaken {
                    object: format!("PersistentVolume {name}"),
                }
                .into()),
            }
        }
        Err(source) => Err(failed(|| format!("create PersistentVolume {name}"))(source)),
    }
}

async fn reserve(
    volumes: &Api<PersistentVolume>,
    desired: &DesiredBinding,
    volume: &str,
    claim: &str,
    resource_version: &str,
) -> Result<(), kube::Error> {
    let mut reference = json!(new_volume::reservation(&desired.pair, claim));
    // What the old binding left in the reference would keep the new claim out.
    for field in ["uid", "resourceVersion", "fieldPath"] {
        reference[field] = serde_json::Value::Null;
    }
    let patch = json!({
        "metadata": {
            "resourceVersion": resource_version,
            "annotations": {BOUND_BY_CONTROLLER: null},
        },
        "spec": {"claimRef": reference},
    });
    merge(volumes, volume, &patch).await
}

async fn keep(
    client: &Client,
    desired: &DesiredBinding,
    owner: &OwnerReference,
    record: &ClaimRecord,
) -> Result<(), Error> {
    let name = record_name(desired.pair.name());
    let text = serde_json::to_string(record).map_err(|e| RebindError::RecordUnreadable {
        name: name.clone(),
        reason: e.to_string(),
    })?;
    let label = |key: &str, value: &str| (key.to_string(), value.to_string());
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(desired.pair.namespace().into()),
            labels: Some(BTreeMap::from([
                label(names::MANAGED_BY_LABEL, names::MANAGED_BY),
                label(names::PAIR_LABEL, desired.pair.name()),
                label(names::PAIR_UID_LABEL, &desired.uid),
            ])),
            owner_references: Some(vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(RECORD_KEY.to_string(), text)])),
        ..ConfigMap::default()
    };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), desired.pair.namespace());
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    maps.patch(&name, &params, &Patch::Apply(&map))
        .await
        .map(drop)
        .map_err(failed(|| format!("write ConfigMap {name}")))
}

fn only_if(uid: &str, resource_version: &str) -> DeleteParams {
    DeleteParams::default().preconditions(Preconditions {
        uid: Some(uid.into()),
        resource_version: Some(resource_version.into()),
    })
}

async fn merge<K>(
    objects: &Api<K>,
    name: &str,
    patch: &serde_json::Value,
) -> Result<(), kube::Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let params = PatchParams {
        field_manager: Some(names::OPERATOR_MANAGER.into()),
        ..PatchParams::default()
    };
    objects
        .patch(name, &params, &Patch::Merge(patch))
        .await
        .map(drop)
}
