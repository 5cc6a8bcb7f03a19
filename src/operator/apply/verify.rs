//! Ordering one slice of a verification.

use crate::apply::{Error, Visit, requests};
use planner::decide::VerifyPlan;
use wire::control::{Request, VerifyRequest};

/// Orders the source to compare the slice with the target, which expects it already.
pub async fn verify(visit: &Visit<'_>, plan: VerifyPlan) -> Result<(), Error> {
    let source = requests::key(visit.observed, visit.name, &plan.source)?;
    let target = requests::key(visit.observed, visit.name, &plan.target)?;
    tracing::info!(pair = %visit.name, cycle = %plan.cycle, from = plan.range.offset, "verifying");
    let order = VerifyRequest {
        cycle: plan.cycle,
        peer: target.address.clone(),
        peer_site: plan.target,
        range: plan.range,
        read_bytes_per_second: Some(plan.bytes_per_second),
        transfer: plan.transfer,
    };
    requests::give(visit.ctx, &source, Request::Verify(order)).await
}
