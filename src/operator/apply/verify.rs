//! Ordering one slice of a verification.

use crate::apply::{Error, Round, requests};
use planner::decide::VerifyPlan;
use wire::control::{Request, VerifyRequest};

/// Asks the source to compare the slice with the target, which expects it already.
pub async fn verify(round: &Round<'_>, plan: VerifyPlan) -> Result<(), Error> {
    let source = requests::key(round.observed, round.name, &plan.source)?;
    let target = requests::key(round.observed, round.name, &plan.target)?;
    tracing::info!(cycle = %plan.cycle, from = plan.range.offset, "verifying");
    let request = VerifyRequest {
        cycle: plan.cycle,
        peer: target.address.clone(),
        peer_site: plan.target,
        range: plan.range,
        read_bytes_per_second: Some(plan.bytes_per_second),
        transfer: plan.transfer,
    };
    requests::give(round, &source, Request::Verify(request)).await
}
