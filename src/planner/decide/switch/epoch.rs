//! An epoch that is over, and a standby that does not know it.

use crate::decide::DecisionBuilder;
use protocol::units::{Epoch, Point, SiteName};
use wire::control::{DemoteRequest, Request, SuperblockReport};

/// Tells a standby that was put back to a copy from before the role moved which epoch was the last
/// one, `next` being the one that it is to start: what it missed it may not start again. Its image
/// stays what it is; a primary's is the cut `clean_at`.
pub fn end_epoch(
    d: &mut DecisionBuilder<'_>,
    site: &SiteName,
    report: &SuperblockReport,
    (next, clean_at): (Epoch, Option<Point>),
) {
    let epoch = Epoch(next.0.saturating_sub(1));
    let request = DemoteRequest {
        epoch,
        lineage: report.lineage.clone(),
        clean_at,
        requested_primary: report.requested_primary.clone(),
    };
    d.ask(site, Request::Demote(request));
    d.wait(format!("site {site} to record that epoch {epoch} is over"));
}
