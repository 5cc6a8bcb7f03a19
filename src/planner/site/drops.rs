//! Snapshots and claims made from them that are not kept.

use crate::mutations::Rule;
use crate::observe::{Cut, SiteView};
use crate::site::{Action, MoverDesired, SiteDecision, SiteDesired};

/// Deletes what is not kept, except the snapshot of what the superblock calls committed.
pub(super) fn drop_unneeded(view: &SiteView, desired: &SiteDesired, decision: &mut SiteDecision) {
    let committed = view.superblock().and_then(|seen| seen.committed);
    let committed = committed.filter(|_| !view.rules.breaks(Rule::BaseDroppedEarly));
    for cut in view.cuts.iter().filter(|cut| !cut.deleting) {
        // A class of policy Retain would have the storage keep every cut for ever (K-17).
        if let (true, Some(content)) = (cut.retained, &cut.content)
            && !view.rules.breaks(Rule::ContentsStay)
        {
            decision.actions.push(Action::DropWithSnapshot {
                content: content.clone(),
            });
            continue;
        }
        let discarded = desired.discard == Some(cut.point);
        let kept = desired.keep_cuts.has(cut.point) || committed == Some(cut.point);
        if (discarded && committed != Some(cut.point) || !kept) && is_settled(view, cut) {
            decision.actions.push(Action::DropCut {
                name: cut.name.clone(),
                version: cut.version.clone(),
            });
        }
    }
    let late = view.late_cuts.iter().filter(|cut| !cut.deleting);
    let late = late.filter(|cut| is_settled(view, cut));
    decision.actions.extend(late.map(|cut| Action::DropCut {
        name: cut.name.clone(),
        version: cut.version.clone(),
    }));
    let reading = view.pod.as_ref().and_then(|pod| pod.device_claim.as_ref());
    for claim in view.source_claims.iter().filter(|claim| !claim.deleting) {
        let wanted = desired.mover == MoverDesired::Reader(claim.point);
        let kept = wanted || desired.keep_source_claims.has(claim.point);
        if !kept && reading != Some(&claim.name) {
            decision.actions.push(Action::DropSourceClaim {
                name: claim.name.clone(),
            });
        }
    }
}

/// Whether a snapshot goes away when it is deleted. One that is deleted while the driver makes it is
/// forgotten by the snapshotter until that is restarted (kubernetes-csi/external-snapshotter issue 1388,
/// fixed in 8.6), and one from which a claim is being made until the snapshot controller next looks at
/// everything it has, in a quarter of an hour.
pub(crate) fn is_settled(site: &SiteView, cut: &Cut) -> bool {
    let mut claims = site.source_claims.iter();
    let restoring = claims.any(|claim| claim.point == cut.point && !claim.bound);
    !cut.being_created && !restoring
}
