//! Reading the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, ObjectList};
use kube::{Api, Client, ResourceExt};
use uuid::Uuid;

use crate::context::Context;
use crate::link::MoverKey;
use crate::observe::attachments::attachments;
use crate::observe::workload::application;
use api::snapshots::VolumeSnapshot;
use api::{ReplicationPair, names};
use planner::decide::verify;
use planner::observe::{
    Fresh, Listed, NodeSeen, Observed, SiteView, Surroundings, assemble, needs_labelled,
    needs_node, needs_volume, read,
};
use planner::render::MOVER_PORT;
use protocol::units::PairName;

/// The cluster could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what} of pair {pair}: {source}")]
pub struct Error {
    what: &'static str,
    pair: String,
    #[source]
    source: Box<kube::Error>,
}

/// Reads all that a reconcile of `pair` needs.
///
/// # Errors
/// When the API server refuses; the reconcile is then tried again.
pub async fn observe(
    ctx: &Context,
    pair: Arc<ReplicationPair>,
    name: &PairName,
) -> Result<Observed, Error> {
    let listed = list(ctx, &pair, name).await?;
    let surroundings = surroundings(ctx, &pair, name);
    let mut observed = assemble(&pair, name, &listed, surroundings);
    link(ctx, name, &mut observed.sites);
    Ok(observed)
}

async fn list(ctx: &Context, pair: &ReplicationPair, name: &PairName) -> Result<Listed, Error> {
    let client = &ctx.client;
    let promotions = ctx.promotions.of(name);
    let failed = |what: &'static str| {
        move |source: kube::Error| Error {
            what,
            pair: name.to_string(),
            source: Box::new(source),
        }
    };
    let uid = pair.uid().unwrap_or_default();
    let ours = ListParams::default().labels(&format!("{}={uid}", names::PAIR_UID_LABEL));
    let claims_api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), name.namespace());
    let pods_api: Api<Pod> = Api::namespaced(client.clone(), name.namespace());
    let snapshots_api: Api<VolumeSnapshot> = Api::namespaced(client.clone(), name.namespace());
    let all = ListParams::default();
    let (app_claim, claims, pods, snapshots, classes, application) = tokio::join!(
        claims_api.get_opt(&pair.spec.claim_name),
        claims_api.list(&ours),
        pods_api.list(&all),
        snapshots_api.list(&ours),
        ctx.classes.classes(client),
        application(ctx, pair, &promotions, name),
    );
    let app_claim = app_claim.map_err(failed("the application's claim"))?;
    let claims = claims.map_err(failed("the claims"))?.items;
    let kept = kept(&claims_api, pair, &claims)
        .await
        .map_err(failed("the claims to take over"))?;
    let snapshots = served(snapshots).map_err(failed("the snapshots"))?;
    let volumes = volumes(client, claims.iter().chain(&app_claim))
        .await
        .map_err(failed("the volumes"))?;
    let contents = contents(client, &snapshots)
        .await
        .map_err(failed("the snapshots' contents"))?;
    let labelled = labelled(client, pair)
        .await
        .map_err(failed("the labelled volumes"))?;
    let attachments = attachments(client, pair)
        .await
        .map_err(failed("where volumes are attached"))?;
    let pods = pods.map_err(failed("the pods"))?.items;
    let nodes = nodes(client, pair, &pods).await;
    Ok(Listed {
        uid,
        promotions,
        resyncs: ctx.resyncs.of(name),
        app_claim,
        claims,
        kept,
        volumes,
        nodes: nodes.map_err(failed("the nodes"))?,
        pods,
        snapshots,
        contents,
        classes: classes.map_err(failed("the classes"))?,
        application: application.map_err(failed("the application"))?,
        labelled,
        attachments,
    })
}

