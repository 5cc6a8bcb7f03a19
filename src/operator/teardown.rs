//! Deleting a pair: everything it made goes, the application's claim and volume stay as they are.
//!
//! Works on names and labels alone, never on the spec's sense: a bad spec must not hold up the
//! deletion, nor must anything that is gone already. Nothing is created on the way.

use planner::decide::written_by_newer;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action as Requeue;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::context::Context;
use crate::{apply, quiesce};
use api::snapshots::VolumeSnapshot;
use api::{ReplicationPair, names};
use planner::decide::Report;
use planner::decide::switch;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};
use planner::rebind::record_name;
use planner::teardown::{MayGo, may_go};
use protocol::units::{PairName, VolumeId};

/// How often to look again at what is on its way out.
const RECHECK_AFTER: Duration = Duration::from_millis(500);

/// What the pair made could not be removed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused.
    #[error("failed to {action} of pair {pair}: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// The pair.
        pair: PairName,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// A deletion failed.
    #[error(transparent)]
    Delete(#[from] apply::Error),
}

/// Puts the finalizer on, before anything is made.
///
/// # Errors
/// When the API server refuses.
pub async fn guard(
    api: &Api<ReplicationPair>,
    pair: &ReplicationPair,
) -> Result<ReplicationPair, kube::Error> {
    let mut finalizers = pair.finalizers().to_vec();
    finalizers.push(names::FINALIZER.into());
    set_finalizers(api, pair, &finalizers).await
}

async fn set_finalizers(
    api: &Api<ReplicationPair>,
    pair: &ReplicationPair,
    finalizers: &[String],
) -> Result<ReplicationPair, kube::Error> {
    let patch = json!({
        "metadata": {"finalizers": finalizers, "resourceVersion": pair.metadata.resource_version},
    });
    api.patch(
        &pair.name_any(),
        &PatchParams::default(),
        &Patch::Merge(patch),
    )
    .await
}

/// Removes what the pair made, then its finalizer.
///
/// # Errors
/// When the API server refuses something other than what is gone.
pub async fn teardown(
    ctx: &Context,
    name: &PairName,
    pair: &ReplicationPair,
) -> Result<Requeue, Error> {
    ctx.forget(name);
    if !pair.finalizers().iter().any(|f| f == names::FINALIZER) {
        return Ok(Requeue::await_change());
    }
    let client = &ctx.client;
    release_held(client, name, pair).await;
    remove_all::<Pod>(client, pair, name, |_| true).await?;
    if !role_has_moved(ctx, name, pair).await? {
        return Ok(Requeue::requeue(RECHECK_AFTER));
    }
    drop_contents(client, name, pair).await?;
    remove_all::<VolumeSnapshot>(client, pair, name, |_| true).await?;
    let app = app_volume(client, name, pair).await?;
    let may = may_go(pair, app.volume.as_ref());
    restore_policies(client, name, pair, &may).await?;
    let label = |claim: &PersistentVolumeClaim, key| claim.labels().get(key).cloned();
    remove_all::<PersistentVolumeClaim>(client, pair, name, |claim| {
        let site = label(claim, names::SITE_LABEL).unwrap_or_default();
        match label(claim, names::PART_LABEL).as_deref() {
            Some("metadata" | "source") => true,
            Some("replica") => may.replicas.contains(&site),
            _ => false,
        }
    })
    .await?;
    for site in &pair.spec.sites {
        let secret = names::mover(name.name(), &site.name);
        delete_own::<Secret>(client, pair, name, &secret).await?;
    }
    let record = record_name(name.name());
    match app.exists {
        true => delete_own::<ConfigMap>(client, pair, name, &record).await?,
        // It is all that is known of a claim that is not there: it stays, for whoever makes it again.
        false => disown_record(client, pair, name, &record).await?,
    }
    if pods_left(client, pair, name).await? {
        return Ok(Requeue::requeue(RECHECK_AFTER));
    }
    let api: Api<ReplicationPair> = Api::namespaced(client.clone(), name.namespace());
    let rest: Vec<String> = pair
        .finalizers()
        .iter()
        .filter(|f| *f != names::FINALIZER)
        .cloned()
        .collect();
    match set_finalizers(&api, pair, &rest).await {
        Ok(_) => Ok(Requeue::await_change()),
        Err(error) if cluster::is_not_found(&error) => Ok(Requeue::await_change()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            Ok(Requeue::requeue(Duration::from_millis(50)))
        }
        Err(source) => Err(failed("remove the finalizer", name)(source)),
    }
}

