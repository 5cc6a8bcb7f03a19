//! Each action, carried out.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::apply::objects::Only;
use crate::apply::{Error, objects, probe, requests, ship, verify};
use crate::ca;
use crate::context::Context;
use crate::quiesce;
use crate::rebind;
use api::ReplicationPair;
use api::snapshots::VolumeSnapshot;
use planner::decide::{Action, Device, Report};
use planner::observe::Observed;
use planner::rebind::{DesiredBinding, Next};
use planner::render;
use planner::render::PairRef;
use protocol::units::{PairName, SiteName};
use wire::Trace;
use wire::control::Request;

/// The most steps of a re-binding in one reconcile; the next one goes on.
const REBIND_STEPS_MAX: usize = 32;

/// One round of a reconcile, as the actions see it.
pub struct Round<'a> {
    /// What every reconcile shares.
    pub ctx: &'a Context,
    /// The pair.
    pub name: &'a PairName,
    /// The pair as objects refer to it.
    pub pair: &'a PairRef,
    /// What was observed.
    pub observed: &'a Observed,
    /// What the logs of what is under way are found by.
    pub trace: Option<Trace>,
}

/// Carries out `actions` in order. Reports are pushed to `reports` as they come, so that none is
/// lost when a later action fails.
///
/// # Errors
/// When an action fails; those after it are not tried.
pub async fn apply(
    round: &Round<'_>,
    actions: Vec<Action>,
    reports: &mut Vec<Report>,
) -> Result<(), Error> {
    for action in actions {
        tracing::debug!(?action, "applying");
        if let Some(report) = one(round, action).await? {
            reports.push(report);
        }
    }
    Ok(())
}

async fn one(round: &Round<'_>, action: Action) -> Result<Option<Report>, Error> {
    let (client, pair, namespace) = (&round.ctx.client, round.pair, round.name.namespace());
    match action {
        Action::MakeStateClaim { site, class, bytes } => {
            objects::put(client, &render::state_claim(pair, &site, class, bytes)).await?;
        }
        Action::MakeReplicaClaim { site, class, bytes } => {
            objects::put(client, &render::replica_claim(pair, &site, class, bytes)).await?;
        }
        Action::MakeSourceClaim {
            site,
            point,
            class,
            bytes,
        } => {
            objects::put(
                client,
                &render::source_claim(pair, &site, point, class, bytes),
            )
            .await?;
        }
        Action::Retain {
            site,
            volume,
            before,
        } => rebind::retain(client, round.name, &volume, &site, before).await?,
        Action::Grow { claim, bytes } => objects::grow(client, namespace, &claim, bytes).await?,
        Action::Cut(desired) => objects::put(client, &render::snapshot(pair, &desired)).await?,
        Action::AllowModeChange { content } => objects::allow_mode_change(client, &content).await?,
        Action::StartMover { site, device } => start_mover(round, &site, &device).await?,
        Action::StopMover { site, uid } => {
            let name = api::names::mover(round.name.name(), site.as_str());
            objects::delete::<Pod>(client, namespace, &name, Only::Uid(uid)).await?;
        }
        Action::DropCut { name, version } => {
            let only = version.map_or(Only::Any, Only::Version);
            objects::delete::<VolumeSnapshot>(client, namespace, &name, only).await?;
        }
        Action::DropSourceClaim { name } => {
            let name = &name;
            objects::delete::<PersistentVolumeClaim>(client, namespace, name, Only::Any).await?;
        }
        Action::Command { site, request } => {
            let key = requests::key(round.observed, round.name, &site)?;
            requests::give(round, &key, request).await?;
        }
        Action::Pace {
            site,
            bytes_per_second,
        } => return pace(round, &site, bytes_per_second).await.map(Some),
        Action::Probe(plan) => {
            let unchanged = probe::look(round, &plan).await;
            return Ok(Some(Report::Probed(plan.cycle, unchanged)));
        }
        Action::Ship(plan) => {
            ship::ship(round, &plan).await?;
            return Ok(Some(Report::Fed(plan.cycle)));
        }
        Action::Verify(plan) => verify::verify(round, *plan).await?,
        Action::Scale { replicas } => {
            scale(round.ctx, round.name, &round.observed.pair, replicas).await?;
        }
        Action::SelectPods | Action::Hold(_) | Action::Release(_) => {
            return hooks(round, action).await;
        }
        Action::Rebind(desired) => return Ok(Some(rebind(client, &pair.owner, &desired).await?)),
    }
    Ok(None)
}

