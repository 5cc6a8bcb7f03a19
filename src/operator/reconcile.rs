//! One reconcile of a pair, in rounds until nothing is left to do but wait: observe once, validate,
//! decide, record the decision, perform its actions, record their results.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action as Requeue;
use kube::{Api, ResourceExt};
use tracing::Span;

use crate::apply::{Round, apply};
use crate::context::Context;
use crate::metrics::{PairGauges, Verified};
use crate::observe;
use crate::observe::observe;
use crate::publish;
use crate::publish::publish;
use crate::requests;
use crate::teardown;
use crate::trace;
use api::v1alpha1::{MoversStatus, VerificationStatus};
use api::{ReplicationPair, names};
use planner::decide;
use planner::decide::{Decision, absorb, decide, failing};
use planner::decide::{switch, verify};
use planner::observe::Observed;
use planner::publish::conditions;
use planner::render::PairRef;
use planner::validate::{Settings, validate};
use protocol::units::{InvalidName, PairName};

/// The most rounds of one reconcile. Beyond it the pair goes to the end of the queue, behind the
/// others.
const ROUNDS_MAX: usize = 12;
/// A pair with nothing due is reconciled this often all the same, for what no watch reports.
const RESYNC: SignedDuration = SignedDuration::from_mins(5);

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pair's name is not one that the API server would have taken.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The pair itself could not be read or written.
    #[error("failed to {action} pair {pair}: {source}")]
    Pair {
        /// What was tried.
        action: &'static str,
        /// The pair.
        pair: PairName,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The cluster could not be read.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// The status could not be written.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// What has become of a request could not be written.
    #[error(transparent)]
    Request(#[from] requests::Error),
    /// What the pair made could not be removed.
    #[error(transparent)]
    Teardown(#[from] teardown::Error),
}

impl Error {
    /// Whether somebody else wrote in between.
    fn is_conflict(&self) -> bool {
        match self {
            Error::Publish(error) => error.is_conflict(),
            Error::Request(error) => error.is_conflict(),
            _ => false,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Error::Name(_) => "name",
            Error::Pair { .. } => "pair",
            Error::Observe(_) => "observe",
            Error::Publish(_) => "publish",
            Error::Request(_) => "request",
            Error::Teardown(_) => "teardown",
        }
    }
}

/// Reconciles `pair`.
///
/// # Errors
/// When the cluster or a mover refuses; it is tried again after a pause.
pub async fn reconcile(pair: Arc<ReplicationPair>, ctx: Arc<Context>) -> Result<Requeue, Error> {
    let began = Instant::now();
    let name = PairName::new(&pair.namespace().unwrap_or_default(), &pair.name_any())?;
    let outcome = rounds(&ctx, &name).await;
    ctx.metrics
        .reconciled(began.elapsed(), outcome.as_ref().err().map(Error::category));
    match outcome {
        // Somebody else has written the pair or a request; what was decided counted for the old one.
        Err(error) if error.is_conflict() => Ok(Requeue::requeue(Duration::from_millis(20))),
        Ok(requeue) => {
            ctx.backoffs.succeeded(&name);
            Ok(requeue)
        }
        Err(error) => Err(error),
    }
}

#[tracing::instrument(name = "reconcile", skip_all, fields(pair = %name))]
async fn rounds(ctx: &Context, name: &PairName) -> Result<Requeue, Error> {
    let api: Api<ReplicationPair> = Api::namespaced(ctx.client.clone(), name.namespace());
    let failed = |action: &'static str| {
        move |source: kube::Error| Error::Pair {
            action,
            pair: name.clone(),
            source: Box::new(source),
        }
    };
    let Some(mut pair) = api.get_opt(name.name()).await.map_err(failed("read"))? else {
        ctx.forget(name);
        return Ok(Requeue::await_change());
    };
    if pair.metadata.deletion_timestamp.is_some() {
        return Ok(teardown::teardown(ctx, name, &pair).await?);
    }
    if !pair.finalizers().iter().any(|f| f == names::FINALIZER) {
        pair = teardown::guard(&api, &pair)
            .await
            .map_err(failed("guard"))?;
    }
    let Some(owner) = PairRef::of(&pair) else {
        return Ok(Requeue::await_change());
    };
    for _ in 0..ROUNDS_MAX {
        if let Some(requeue) = round(ctx, name, &owner, &mut pair).await? {
            return Ok(requeue);
        }
    }
    Ok(Requeue::requeue(Duration::from_millis(50)))
}

/// One round; `None` when something was done, so that the pair is reconciled again at once.
#[tracing::instrument(skip_all, fields(trace = tracing::field::Empty))]
async fn round(
    ctx: &Context,
    name: &PairName,
    owner: &PairRef,
    pair: &mut ReplicationPair,
) -> Result<Option<Requeue>, Error> {
    let observed = observe(ctx, Arc::new(pair.clone()), name).await?;
    let validated = validate(&observed);
    let mut decision = decide(&observed, &validated);
    decision.status.movers = Some(MoversStatus {
        image: ctx.movers.image.clone(),
        pull_secrets: ctx.movers.image_pull_secrets.clone(),
    });
    conditions(&observed, &validated, &mut decision);
    let trace = trace::of(&pair.uid().unwrap_or_default(), &decision.status);
    Span::current().record("trace", trace.as_ref().map(tracing::field::display));
    note_commit(ctx, name, &observed, &decision);
    ctx.keep_timeline(name, decision.timeline.clone());
    let moving = decision
        .status
        .switch
        .as_ref()
        .is_some_and(switch::unfinished);
    if decision.status.cycle.is_none() && !moving {
        ctx.slots.release(name);
    }
    if verify::running(decision.status.verification.as_ref()).is_none() {
        ctx.verifications.release(name);
    }
    publish(ctx, name, pair, decision.status.clone()).await?;
    requests::write(ctx, name, owner, &decision.requests).await?;
    if decision.actions.is_empty() {
        gauges(ctx, name, &observed, validated.carry_on_with(), &decision);
        return Ok(
            Some(requeue(&decision, Timestamp::now())).filter(|_| !again(&decision, observed.now))
        );
    }
    let round = Round {
        ctx,
        name,
        pair: owner,
        observed: &observed,
        trace,
    };
    let outcome = apply(&round, std::mem::take(&mut decision.actions)).await;
    let mut reports = outcome.reports.iter();
    let waits = reports.any(|report| matches!(report, decide::Report::RebindWaits(_)));
    let (status, timeline) = (&mut decision.status, &mut decision.timeline);
    for report in outcome.reports {
        absorb(status, timeline, report, Timestamp::now());
    }
    failing::note(
        status,
        timeline,
        &outcome.tried,
        outcome.failed,
        Timestamp::now(),
    );
    ctx.keep_timeline(name, timeline.clone());
    // What was refused is reported at once (K-8).
    conditions(&observed, &validated, &mut decision);
    publish(ctx, name, pair, decision.status).await?;
    Ok(waits.then(|| Requeue::requeue(Duration::from_millis(150))))
}

/// Whether the decision asks for another round at once, after its status was written.
fn again(decision: &Decision, now: Timestamp) -> bool {
    decision.due.is_some_and(|due| due <= now)
}

fn requeue(decision: &Decision, now: Timestamp) -> Requeue {
    let due = decision
        .due
        .map_or(RESYNC, |due| due.duration_since(now))
        .min(RESYNC);
    Requeue::requeue(Duration::try_from(due).unwrap_or(Duration::from_millis(1)))
}

/// After a failed reconcile: the error is logged, and the pair is reconciled again after a pause.
pub fn error_policy(pair: Arc<ReplicationPair>, error: &Error, ctx: Arc<Context>) -> Requeue {
    let Ok(name) = PairName::new(&pair.namespace().unwrap_or_default(), &pair.name_any()) else {
        return Requeue::await_change();
    };
    let pause = ctx.backoffs.failed(&name);
    tracing::warn!(pair = %name, %error, again_in_ms = pause.as_millis(), "reconcile failed");
    Requeue::requeue(pause)
}

fn note_commit(ctx: &Context, name: &PairName, observed: &Observed, decision: &Decision) {
    let before = observed
        .pair
        .status
        .as_ref()
        .and_then(|status| status.last_cycle.as_ref());
    let Some(cycle) = &decision.status.last_cycle else {
        return;
    };
    if before != Some(cycle) && observed.pair.status.is_some() {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        ctx.metrics.cycle_committed(
            name,
            Duration::from_millis(count(cycle.total_ms)),
            count(cycle.wire_bytes),
        );
        tracing::info!(
            point = cycle.point,
            change_source = cycle.change_source,
            total_ms = cycle.total_ms,
            snapshot_ms = cycle.snapshot_ms,
            start_ms = cycle.start_ms,
            ship_ms = cycle.ship_ms,
            apply_ms = cycle.apply_ms,
            commit_ms = cycle.commit_ms,
            wire_bytes = cycle.wire_bytes,
            "committed"
        );
    }
}

fn gauges(
    ctx: &Context,
    name: &PairName,
    observed: &Observed,
    settings: &Settings,
    decision: &Decision,
) {
    let status = &decision.status;
    let cut = status.standby_as_of();
    let age = cut.map(|cut| observed.now.duration_since(cut.0));
    let left = status.cycle.as_ref().map_or(0, |cycle| {
        cycle.planned_bytes.saturating_sub(cycle.done_bytes)
    });
    ctx.metrics.set_pair(
        name,
        &PairGauges {
            committed_cut_at: cut.map(|cut| cut.0),
            rpo_target_seconds: settings.interval.as_secs_f64(),
            lag_bytes: u64::try_from(left).unwrap_or(0),
            out_of_sync: age.is_none_or(|age| age >= settings.interval.saturating_mul(2)),
            primary: status.primary.clone(),
            peer_up: decision.trouble.is_none(),
            diverged: status.sites.iter().any(|site| site.diverged),
            verified: status.verification.as_ref().and_then(verified),
            conditions: status
                .conditions
                .iter()
                .map(|condition| (condition.type_.clone(), condition.status.clone()))
                .collect(),
        },
    );
}

fn verified(status: &VerificationStatus) -> Option<Verified> {
    Some(Verified {
        at: status.last_time.as_ref()?.0,
        compared_bytes: status.compared_bytes,
        differing_bytes: status.differing_bytes,
        repaired_bytes: status.repaired_bytes,
    })
}
