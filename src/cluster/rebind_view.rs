//! Reading what is there, live from the API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::{Error, failed};
use api::names;
use planner::observe::read;
use planner::rebind::object::ClaimExt;
use planner::rebind::object::VolumeExt as _;
use planner::rebind::record::{RECORD_KEY, record_name};
use planner::rebind::{ClaimRecord, DesiredBinding, RebindError, RebindView};
use protocol::units::VolumeId;

/// How many objects are read at a time where all of a kind have to be read.
const PAGE: u32 = 500;

/// Reads what is there, past any cache.
///
/// # Errors
/// When the API server refuses, or the kept claim can't be read.
pub async fn rebind_view(client: &Client, desired: &DesiredBinding) -> Result<RebindView, Error> {
    let claims = claims(client, desired).await?;
    let volumes = volumes(client, desired, &claims).await?;
    Ok(RebindView {
        users: users(client, desired, &claims).await?,
        record: record(client, desired).await?,
        claims,
        volumes,
        ..RebindView::default()
    })
}

async fn claims(
    client: &Client,
    desired: &DesiredBinding,
) -> Result<BTreeMap<String, PersistentVolumeClaim>, Error> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), desired.pair.namespace());
    let mut names = vec![desired.app_claim.clone()];
    names.extend(
        desired
            .sites()
            .map(|site| desired.replica_claim(&site.site)),
    );
    let mut claims = BTreeMap::new();
    for name in names {
        let found = api.get_opt(&name).await;
        let found = found.map_err(failed(|| format!("read claim {name}")))?;
        claims.extend(found.map(|claim| (name, claim)));
    }
    Ok(claims)
}

async fn volumes(
    client: &Client,
    desired: &DesiredBinding,
    claims: &BTreeMap<String, PersistentVolumeClaim>,
) -> Result<BTreeMap<String, PersistentVolume>, Error> {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let labelled = format!(
        "{}={},{}={}",
        names::PAIR_LABEL,
        desired.pair.name(),
        names::PAIR_NAMESPACE_LABEL,
        desired.pair.namespace()
    );
    let mut volumes = list(&api, ListParams::default().labels(&labelled), |_| true).await?;
    for name in claims.values().map(ClaimExt::volume_name) {
        if name.is_empty() || volumes.contains_key(name) {
            continue;
        }
        let found = api.get_opt(name).await;
        let found = found.map_err(failed(|| format!("read PersistentVolume {name}")))?;
        volumes.extend(found.map(|volume| (volume.name_any(), volume)));
    }
    // A volume without a claim and without our label: somebody made its object by hand.
    let known = |key: &VolumeId| {
        volumes
            .values()
            .any(|v| v.volume_id().as_ref() == Some(key))
    };
    let unknown: Vec<&VolumeId> = desired
        .sites()
        .map(|site| &site.volume)
        .filter(|key| !known(key))
        .collect();
    if !unknown.is_empty() {
        let is_wanted = |volume: &PersistentVolume| {
            volume
                .volume_id()
                .is_some_and(|key| unknown.contains(&&key))
        };
        let found = list(&api, ListParams::default(), is_wanted).await?;
        volumes.extend(found);
    }
    Ok(volumes)
}

async fn list(
    api: &Api<PersistentVolume>,
    params: ListParams,
    wanted: impl Fn(&PersistentVolume) -> bool,
) -> Result<BTreeMap<String, PersistentVolume>, Error> {
    let mut found = BTreeMap::new();
    let mut params = params.limit(PAGE);
    loop {
        let page = api.list(&params).await;
        let page = page.map_err(failed(|| "list PersistentVolumes".into()))?;
        let wanted = page.items.into_iter().filter(&wanted);
        found.extend(wanted.map(|volume| (volume.name_any(), volume)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Pods that have a node and have not ended, by the claim that they use.
async fn users(
    client: &Client,
    desired: &DesiredBinding,
    claims: &BTreeMap<String, PersistentVolumeClaim>,
) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), desired.pair.namespace());
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await;
        let page = page.map_err(failed(|| "list the pods that use the claims".into()))?;
        // One that was given no node uses nothing, and can wait on a parked claim.
        let using = |pod: &&Pod| !read::ended(pod) && read::is_scheduled(pod);
        for pod in page.items.iter().filter(using) {
            let used = read::claims_of(pod).map(|(_, claim)| claim);
            for claim in used.filter(|claim| claims.contains_key(*claim)) {
                users.entry(claim.into()).or_default().push(pod.name_any());
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(users),
        }
    }
}

async fn record(client: &Client, desired: &DesiredBinding) -> Result<Option<ClaimRecord>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), desired.pair.namespace());
    let name = record_name(desired.pair.name());
    let found = api.get_opt(&name).await;
    let Some(map) = found.map_err(failed(|| format!("read ConfigMap {name}")))? else {
        return Ok(None);
    };
    if map.labels().get(names::PAIR_UID_LABEL) != Some(&desired.uid) {
        return Err(RebindError::NameTaken {
            object: format!("ConfigMap {name}"),
        }
        .into());
    }
    let unreadable = |reason: String| RebindError::RecordUnreadable {
        name: name.clone(),
        reason,
    };
    let text = map.data.as_ref().and_then(|data| data.get(RECORD_KEY));
    let text = text.ok_or_else(|| unreadable(format!("it has no {RECORD_KEY}")))?;
    let record: ClaimRecord = serde_json::from_str(text).map_err(|e| unreadable(e.to_string()))?;
    Ok((record.claim.metadata.name.as_ref() == Some(&desired.app_claim)).then_some(record))
}
