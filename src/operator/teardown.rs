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
use api::v1alpha1::DeletionPolicy;
use api::{ReplicationPair, names};
use planner::decide::Report;
use planner::decide::switch;
use planner::rebind::record_name;
use protocol::units::PairName;

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
    remove_all::<Pod>(client, name, |_| true).await?;
    if !role_has_moved(ctx, name, pair).await? {
        return Ok(Requeue::requeue(RECHECK_AFTER));
    }
    remove_all::<VolumeSnapshot>(client, name, |_| true).await?;
    let retain = pair.spec.deletion_policy == DeletionPolicy::Retain;
    let part = |claim: &PersistentVolumeClaim| claim.labels().get(names::PART_LABEL).cloned();
    restore_policies(client, name, pair).await?;
    remove_all::<PersistentVolumeClaim>(client, name, |claim| match part(claim).as_deref() {
        Some("metadata" | "source") => true,
        Some("replica") => !retain,
        _ => false,
    })
    .await?;
    for site in &pair.spec.sites {
        let secret = names::mover(name.name(), &site.name);
        apply_delete::<Secret>(client, name, &secret).await?;
        if !retain {
            let replica = names::replica_claim(name.name(), &site.name);
            apply_delete::<PersistentVolumeClaim>(client, name, &replica).await?;
        }
    }
    apply_delete::<ConfigMap>(client, name, &record_name(name.name())).await?;
    if pods_left(client, name).await? {
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
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Requeue::await_change()),
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
            Err(cluster::Error::Api { source, .. }) if is_forbidden(&source) => {}
            Err(error @ cluster::Error::Api { .. }) => return Err(apply::Error::from(error).into()),
            Err(error) => {
                tracing::warn!(pair = %name, %error, "the claims are left as they are");
            }
        }
    }
    if let Some(replicas) = switch.replicas
        && let Err(error) = apply::scale(ctx, name, pair, replicas).await
    {
        tracing::warn!(pair = %name, %error, replicas, "the application is left stopped");
    }
    Ok(true)
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
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

async fn apply_delete<K>(client: &Client, name: &PairName, object: &str) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    Ok(apply::delete::<K>(client, name.namespace(), object, apply::Only::Any).await?)
}

async fn remove_all<K>(
    client: &Client,
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
    let list = match api.list(&labelled(name)).await {
        Ok(list) => list.items,
        // The kind itself is not served: then there is nothing of it.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(source) => return Err(failed("list what is left", name)(source)),
    };
    for object in list.iter().filter(|object| ours(object)) {
        if object.meta().deletion_timestamp.is_none() {
            apply_delete::<K>(client, name, &object.name_any()).await?;
        }
    }
    Ok(())
}

fn labelled(name: &PairName) -> ListParams {
    ListParams::default().labels(&format!(
        "{}={},{}={}",
        names::PAIR_LABEL,
        name.name(),
        names::MANAGED_BY_LABEL,
        names::MANAGED_BY
    ))
}

/// Gives the volumes their own reclaim policy back: the application's, and a replica's that is to be
/// deleted with its claim.
async fn restore_policies(
    client: &Client,
    name: &PairName,
    pair: &ReplicationPair,
) -> Result<(), Error> {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), name.namespace());
    let retain = pair.spec.deletion_policy == DeletionPolicy::Retain;
    let mut wanted = vec![pair.spec.claim_name.clone()];
    if !retain {
        wanted.extend(
            pair.spec
                .sites
                .iter()
                .map(|site| names::replica_claim(name.name(), &site.name)),
        );
    }
    for claim in wanted {
        let found = claims
            .get_opt(&claim)
            .await
            .map_err(failed("read a claim", name))?;
        let volume = found.and_then(|claim| claim.spec?.volume_name);
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
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => return Err(failed("restore a reclaim policy", name)(source)),
        }
    }
    Ok(())
}

async fn pods_left(client: &Client, name: &PairName) -> Result<bool, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), name.namespace());
    let list = api
        .list(&labelled(name))
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
