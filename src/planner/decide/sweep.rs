//! Snapshots and source claims that nothing needs any more.
//!
//! What stays: the committed point's snapshot at either side, the common base, and the running
//! cycle's. So at most two a side, and at least one common one at every moment.

use std::collections::BTreeSet;

use crate::decide::consent::is_diverged;
use crate::decide::{DecisionBuilder, switch};
use crate::mutations::Rule;
use crate::observe::SiteView;
use crate::site::Keep;
use api::v1alpha1::SwitchKind;
use protocol::units::Point;

/// Says what stays; a site deletes the rest.
pub fn sweep(d: &mut DecisionBuilder<'_>) {
    if d.status.committed_point.is_none()
        && d.status.cycle.is_none()
        && d.status.last_failure.is_none()
    {
        // Nothing is known yet; whatever is stored there may be the common base.
        return;
    }
    let running = d.cycle().map(|cycle| cycle.point.point());
    let early = running.is_some() && d.observed.rules().breaks(Rule::BaseDroppedEarly);
    let base = common_base(d).filter(|_| !early);
    // A side with writes of its own keeps what it has: salvage may need it. Which side that is, a
    // forced role change shows only at its end.
    let forced = d
        .status
        .switch
        .as_ref()
        .is_some_and(|s| s.kind == SwitchKind::Forced && switch::unfinished(s));
    for site in &d.observed.sites {
        let all = forced || is_diverged(d, site.name.as_str());
        let kept = d.keep.iter().filter(|(name, _)| *name == site.name);
        let kept = kept.map(|(_, point)| *point).chain(base).collect();
        let desired = d.at(&site.name);
        if !site.rules.breaks(Rule::SourceClaimsStay) {
            desired.keep_source_claims = Keep::Only(running.into_iter().collect());
        }
        if !all {
            desired.keep_cuts = Keep::Only(kept);
        }
    }
}

/// The point whose snapshots are the common base: the committed one, unless a side has no snapshot of
/// it. That is so while the standby is diverged, and where a side was gone before it recorded the last
/// commit; then it is the newest that both sides have one of.
fn common_base(d: &DecisionBuilder<'_>) -> Option<Point> {
    let usable = |site: &SiteView| -> BTreeSet<Point> {
        let cuts = site.cuts.iter().filter(|cut| cut.ready && !cut.deleting);
        cuts.map(|cut| cut.point).collect()
    };
    let mut sites = d.observed.sites.iter().map(usable);
    let common = match (sites.next(), sites.next()) {
        (Some(one), Some(other)) => &one & &other,
        _ => BTreeSet::new(),
    };
    let committed = d.committed();
    let held = committed.filter(|point| common.contains(point));
    held.or(common.last().copied()).or(committed).or_else(|| {
        // Without snapshots at the standby the promoted point is what both sides had in common.
        let promoted = d.status.switch.as_ref()?.promoted_point.as_ref()?;
        Some(promoted.point())
    })
}
