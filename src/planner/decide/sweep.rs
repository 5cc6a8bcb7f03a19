//! Snapshots and source claims that nothing needs any more.
//!
//! What stays: the committed point's snapshot at either side, the common base, and the running
//! cycle's. So at most two a side, and at least one common one at every moment.

use std::collections::BTreeSet;

use crate::decide::{Action, Device, Draft, cycle};
use crate::observe::{Cut, SiteView};
use crate::switch;
use api::v1alpha1::SwitchKind;
use protocol::units::Point;

/// Deletes what is not needed.
pub fn sweep(d: &mut Draft<'_>) {
    if d.status.committed_point.is_none()
        && d.status.cycle.is_none()
        && d.status.last_failure.is_none()
    {
        // Nothing is known yet; whatever lies there may be the common base.
        return;
    }
    for site in &d.o.sites {
        cuts(d, site);
        let reading = site.pod.as_ref().and_then(|pod| pod.device_claim.clone());
        for claim in site.source_claims.iter().filter(|claim| !claim.deleting) {
            let running = d
                .cycle()
                .is_some_and(|cycle| cycle.point.point() == claim.point);
            let wanted = d.wanted.get(&site.name).and_then(Device::claim);
            let running = running || wanted == Some(claim.name.as_str());
            if !running && reading.as_ref() != Some(&claim.name) {
                d.act(Action::DropSourceClaim {
                    name: claim.name.clone(),
                });
            }
        }
    }
}

fn cuts(d: &mut Draft<'_>, site: &SiteView) {
    // A side with writes of its own keeps what it has: it may be wanted for salvage. Which side that
    // is, a forced move shows only at its end.
    let forced = d
        .status
        .switch
        .as_ref()
        .is_some_and(|s| s.kind == SwitchKind::Forced && switch::unfinished(s));
    if forced || cycle::is_diverged(d, site.name.as_str()) {
        return;
    }
    let committed = common_base(d);
    for cut in site.cuts.iter().filter(|cut| !cut.deleting) {
        let kept = d.keep.contains(&(site.name.clone(), cut.point)) || committed == Some(cut.point);
        if !kept && settled(site, cut) {
            d.act(Action::DropCut {
                name: cut.name.clone(),
            });
        }
    }
}

/// Whether a snapshot goes away when it is deleted. One that is deleted while the driver makes it is
/// forgotten by the snapshotter until that is restarted (kubernetes-csi/external-snapshotter issue 1388,
/// fixed in 8.6), and one from which a claim is being made until the snapshot controller next looks at
/// everything it has, in a quarter of an hour.
pub fn settled(site: &SiteView, cut: &Cut) -> bool {
    let mut claims = site.source_claims.iter();
    let restoring = claims.any(|claim| claim.point == cut.point && !claim.bound);
    !cut.being_created && !restoring
}

/// The point whose snapshots are the common base: the committed one, unless a side has no snapshot of
/// it. That is so while the standby is diverged, and where a side was gone before it recorded the last
/// commit; then it is the newest that both sides have one of.
fn common_base(d: &Draft<'_>) -> Option<Point> {
    let whole = |site: &SiteView| -> BTreeSet<Point> {
        let cuts = site.cuts.iter().filter(|cut| cut.ready && !cut.deleting);
        cuts.map(|cut| cut.point).collect()
    };
    let mut sites = d.o.sites.iter().map(whole);
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
