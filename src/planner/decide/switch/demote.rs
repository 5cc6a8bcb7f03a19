//! Demotion, at the operator: the old primary's mover learns that its epoch is over.

use jiff::SignedDuration;

use crate::decide::DecisionBuilder;
use crate::decide::movers::ready;
use crate::decide::switch::closed;
use crate::decide::switch::steps::{before_promotion, in_step, step, unfinished};
use crate::mutations::Rule;
use crate::observe::SiteView;
use crate::site::MoverDesired;
use api::v1alpha1::{PointStatus, SwitchKind, SwitchStatus, SwitchStep};
use protocol::units::{Epoch, Point, Role, SiteName};
use wire::control::{DemoteRequest, Request, SuperblockReport};

/// The longest that a move waits for the old primary's mover. Beyond it the move goes on; the
/// old side learns of the new epoch when it comes back, before anything is shipped to it.
pub const DEMOTE_WAIT_MAX: SignedDuration = SignedDuration::from_secs(5);

/// Asks the demotion, and goes on when the superblock says so.
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
    closed::keep_closed(d, switch);
    let planned = switch.kind == SwitchKind::Planned;
    let disturbed = d
        .status
        .switch
        .as_ref()
        .is_some_and(|s| s.disturbed.is_some());
    if let Some(mover) = ready(d, old)
        && let Some(report) = &mover.superblock
    {
        if report.role == Role::Standby && report.epoch >= epoch {
            mark(d, &from, report.diverged);
            done(d);
            return;
        }
        let last = switch.promoted_point.as_ref().map(PointStatus::point);
        let last = last.filter(|_| !disturbed);
        if planned && let Some(last) = last {
            leave(d, (&from, report), new, (epoch, last));
            return;
        }
        let clean_at = last.filter(|_| d.observed.rules().breaks(Rule::DemotedAsClean));
        request(d, clean_at, old.name.clone(), new, epoch);
        return;
    }
    // The last cut is at both sides, and the old one is closed: it learns of it when it comes back.
    if in_step(d, &SwitchStep::Demote) > DEMOTE_WAIT_MAX {
        mark(d, &from, !planned || disturbed);
        done(d);
        return;
    }
    d.recheck_in(SignedDuration::from_secs(5));
}

/// An old primary leaves cleanly: only a side that knows its last cut to be committed at the peer does.
fn leave(
    d: &mut DecisionBuilder<'_>,
    (from, report): (&SiteName, &SuperblockReport),
    new: &SiteView,
    (epoch, last): (Epoch, Point),
) {
    if report.committed == Some(last) {
        return request(d, Some(last), from.clone(), new, epoch);
    }
    d.ask(from, Request::Commit { cycle: last });
    d.wait(format!("site {from} to record the commit of {last}"));
}

/// The last cut of a planned move that has ended without its old primary at `site`, which held that and
/// nothing else.
pub fn clean_end(d: &DecisionBuilder<'_>, site: &SiteName) -> Option<Point> {
    let switch = d.status.switch.as_ref()?;
    let ours = switch.from == site.as_str() && Some(switch.epoch) == d.status.epoch;
    let clean = switch.kind == SwitchKind::Planned && switch.disturbed.is_none();
    let last = switch.promoted_point.as_ref().map(PointStatus::point);
    last.filter(|_| ours && clean)
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
    match clean_end(d, &old.name).zip(report) {
        Some((last, report)) => leave(d, (&old.name, report), new, (epoch, last)),
        None => request(d, None, old.name.clone(), new, epoch),
    }
    true
}

fn request(
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
    let request = DemoteRequest {
        epoch,
        lineage: report.lineage.clone(),
        clean_at,
        requested_primary,
    };
    d.ask(&from, Request::Demote(request));
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
