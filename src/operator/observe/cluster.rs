//! Reading the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, ResourceExt};
use uuid::Uuid;

use crate::build::MOVER_PORT;
use crate::context::Context;
use crate::link::MoverKey;
use crate::observe::classes::Classes;
use crate::observe::read;
use api::snapshots::VolumeSnapshot;
use api::{ReplicationPair, names};
use planner::observe::{Application, Claim, Fresh, Observed, PodUse, SiteView};
use planner::verify;
use protocol::units::{PairName, SiteName};

/// The cluster could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {what} of pair {pair}: {source}")]
pub struct Error {
    what: &'static str,
    pair: String,
    #[source]
    source: Box<kube::Error>,
}

/// Everything of one pair that was listed.
struct Listed {
    app_claim: Option<PersistentVolumeClaim>,
    claims: Vec<PersistentVolumeClaim>,
    volumes: BTreeMap<String, PersistentVolume>,
    pods: Vec<Pod>,
    snapshots: Vec<VolumeSnapshot>,
    contents: BTreeMap<String, serde_json::Value>,
    classes: Classes,
    application: Option<Application>,
    labelled: Vec<PersistentVolume>,
}

/// Reads all that a visit of `pair` needs.
///
/// # Errors
/// When the API server refuses; the visit is then tried again.
pub async fn observe(
    ctx: &Context,
    pair: Arc<ReplicationPair>,
    name: &PairName,
) -> Result<Observed, Error> {
    let listed = list(ctx, &pair, name).await?;
    Ok(assemble(ctx, &pair, name, &listed))
}

async fn list(ctx: &Context, pair: &ReplicationPair, name: &PairName) -> Result<Listed, Error> {
    let client = &ctx.client;
    let failed = |what: &'static str| {
        move |source: kube::Error| Error {
            what,
            pair: name.to_string(),
            source: Box::new(source),
        }
    };
    let ours = ListParams::default().labels(&format!("{}={}", names::PAIR_LABEL, name.name()));
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
        application(ctx, pair, name),
    );
    let app_claim = app_claim.map_err(failed("the application's claim"))?;
    let mut claims = claims.map_err(failed("the claims"))?.items;
    // A replica claim that a re-binding made is found by its name; its labels are added later.
    for site in &pair.spec.sites {
        let replica = names::replica_claim(name.name(), &site.name);
        if !claims.iter().any(|claim| claim.name_any() == replica) {
            let found = claims_api
                .get_opt(&replica)
                .await
                .map_err(failed("the replica claim"))?;
            claims.extend(found);
        }
    }
    let snapshots = match snapshots {
        Ok(list) => list.items,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(failed("the snapshots")(error)),
    };
    let volumes = volumes(client, claims.iter().chain(&app_claim))
        .await
        .map_err(failed("the volumes"))?;
    let contents = contents(client, &snapshots)
        .await
        .map_err(failed("the snapshots' contents"))?;
    let labelled = labelled(client, pair, name)
        .await
        .map_err(failed("the labelled volumes"))?;
    Ok(Listed {
        app_claim,
        claims,
        volumes,
        pods: pods.map_err(failed("the pods"))?.items,
        snapshots,
        contents,
        classes: classes.map_err(failed("the classes"))?,
        application: application.map_err(failed("the application"))?,
        labelled,
    })
}

/// Volumes that a re-binding labelled as this pair's: the way back when the status is lost.
async fn labelled(
    client: &Client,
    pair: &ReplicationPair,
    name: &PairName,
) -> Result<Vec<PersistentVolume>, kube::Error> {
    let known = |status: &api::ReplicationPairStatus| {
        status.sites.len() == 2 && status.sites.iter().all(|site| site.handle.is_some())
    };
    if pair.status.as_ref().is_some_and(known) {
        return Ok(Vec::new());
    }
    let ours = ListParams::default().labels(&format!(
        "{}={},{}={}",
        names::PAIR_LABEL,
        name.name(),
        names::PAIR_NAMESPACE_LABEL,
        name.namespace()
    ));
    let api: Api<PersistentVolume> = Api::all(client.clone());
    Ok(api.list(&ours).await?.items)
}

async fn volumes(
    client: &Client,
    claims: impl Iterator<Item = &PersistentVolumeClaim>,
) -> Result<BTreeMap<String, PersistentVolume>, kube::Error> {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let wanted = claims.filter(|claim| {
        let part = claim.labels().get(names::PART_LABEL).map(String::as_str);
        !matches!(part, Some("source" | "metadata"))
    });
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

/// The workload of `spec.application`, by its scale.
async fn application(
    ctx: &Context,
    pair: &ReplicationPair,
    name: &PairName,
) -> Result<Option<Application>, kube::Error> {
    let Some(reference) = &pair.spec.application else {
        return Ok(None);
    };
    let api = match ctx
        .kinds
        .api(&ctx.client, name.namespace(), reference)
        .await
    {
        Ok(api) => api,
        Err(why) => return Ok(Some(Application::Missing(why))),
    };
    match api.get_scale(&reference.name).await {
        Ok(scale) => Ok(Some(Application::Found {
            wanted: scale
                .spec
                .and_then(|spec| spec.replicas)
                .unwrap_or(0)
                .into(),
            present: scale.status.map_or(0, |status| status.replicas).into(),
        })),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
            Ok(Some(Application::Missing(status.message.clone())))
        }
        Err(error) => Err(error),
    }
}

