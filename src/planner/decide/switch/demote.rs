//! Demotion, at the operator: the old primary's mover learns that its epoch is over.

use jiff::SignedDuration;

use crate::decide::DecisionBuilder;
use crate::decide::movers::ready;
use crate::decide::switch::steps::{before_promotion, in_step, step, unfinished};
use crate::mutations::Rule;
use crate::observe::SiteView;
use crate::site::MoverDesired;
use api::v1alpha1::{PointStatus, SwitchKind, SwitchStatus, SwitchStep};
use protocol::units::{Epoch, Point, Role, SiteName};
use wire::control::{DemoteRequest, Request};

/// The longest that a forced move waits for the old primary's mover. Beyond it the move goes on; the
/// old side learns of the new epoch when it comes back, before anything is shipped to it.
pub const DEMOTE_WAIT_MAX: SignedDuration = SignedDuration::from_secs(5);

/// Orders the demotion, and goes on when the superblock says so.
pub fn demote(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    let (Ok(from), Ok(to)) = (
        switch.from.parse::<SiteName>(),
        switch.to.parse::<SiteName>(),
    ) else {
        return;
    };
    let (Some(old), Some(new)) = (d.observed.site(&from), d.observed.site(&to)) else {
        return;
    };
    let epoch = Epoch(u64::try_from(switch.epoch).unwrap_or(0));
    // Only superblocks are of interest here, whatever the movers' devices are.
    d.want(&old.name, MoverDesired::Probe);
    d.want(&new.name, MoverDesired::Probe);
    if let Some(mover) = ready(d, old)
        && let Some(report) = &mover.superblock
    {
        if report.role == Role::Standby && report.epoch >= epoch {
            mark(d, &from, report.diverged);
            done(d);
            return;
        }
        let last = switch.promoted_point.as_ref().map(PointStatus::point);
        if let Some(last) = last
            .filter(|last| switch.kind == SwitchKind::Planned && report.committed != Some(*last))
        {
            // Only a side that knows its last cut to be committed at the peer leaves cleanly.
            d.ask(&from, Request::Commit { cycle: last });
            d.wait(format!("site {from} to record the commit of {last}"));
            return;
        }
        let clean =
            switch.kind == SwitchKind::Planned || d.observed.rules().breaks(Rule::DemotedAsClean);
        let clean_at = last.filter(|_| clean);
        order(d, clean_at, old.name.clone(), new, epoch);
        return;
    }
    let waited = in_step(d, &SwitchStep::Demote);
    if switch.kind == SwitchKind::Forced && waited > DEMOTE_WAIT_MAX {
        mark(d, &from, true);
        done(d);
        return;
    }
    d.recheck_in(SignedDuration::from_secs(5));
}

/// Tells an old primary that was away while the role moved, as soon as it answers and before anything
/// is shipped to it. Whether nothing else can be done now.
pub fn fence_returning_primary(d: &mut DecisionBuilder<'_>) -> bool {
    // Up to the last cut the standby is the one that is to be promoted: an old primary there was put
    // back to an older copy of itself, and nothing can be shipped to it before it knows.
    let promoting = |s: &SwitchStatus| unfinished(s) && !before_promotion(s);
    let moving = d.status.switch.as_ref().is_some_and(promoting);
    let (Some(new), Some(old)) = (d.primary(), d.standby()) else {
        return false;
    };
    let report = old.live().and_then(|mover| mover.superblock.as_ref());
    let epoch = d.epoch();
    let missed = report.is_some_and(|r| r.role == Role::Primary && r.epoch < epoch);
    if moving || !missed {
        return false;
    }
    d.want(&old.name, MoverDesired::Probe);
    d.want(&new.name, MoverDesired::Probe);
    order(d, None, old.name.clone(), new, epoch);
    true
}

fn order(
    d: &mut DecisionBuilder<'_>,
    clean_at: Option<Point>,
    from: SiteName,
    new: &SiteView,
    epoch: Epoch,
) {
    let Some(report) = ready(d, new).and_then(|mover| mover.superblock.as_ref()) else {
        return;
    };
    let requested_primary = report.requested_primary.clone();
    let order = DemoteRequest {
        epoch,
        lineage: report.lineage.clone(),
        clean_at,
        requested_primary,
    };
    d.ask(&from, Request::Demote(order));
    d.wait(format!(
        "site {from} to record that it is standby in epoch {epoch}"
    ));
}

fn mark(d: &mut DecisionBuilder<'_>, site: &SiteName, diverged: bool) {
    if let Some(status) = d.status.sites.iter_mut().find(|s| s.name == site.as_str()) {
        status.diverged = diverged;
    }
    if diverged {
        // What the standby holds is no committed point of this epoch.
        d.status.committed_point = None;
    }
}

fn done(d: &mut DecisionBuilder<'_>) {
    // No mover is wanted while claims are re-bound.
    d.want_none();
    step(d, SwitchStep::Rebind);
}