/// A pair that is deleted in the middle of a move of its role: claims that are being exchanged get
/// their volumes first, for the application's own may be gone at that moment, and the application
/// is started again where it was stopped. False while that waits for something.
async fn role_has_moved(
    ctx: &Context,
    name: &PairName,
    pair: &ReplicationPair,
) -> Result<bool, Error> {
    let status = pair.status.clone().unwrap_or_default();
    let Some(switch) = status.switch.as_ref().filter(|s| switch::unfinished(s)) else {
        return Ok(true);
    };
    if let Some(what) = written_by_newer(&status) {
        tracing::error!(
            pair = %name, what,
            "the deletion waits: this version of Ferry does not know how far a role change has come; install \
             the version that began it, or a newer one"
        );
        return Ok(false);
    }
    let owner = pair.controller_owner_ref(&());
    let primary = status.primary.as_deref().unwrap_or(&switch.from);
    let desired =
        switch::desired_binding(pair, &status, primary).filter(|_| switch.step.is_rebinding());
    if let (Some(desired), Some(owner)) = (desired, owner) {
        match apply::rebind(&ctx.client, &owner, &desired).await {
            Ok(Report::RebindWaits(what)) => {
                tracing::info!(pair = %name, what, "the deletion waits");
                return Ok(false);
            }
            Ok(_) => {}
            // A namespace that is being deleted takes no new claims, and needs none.
            Err(cluster::Error::Api { source, .. }) if is_terminating(&source) => {}
            Err(error @ cluster::Error::Api { .. }) => return Err(apply::Error::from(error).into()),
            Err(error) => {
                tracing::warn!(pair = %name, %error, "the claims are left as they are");
            }
        }
    }
    if let Some(replicas) = switch.replicas
        && let Err(error) = apply::scale(ctx, name, pair, replicas, None).await
    {
        tracing::warn!(pair = %name, %error, replicas, "the application is left stopped");
    }
    Ok(true)
}

/// Whether the API server refuses because the namespace is being deleted. Any other refusal, such as of a
/// quota or a webhook, is no proof of that (apiserver lifecycle/admission.go, Kubernetes 1.34).
fn is_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.any(|cause| cause.reason == "NamespaceTerminating")
}

/// The application goes on, whatever becomes of the rest.
async fn release_held(client: &Client, name: &PairName, pair: &ReplicationPair) {
    let held = pair
        .status
        .as_ref()
        .and_then(|status| status.quiesce.as_ref());
    let Some(held) = held.filter(|quiesce| quiesce.released_at.is_none()) else {
        return;
    };
    let targets: Vec<_> = held
        .pods
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let report =
        quiesce::run_post(client, name.namespace(), &pair.spec.quiesce.hooks, &targets).await;
    tracing::info!(pair = %name, ?report, "released the application of a pair that is being deleted");
}

/// Deletes an object if it is the pair's (K-3).
async fn delete_own<K>(
    client: &Client,
    pair: &ReplicationPair,
    name: &PairName,
    object: &str,
) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), name.namespace());
    let found = api.get_opt(object).await;
    let found = found.map_err(failed("read what is left", name))?;
    match found.filter(|found| is_own(found, pair)) {
        Some(found) => delete_found(client, name, &found).await,
        None => Ok(()),
    }
}

/// Whether an object is the pair's, whatever its name is.
fn is_own<K: Resource>(object: &K, pair: &ReplicationPair) -> bool {
    object.labels().get(names::PAIR_UID_LABEL) == pair.metadata.uid.as_ref()
}

/// Deletes the very object that was read.
async fn delete_found<K>(client: &Client, name: &PairName, found: &K) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let only = apply::Only::Uid(found.uid().unwrap_or_default());
    Ok(apply::delete::<K>(client, name.namespace(), &found.name_any(), only).await?)
}

/// The record of the application's claim goes its own way: nobody owns it any more.
async fn disown_record(
    client: &Client,
    pair: &ReplicationPair,
    name: &PairName,
    record: &str,
) -> Result<(), Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), name.namespace());
    let found = api.get_opt(record).await;
    let found = found.map_err(failed("read the record", name))?;
    if found.is_none_or(|found| !is_own(&found, pair)) {
        return Ok(());
    }
    let patch = json!({"metadata": {"ownerReferences": null}});
    match api
        .patch(record, &PatchParams::default(), &Patch::Merge(patch))
        .await
    {
        Err(error) if cluster::is_not_found(&error) => Ok(()),
        other => other.map(drop).map_err(failed("keep the record", name)),
    }
}

