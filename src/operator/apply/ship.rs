//! Starting a shipment: the best list of changes that is available, the request, and the feed.

use tracing::Instrument as _;

use crate::apply::{Error, Round, requests};
use crate::changed_blocks::{ExtentStream, MetadataError, SnapshotName, Trust};
use crate::context::lock;
use planner::decide::ShipPlan;
use planner::observe::SnapshotFacts;
use wire::control::{ChangeList, Request, ShipRequest};

/// A list that was found, and why it is no better one.
struct Found {
    changes: ChangeList,
    reason: String,
    stream: Option<ExtentStream>,
}

/// Asks the source to ship, and feeds it the list in the background.
pub async fn ship(round: &Round<'_>, plan: &ShipPlan) -> Result<(), Error> {
    let ctx = round.ctx;
    let found = best(round, plan).await;
    let source = requests::key(round.observed, round.name, &plan.source)?;
    let target = requests::key(round.observed, round.name, &plan.target)?;
    tracing::info!(cycle = %plan.cycle, changes = ?found.changes, reason = found.reason, "shipping");
    let request = ShipRequest {
        cycle: plan.cycle,
        peer: target.address.clone(),
        peer_site: plan.target.clone(),
        changes: found.changes,
        changes_reason: found.reason,
        discard_consent: plan.consent,
        image: plan.image,
        transfer: plan.transfer,
    };
    requests::give(round, &source, Request::Ship(request)).await?;
    let Some(stream) = found.stream else {
        return Ok(());
    };
    let (links, cycle, changes) = (ctx.links.clone(), plan.cycle, found.changes);
    let feeding = async move {
        match links.feed_extents(&source, cycle, changes, stream).await {
            Ok(fed) => {
                tracing::info!(%cycle, extents = fed.extents, bytes = fed.bytes, broken = fed.broken, "fed the list of changes")
            }
            // The mover stalls without its list, says so, and the attempt is made again.
            Err(error) => tracing::warn!(%cycle, %error, "the list of changes was not fed"),
        }
    };
    let task = tokio::spawn(feeding.in_current_span());
    if let Some(before) = lock(&ctx.feeds).insert(round.name.clone(), task.abort_handle()) {
        before.abort();
    }
    Ok(())
}

/// The list of what changed since the plan's base, where the driver has it.
async fn delta(
    round: &Round<'_>,
    plan: &ShipPlan,
    facts: &SnapshotFacts,
    snapshot: &SnapshotName,
) -> Result<Found, MetadataError> {
    let (base, base_facts) = plan.base.as_ref().map_err(|because| MetadataError {
        trust: Trust::NoDelta,
        because: because.clone(),
    })?;
    let metadata = &round.ctx.metadata;
    let stream = metadata
        .delta(base_facts, facts, snapshot, plan.capacity)
        .await?;
    Ok(Found {
        changes: ChangeList::Delta { base: *base },
        reason: "the driver names what has changed".into(),
        stream: Some(stream),
    })
}

/// Delta, else what is allocated, else nothing; with every reason on the way.
async fn best(round: &Round<'_>, plan: &ShipPlan) -> Found {
    let nothing = |reason: String| Found {
        changes: ChangeList::Nothing,
        reason,
        stream: None,
    };
    let Some(facts) = &plan.facts else {
        return nothing(format!(
            "the content of snapshot {} has no handle",
            plan.snapshot
        ));
    };
    let volume = round
        .observed
        .app_claim()
        .and_then(|claim| claim.volume.as_ref()?.handle.clone());
    let volume = volume.unwrap_or_default();
    let known = (facts.driver.clone(), volume);
    if let Some(because) = lock(&round.ctx.untracked).get(&known) {
        return nothing(because.clone());
    }
    let snapshot = SnapshotName {
        namespace: round.name.namespace().into(),
        name: plan.snapshot.clone(),
    };
    let no_delta = match delta(round, plan, facts, &snapshot).await {
        Ok(found) => return found,
        Err(error) => error,
    };
    if no_delta.trust == Trust::None {
        lock(&round.ctx.untracked).insert(known, no_delta.because.clone());
        return nothing(no_delta.because);
    }
    if let Err(because) = &plan.allocated {
        return nothing(format!("{}; {because}", no_delta.because));
    }
    match round
        .ctx
        .metadata
        .allocated(&facts.driver, &snapshot, plan.capacity)
        .await
    {
        Ok(stream) => Found {
            changes: ChangeList::Allocated,
            reason: no_delta.because,
            stream: Some(stream),
        },
        Err(error) => {
            if error.trust == Trust::None {
                lock(&round.ctx.untracked).insert(known, error.because.clone());
            }
            nothing(format!("{}; {}", no_delta.because, error.because))
        }
    }
}