fn assemble(ctx: &Context, pair: &ReplicationPair, name: &PairName, listed: &Listed) -> Observed {
    let users = |claim: &str| -> Vec<PodUse> {
        listed
            .pods
            .iter()
            .filter(|pod| {
                !read::ended(pod)
                    && pod
                        .labels()
                        .get(names::PART_LABEL)
                        .is_none_or(|part| part != "mover")
            })
            .filter(|pod| read::claims_of(pod).any(|(_, used)| used == claim))
            .map(read::pod_use)
            .collect()
    };
    let mut sites: Vec<SiteView> = pair
        .spec
        .sites
        .iter()
        .filter_map(|site| {
            let site_name: SiteName = site.name.parse().ok()?;
            let mut view = site_view(name, &site_name, listed);
            view.known = ctx.sites.contains(&site.name);
            view.storage_class = listed.classes.storage_class(site);
            view.snapshot_classes = listed.classes.snapshot_classes(
                site.volume_snapshot_class_name.as_ref(),
                pair.spec.snapshot.volume_snapshot_class_name.as_ref(),
            );
            view.replica_users = users(&names::replica_claim(name.name(), &site.name));
            Some(view)
        })
        .collect();
    link(ctx, name, &mut sites);
    Observed {
        now: Timestamp::now(),
        fresh: Fresh {
            pair_id: Uuid::new_v4(),
            generation: Uuid::new_v4(),
        },
        pair: pair.clone(),
        app_claim: listed
            .app_claim
            .as_ref()
            .map(|claim| model_claim(claim, listed)),
        app_users: users(&pair.spec.claim_name),
        sites,
        rival: ctx.rival(pair),
        application: listed.application.clone(),
        immediate_classes: listed.classes.immediate.clone(),
        snapshots_served: listed.classes.snapshots_served,
        snapshot_class_count: listed.classes.snapshot_class_count(),
        slot: ctx.slots.take(name),
        verify_slot: verifying(pair) && ctx.verifications.take(name),
        timeline: ctx.timeline(name),
    }
}

fn verifying(pair: &ReplicationPair) -> bool {
    let status = pair.status.as_ref();
    verify::running(status.and_then(|status| status.verification.as_ref())).is_some()
}

fn model_claim(claim: &PersistentVolumeClaim, listed: &Listed) -> Claim {
    let volume = read::volume_name(claim).and_then(|name| listed.volumes.get(&name));
    read::claim(claim, volume)
}

fn site_view(name: &PairName, site: &SiteName, listed: &Listed) -> SiteView {
    let claim = |wanted: String| {
        listed
            .claims
            .iter()
            .find(|claim| claim.name_any() == wanted)
            .map(|claim| model_claim(claim, listed))
    };
    let mut cuts: Vec<_> = listed
        .snapshots
        .iter()
        .filter(|snapshot| read::is_part(*snapshot, site, "cut"))
        .filter_map(|snapshot| {
            let content = snapshot
                .status
                .as_ref()
                .and_then(|s| s.bound_volume_snapshot_content_name.as_ref());
            read::cut(
                snapshot,
                content.and_then(|content| listed.contents.get(content)),
            )
        })
        .collect();
    cuts.sort_by_key(|cut| cut.point);
    let pod_name = names::mover(name.name(), site.as_str());
    SiteView {
        name: site.clone(),
        known: false,
        storage_class: None,
        snapshot_classes: Default::default(),
        replica_claim: claim(names::replica_claim(name.name(), site.as_str())),
        metadata_claim: claim(names::metadata_claim(name.name(), site.as_str())),
        labelled_volume: listed
            .labelled
            .iter()
            .find(|volume| {
                volume.labels().get(names::SITE_LABEL).map(String::as_str) == Some(site.as_str())
            })
            .map(read::volume),
        replica_users: Vec::new(),
        cuts,
        source_claims: listed
            .claims
            .iter()
            .filter(|claim| read::is_part(*claim, site, "source"))
            .filter_map(read::source_claim)
            .collect(),
        pod: listed
            .pods
            .iter()
            .find(|pod| pod.name_any() == pod_name)
            .map(read::mover_pod),
        mover: None,
    }
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