/// The snapshots; none where the cluster serves no such kind.
fn served(
    listed: Result<ObjectList<VolumeSnapshot>, kube::Error>,
) -> Result<Vec<VolumeSnapshot>, kube::Error> {
    match listed {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Volumes with the pair's labels: the way back when the status is lost, or a volume has no claim.
async fn labelled(
    client: &Client,
    pair: &ReplicationPair,
) -> Result<Vec<PersistentVolume>, kube::Error> {
    if !needs_labelled(pair) {
        return Ok(Vec::new());
    }
    let uid = pair.uid().unwrap_or_default();
    let ours = ListParams::default().labels(&format!("{}={uid}", names::PAIR_UID_LABEL));
    let api: Api<PersistentVolume> = Api::all(client.clone());
    Ok(api.list(&ours).await?.items)
}

async fn volumes(
    client: &Client,
    claims: impl Iterator<Item = &PersistentVolumeClaim>,
) -> Result<BTreeMap<String, PersistentVolume>, kube::Error> {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let wanted = claims.filter(|claim| needs_volume(claim));
    let reads = wanted.filter_map(read::volume_name).map(|name| {
        let api = api.clone();
        async move { api.get_opt(&name).await }
    });
    let found = futures::future::try_join_all(reads).await?;
    Ok(found
        .into_iter()
        .flatten()
        .map(|volume| (volume.name_any(), volume))
        .collect())
}

/// The claims that the spec says may be taken over, as long as they are not the pair's.
async fn kept(
    api: &Api<PersistentVolumeClaim>,
    pair: &ReplicationPair,
    own: &[PersistentVolumeClaim],
) -> Result<Vec<PersistentVolumeClaim>, kube::Error> {
    let named = pair.spec.sites.iter();
    let named = named.filter_map(|site| site.replica_claim_name.as_ref());
    let wanted = named.filter(|name| own.iter().all(|claim| claim.name_any() != **name));
    let reads = wanted.map(|name| api.get_opt(name));
    let found = futures::future::try_join_all(reads).await?;
    Ok(found.into_iter().flatten().collect())
}

/// The nodes of pods that do not run as they should.
async fn nodes(
    client: &Client,
    pair: &ReplicationPair,
    pods: &[Pod],
) -> Result<BTreeMap<String, NodeSeen>, kube::Error> {
    let api: Api<Node> = Api::all(client.clone());
    let names: BTreeSet<&str> = pods
        .iter()
        .filter_map(|pod| needs_node(pair, pod))
        .collect();
    let reads = names.into_iter().map(|name| api.get_opt(name));
    let found = futures::future::try_join_all(reads).await?;
    let found = found.iter().flatten();
    Ok(found
        .map(|node| (node.name_any(), read::node(node)))
        .collect())
}

async fn contents(
    client: &Client,
    snapshots: &[VolumeSnapshot],
) -> Result<BTreeMap<String, serde_json::Value>, kube::Error> {
    let gvk = GroupVersionKind::gvk("snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent");
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let reads = snapshots
        .iter()
        .filter_map(|snapshot| {
            snapshot
                .status
                .as_ref()?
                .bound_volume_snapshot_content_name
                .clone()
        })
        .map(|name| {
            let api = api.clone();
            async move { api.get_opt(&name).await }
        });
    let found = futures::future::try_join_all(reads).await?;
    Ok(found
        .into_iter()
        .flatten()
        .filter_map(|content| Some((content.name_any(), serde_json::to_value(&content).ok()?)))
        .collect())
}

/// What no object of the cluster says.
fn surroundings(ctx: &Context, pair: &ReplicationPair, name: &PairName) -> Surroundings {
    Surroundings {
        now: Timestamp::now(),
        fresh: Fresh {
            pair_id: Uuid::new_v4(),
            generation: Uuid::new_v4(),
        },
        local_sites: ctx.sites.clone(),
        rival: ctx.rival(pair),
        slot: ctx.slots.take(name),
        verify_slot: verifying(pair) && ctx.verifications.take(name),
        timeline: ctx.timeline(name),
        rules: Default::default(),
    }
}

fn verifying(pair: &ReplicationPair) -> bool {
    let status = pair.status.as_ref();
    verify::running(status.and_then(|status| status.verification.as_ref())).is_some()
}

/// Links the movers that run and takes over what they reported last.
fn link(ctx: &Context, name: &PairName, sites: &mut [SiteView]) {
    let key = |site: &SiteView| -> Option<MoverKey> {
        let pod = site
            .pod
            .as_ref()
            .filter(|pod| !pod.ended && !pod.deleting)?;
        Some(MoverKey {
            pair: name.clone(),
            site: site.name.clone(),
            pod_uid: pod.uid.clone(),
            address: address(pod.ip.as_deref()?),
        })
    };
    let keys: Vec<MoverKey> = sites.iter().filter_map(key).collect();
    ctx.links.sync(name, &keys);
    for site in sites {
        let status = key(site).and_then(|key| ctx.links.status(&key));
        site.mover = status.map(|status| (*status).clone());
    }
}

/// A mover's address from its pod's, IPv6 in brackets.
#[must_use]
pub fn address(ip: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]:{MOVER_PORT}")
    } else {
        format!("{ip}:{MOVER_PORT}")
    }
}