async fn pace(
    round: &Round<'_>,
    site: &SiteName,
    bytes_per_second: Option<u64>,
) -> Result<Report, Error> {
    let key = requests::key(round.observed, round.name, site)?;
    requests::tell(round, &key, Request::SetBandwidth { bytes_per_second }).await?;
    Ok(Report::Paced(bytes_per_second))
}

async fn start_mover(round: &Round<'_>, site: &SiteName, device: &Device) -> Result<(), Error> {
    let ctx = round.ctx;
    let owner = round.pair.owner.clone();
    ca::ensure_mover_secret(
        &ctx.client,
        &ctx.authority(),
        round.name,
        site,
        owner,
        round.observed.now,
    )
    .await?;
    let replica = round.observed.replica(site);
    let pod = render::mover_pod(round.pair, site, device, &replica, &ctx.movers);
    objects::put(&ctx.client, &pod).await
}

async fn hooks(round: &Round<'_>, action: Action) -> Result<Option<Report>, Error> {
    let (client, namespace) = (&round.ctx.client, round.name.namespace());
    let spec = &round.observed.pair.spec;
    let hooks = &spec.quiesce.hooks;
    Ok(match action {
        Action::SelectPods => {
            let targets = quiesce::targets(client, namespace, &spec.claim_name, hooks).await?;
            Some(Report::Selected(targets))
        }
        Action::Hold(targets) => {
            let report = quiesce::run_pre(client, namespace, hooks, &targets).await;
            Some(Report::Held(report, Timestamp::now()))
        }
        Action::Release(targets) => {
            let report = quiesce::run_post(client, namespace, hooks, &targets).await;
            Some(Report::Released(report, Timestamp::now()))
        }
        _ => None,
    })
}

/// Sets the replicas of the workload that `pair` names; nothing where it names none.
///
/// # Errors
/// When the workload can't be scaled.
pub async fn scale(
    ctx: &Context,
    name: &PairName,
    pair: &ReplicationPair,
    replicas: i64,
) -> Result<(), Error> {
    let Some(reference) = &pair.spec.application else {
        return Ok(());
    };
    let workloads = ctx
        .kinds
        .api(&ctx.client, name.namespace(), reference)
        .await
        .map_err(Error::Kind)?;
    let patch = json!({"spec": {"replicas": replicas}});
    let params = PatchParams {
        field_manager: Some(api::names::OPERATOR_MANAGER.into()),
        ..PatchParams::default()
    };
    workloads
        .patch_scale(&reference.name, &params, &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(|source| {
            objects::failed(format!("scale {} to {replicas}", reference.name), source)
        })
}

/// Binds claims to volumes as desired, as far as that goes without waiting.
///
/// # Errors
/// When the API server refuses or a person has to act first.
pub async fn rebind(
    client: &Client,
    owner: &OwnerReference,
    desired: &DesiredBinding,
) -> Result<Report, cluster::Error> {
    for _ in 0..REBIND_STEPS_MAX {
        let view = cluster::rebind_view(client, desired).await?;
        match planner::rebind::next(&view, desired)? {
            Next::Do(step) => {
                tracing::info!(%step, "re-binding");
                rebind::execute(client, desired, owner, &step).await?;
            }
            Next::Wait(wait) => return Ok(Report::RebindWaits(wait.to_string())),
            Next::Done => return Ok(Report::Rebound),
        }
    }
    Ok(Report::RebindWaits(
        "the next steps of the re-binding".into(),
    ))
}
