//! Snapshots and source claims that nothing needs any more.
//!
//! What stays: the committed point's snapshot at either side, the common base, the running cycle's, and the
//! primary's newest unless nothing of it was shipped: should the status be lost, its number is not used again.
//! So at most three a side where all are ready, and at least one common one at every moment.

use std::collections::BTreeSet;

use crate::decide::consent::is_diverged;
use crate::decide::{DecisionBuilder, switch};
use crate::mutations::Rule;
use crate::observe::{Cut, SiteView};
use crate::site::Keep;
use api::v1alpha1::{PointStatus, SwitchKind};
use protocol::units::Point;

/// Says what stays; a site deletes the rest.
pub fn sweep(d: &mut DecisionBuilder<'_>) {
    let began = d.status.cycle.is_some() || d.status.last_failure.is_some();
    if d.status.committed_point.is_none() && !began {
        // Nothing is known yet; whatever is stored there may be the common base.
        return;
    }
    let running = d.cycle().map(|cycle| cycle.point.point());
    let early = running.is_some() && d.observed.rules().breaks(Rule::BaseDroppedEarly);
    let bases = match early {
        true => BTreeSet::new(),
        false => common_bases(d),
    };
    let unchanged = d.status.unchanged_cut().map(PointStatus::point);
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
        let leads = d.status.primary.as_deref() == Some(site.name.as_str());
        let newest = site.cuts.iter().filter(|_| leads).map(|cut| cut.point);
        let kept = kept
            .map(|(_, point)| *point)
            .chain(bases.iter().copied())
            .chain(newest.max().filter(|newest| unchanged != Some(*newest)))
            .collect();
        let desired = d.at(&site.name);
        if !site.rules.breaks(Rule::SourceClaimsStay) {
            desired.keep_source_claims = Keep::Only(running.into_iter().collect());
        }
        if !all {
            desired.keep_cuts = Keep::Only(kept);
        }
    }
}

/// The points whose snapshots are, or may be, the common base: the committed one, and the newest that both
/// sides have a snapshot of, which is another where a side was gone before it recorded the last commit or
/// is diverged. One that is ready goes first; one that is not, at the moment, may be again.
fn common_bases(d: &DecisionBuilder<'_>) -> BTreeSet<Point> {
    let ready = common(d, |cut| cut.ready);
    let committed = d.committed();
    if let Some(held) = committed.filter(|point| ready.contains(point)) {
        return [held].into();
    }
    let made = || common(d, |cut| cut.created.is_some()).last().copied();
    let newest = ready.last().copied().or_else(made);
    let bases: BTreeSet<Point> = committed.into_iter().chain(newest).collect();
    if !bases.is_empty() {
        return bases;
    }
    // Without snapshots at the standby the promoted point is what both sides had in common.
    let switch = d.status.switch.as_ref();
    let promoted = switch.and_then(|switch| switch.promoted_point.as_ref());
    promoted
        .map(|promoted| promoted.point())
        .into_iter()
        .collect()
}

/// The points of which both sides have such a snapshot.
fn common(d: &DecisionBuilder<'_>, such: fn(&Cut) -> bool) -> BTreeSet<Point> {
    let of = |site: &SiteView| -> BTreeSet<Point> {
        let cuts = site.cuts.iter().filter(|cut| such(cut) && !cut.deleting);
        cuts.map(|cut| cut.point).collect()
    };
    let mut sites = d.observed.sites.iter().map(of);
    match (sites.next(), sites.next()) {
        (Some(one), Some(other)) => &one & &other,
        _ => BTreeSet::new(),
    }
}
