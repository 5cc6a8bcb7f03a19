//! Asking the driver whether anything has changed, before anything is made from a cut.

use std::time::Duration;

use futures::TryStreamExt as _;

use crate::apply::Round;
use crate::changed_blocks::{ExtentStream, MetadataError, SnapshotName};
use planner::decide::ProbePlan;

/// The longest wait for the list. Beyond it the cycle goes the usual way, which waits longer, and
/// keeps no other pair's reconcile waiting.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Whether the driver's list of changes ends whole and empty. That it is unavailable is no failure: the
/// cycle goes the usual way, and finds the best list there.
pub async fn look(round: &Round<'_>, plan: &ProbePlan) -> bool {
    let answer = tokio::time::timeout(ANSWER_WITHIN, ask(round, plan)).await;
    let unchanged = match answer {
        Ok(Ok(unchanged)) => unchanged,
        Ok(Err(error)) => {
            tracing::debug!(cycle = %plan.cycle, %error, "whether anything has changed is not known");
            false
        }
        Err(_) => false,
    };
    if unchanged {
        tracing::info!(cycle = %plan.cycle, "nothing has changed");
    }
    unchanged
}

async fn ask(round: &Round<'_>, plan: &ProbePlan) -> Result<bool, MetadataError> {
    let snapshot = SnapshotName {
        namespace: round.name.namespace().into(),
        name: plan.snapshot.clone(),
    };
    let metadata = &round.ctx.metadata;
    let list = metadata.delta(&plan.base, &plan.facts, &snapshot, plan.bytes);
    is_empty(list.await?).await
}

/// Only a clean end proves that a list without a range is whole.
async fn is_empty(mut list: ExtentStream) -> Result<bool, MetadataError> {
    while let Some(extents) = list.try_next().await? {
        if !extents.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