/// Has the storage's snapshots go with the pair's, whatever their class says (K-17).
async fn drop_contents(
    client: &Client,
    name: &PairName,
    pair: &ReplicationPair,
) -> Result<(), Error> {
    let api: Api<VolumeSnapshot> = Api::namespaced(client.clone(), name.namespace());
    let snapshots = match api.list(&labelled(pair)).await {
        Ok(list) => list.items,
        Err(error) if cluster::is_not_found(&error) => return Ok(()),
        Err(source) => return Err(failed("list the snapshots", name)(source)),
    };
    for snapshot in snapshots {
        let content = snapshot
            .status
            .and_then(|s| s.bound_volume_snapshot_content_name);
        let Some(content) = content else { continue };
        match apply::drop_with_snapshot(client, &content).await {
            Err(apply::Error::Api { source, .. }) if cluster::is_not_found(&source) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The application's claim, as far as the end of a pair depends on it.
struct AppClaim {
    exists: bool,
    volume: Option<VolumeId>,
}

async fn app_volume(
    client: &Client,
    name: &PairName,
    pair: &ReplicationPair,
) -> Result<AppClaim, Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), name.namespace());
    let found = claims.get_opt(&pair.spec.claim_name).await;
    let found = found.map_err(failed("read the application's claim", name))?;
    let bound = found.as_ref().filter(|claim| claim.is_bound());
    let Some(volume) = bound.map(|claim| claim.volume_name().to_string()) else {
        let exists = found.is_some();
        return Ok(AppClaim {
            exists,
            volume: None,
        });
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get_opt(&volume).await;
    let volume = volume.map_err(failed("read the application's volume", name))?;
    Ok(AppClaim {
        exists: true,
        volume: volume.and_then(|volume| volume.volume_id()),
    })
}

async fn remove_all<K>(
    client: &Client,
    pair: &ReplicationPair,
    name: &PairName,
    ours: impl Fn(&K) -> bool,
) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), name.namespace());
    let list = match api.list(&labelled(pair)).await {
        Ok(list) => list.items,
        // The kind itself is not served: then there is nothing of it.
        Err(error) if cluster::is_not_found(&error) => Vec::new(),
        Err(source) => return Err(failed("list what is left", name)(source)),
    };
    for object in list.iter().filter(|object| ours(object)) {
        if object.meta().deletion_timestamp.is_none() {
            delete_found(client, name, object).await?;
        }
    }
    Ok(())
}

fn labelled(pair: &ReplicationPair) -> ListParams {
    let uid = pair.uid().unwrap_or_default();
    ListParams::default().labels(&format!(
        "{}={uid},{}={}",
        names::PAIR_UID_LABEL,
        names::MANAGED_BY_LABEL,
        names::MANAGED_BY
    ))
}

/// Gives the volumes their own reclaim policy back: the application's, and a replica's that is to be
/// deleted with its claim; each only where that may go.
async fn restore_policies(
    client: &Client,
    name: &PairName,
    pair: &ReplicationPair,
    may: &MayGo,
) -> Result<(), Error> {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), name.namespace());
    let app = may.app_policy.then(|| pair.spec.claim_name.clone());
    let replicas = may.replicas.iter();
    let replicas = replicas.map(|site| names::replica_claim(name.name(), site));
    for claim in app.into_iter().chain(replicas) {
        let found = claims
            .get_opt(&claim)
            .await
            .map_err(failed("read a claim", name))?;
        let own = |claim: &PersistentVolumeClaim| {
            claim.name_any() == pair.spec.claim_name || is_own(claim, pair)
        };
        let volume = found.filter(own).and_then(|claim| claim.spec?.volume_name);
        let Some(volume) = volume else { continue };
        let Some(volume) = api
            .get_opt(&volume)
            .await
            .map_err(failed("read a volume", name))?
        else {
            continue;
        };
        let Some(policy) = volume.annotations().get(names::RECLAIM_POLICY_ANNOTATION) else {
            continue;
        };
        let patch = json!({
            "metadata": {"annotations": {names::RECLAIM_POLICY_ANNOTATION: null}},
            "spec": {"persistentVolumeReclaimPolicy": policy},
        });
        match api
            .patch(
                &volume.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
        {
            Ok(_) => {}
            Err(error) if cluster::is_not_found(&error) => {}
            Err(source) => return Err(failed("restore a reclaim policy", name)(source)),
        }
    }
    Ok(())
}

async fn pods_left(
    client: &Client,
    pair: &ReplicationPair,
    name: &PairName,
) -> Result<bool, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), name.namespace());
    let list = api
        .list(&labelled(pair))
        .await
        .map_err(failed("list the movers", name))?;
    Ok(!list.items.is_empty())
}

fn failed(action: &'static str, name: &PairName) -> impl Fn(kube::Error) -> Error {
    let pair = name.clone();
    move |source| Error::Api {
        action,
        pair: pair.clone(),
        source: Box::new(source),
    }
}
