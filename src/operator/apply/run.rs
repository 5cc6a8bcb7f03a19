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
use planner::decide::failing::Failed;
use planner::decide::{Action, Device, Report};
use planner::observe::Observed;
use planner::rebind::{DesiredBinding, Next};
use planner::render;
use planner::render::PairRef;
use planner::site::Standing;
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

/// What came of the actions of a decision.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The results of those that were done.
    pub reports: Vec<Report>,
    /// Those that were tried, by [`Action::describe`].
    pub tried: Vec<String>,
    /// Those that failed.
    pub failed: Vec<Failed>,
}

/// Carries out `actions` in order. One that fails keeps only those from being done that stand on it (K-8).
pub async fn apply(round: &Round<'_>, actions: Vec<Action>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut standing = Standing::default();
    for action in actions {
        if standing.bars(&action) {
            standing.fails(&action);
            continue;
        }
        tracing::debug!(?action, "applying");
        let what = action.describe(round.name.name());
        outcome.tried.push(what.clone());
        match one(round, action.clone()).await {
            Ok(report) => outcome.reports.extend(report),
            Err(error) => {
                tracing::warn!(%error, "failed to {what}; it is tried again");
                round.ctx.metrics.action_failed(error.category());
                standing.fails(&action);
                let (message, refused) = error.reported();
                outcome.failed.push(Failed {
                    action: what,
                    message,
                    refused,
                });
            }
        }
    }
    outcome
}

async fn one(round: &Round<'_>, action: Action) -> Result<Option<Report>, Error> {
    let (client, pair, namespace) = (&round.ctx.client, round.pair, round.name.namespace());
    match action {
        Action::MakeStateClaim { site, class, bytes } => {
            objects::make(client, &render::state_claim(pair, &site, class, bytes)).await?;
        }
        Action::MakeReplicaClaim { site, class, bytes } => {
            objects::make(client, &render::replica_claim(pair, &site, class, bytes)).await?;
        }
        Action::MakeSourceClaim {
            site,
            point,
            class,
            bytes,
        } => {
            objects::make(
                client,
                &render::source_claim(pair, &site, point, class, bytes),
            )
            .await?;
        }
        Action::Retain { .. } | Action::TakeOver { .. } => take(round, action).await?,
        Action::DropWithSnapshot { content } => {
            objects::drop_with_snapshot(client, &content).await?;
        }
        Action::Note { claim, text } => objects::note(client, namespace, &claim, text).await?,
        Action::Grow { claim, bytes } => objects::grow(client, namespace, &claim, bytes).await?,
        Action::Cut(desired) => objects::make(client, &render::snapshot(pair, &desired)).await?,
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
        Action::Scale { replicas, version } => {
            scale_as_read(round, replicas, version.as_deref()).await?;
        }
        Action::SelectPods | Action::Hold(_) | Action::Release(_) => {
            return hooks(round, action).await;
        }
        Action::Rebind(desired) => return Ok(Some(rebind(client, &pair.owner, &desired).await?)),
    }
    Ok(None)
}

/// Marks what is there already as the pair's.
async fn take(round: &Round<'_>, action: Action) -> Result<(), Error> {
    let (client, pair) = (&round.ctx.client, round.pair);
    match action {
        Action::TakeOver { site, claim, uid } => {
            let labels = render::replica_labels(pair, &site);
            let claim = (round.name.namespace(), claim.as_str());
            objects::take_over(client, claim, &uid, &labels).await
        }
        Action::Retain {
            site,
            volume,
            before,
        } => {
            let labels = planner::rebind::labels(round.name, &pair.owner.uid, &site);
            rebind::retain(client, &labels, &volume, before).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// One that was changed since it was read is left alone, and read again by the next reconcile.
async fn scale_as_read(
    round: &Round<'_>,
    replicas: i64,
    version: Option<&str>,
) -> Result<(), Error> {
    let pair = &round.observed.pair;
    match scale(round.ctx, round.name, pair, replicas, version).await {
        Err(error) if error.is_conflict() => Ok(()),
        scaled => scaled,
    }
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
    objects::make(&ctx.client, &pod).await
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

/// Sets the replicas of the workload that `pair` names, as long as it is at the `version` that its scale was
/// read at; nothing where it names none.
///
/// # Errors
/// When the workload can't be scaled, or was changed since.
pub async fn scale(
    ctx: &Context,
    name: &PairName,
    pair: &ReplicationPair,
    replicas: i64,
    version: Option<&str>,
) -> Result<(), Error> {
    let Some(reference) = &pair.spec.application else {
        return Ok(());
    };
    let workloads = ctx
        .kinds
        .api(&ctx.client, name.namespace(), reference)
        .await
        .map_err(Error::Kind)?;
    let mut patch = json!({"spec": {"replicas": replicas}});
    if let Some(version) = version {
        patch["metadata"] = json!({"resourceVersion": version});
    }
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
