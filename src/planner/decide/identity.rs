//! Who the pair is: drawn once, then read from the data.
//!
//! The superblocks on the state claims are the truth and win over the status. A pair whose status
//! is empty but whose state claims exist is asked for it before anything else is done.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::{DecisionBuilder, switch};
use crate::observe::{SiteView, Volume};
use crate::site::MoverDesired;
use api::Reason;
use api::v1alpha1::{PointStatus, SwitchKind};
use protocol::units::{Epoch, Point, Role, SiteName};
use wire::control::SuperblockReport;

/// Whether the pair's identity is known and may be acted on.
pub fn settle(d: &mut DecisionBuilder<'_>) -> bool {
    if d.status.pair_id.is_some() && d.status.epoch.is_some() && d.status.primary.is_some() {
        return adopt(d);
    }
    let begun = d.observed.sites.iter().any(|s| s.state_claim.is_some());
    let settled = match begun {
        true => recover(d),
        false => draw(d),
    };
    let read_for = d.observed.primary_site().map(|site| site.to_string());
    if settled && d.status.primary != read_for {
        // Which volume is whose was read for the site that the spec calls primary: it is read again.
        d.recheck_at(d.observed.now);
        return false;
    }
    settled
}

/// A new pair: draws its identity. It is recorded before any object is made from it.
fn draw(d: &mut DecisionBuilder<'_>) -> bool {
    if d.validated.usable().is_none() {
        return false;
    }
    let primary = led_before(d).unwrap_or_else(|| d.observed.pair.spec.primary.clone());
    d.status.pair_id = Some(d.observed.fresh.pair_id.to_string());
    d.status.generation = Some(d.observed.fresh.generation.to_string());
    d.status.epoch = Some(1);
    d.status.handled_primary = Some(primary.clone());
    d.status.primary = Some(primary);
    true
}

/// The primary of a pair that had begun and whose status was lost before any superblock was written: the
/// site whose label the application's volume has, else the one without a replica.
fn led_before(d: &DecisionBuilder<'_>) -> Option<String> {
    let sites = || d.observed.sites.iter();
    let app = d
        .observed
        .app_claim()
        .and_then(|claim| claim.volume.as_ref());
    let labelled = app.and_then(|app| {
        let same = |volume: &Volume| volume.id().is_some() && volume.id() == app.id();
        sites().find(|site| site.labelled_volume.as_ref().is_some_and(same))
    });
    let replica = sites().find(|site| site.replica_claim.is_some());
    let other = replica.and_then(|standby| d.observed.other(&standby.name));
    labelled.or(other).map(|site| site.name.to_string())
}

/// The status is lost: asks both state volumes.
fn recover(d: &mut DecisionBuilder<'_>) -> bool {
    if d.observed.sites.iter().any(|site| !site.known) {
        return false;
    }
    let present: Vec<&SiteView> = d
        .observed
        .sites
        .iter()
        .filter(|s| s.state_claim.is_some())
        .collect();
    for site in &present {
        d.want(&site.name, MoverDesired::Probe);
    }
    if present.iter().any(|site| site.live().is_none()) {
        d.wait("the movers to read what the state volumes say, because the status is empty".into());
        return false;
    }
    if present.iter().all(|s| {
        s.mover
            .as_ref()
            .is_some_and(|m| m.superblock.is_none() && m.superblock_error.is_none())
    }) {
        return draw(d);
    }
    switch::volumes_by_evidence(d);
    d.status.switch = switch::noted(d);
    if !adopt(d) {
        d.status.switch = None;
        return false;
    }
    // A primary that never had a superblock has no identity of its epoch yet.
    let fresh = d.observed.fresh.generation;
    d.status.generation.get_or_insert_with(|| fresh.to_string());
    // Snapshots that nothing needs now are deleted before the next cut is made, and with them goes the
    // knowledge of their numbers.
    d.status.last_seq = i64::try_from(d.highest_seq().0).ok();
    // A note of an epoch that is over was about to be removed.
    let epoch = d.status.epoch;
    d.status.switch.take_if(|noted| Some(noted.epoch) < epoch);
    if d.status.switch.is_none() && d.epoch() > Epoch::FIRST {
        switch::resume_after_loss(d);
    }
    true
}

/// Takes over what the superblocks of the movers that run now say.
fn adopt(d: &mut DecisionBuilder<'_>) -> bool {
    let reports: Vec<(&SiteView, &SuperblockReport)> = d
        .observed
        .sites
        .iter()
        .filter_map(|site| Some((site, site.live()?.superblock.as_ref()?)))
        .collect();
    let Some((_, newest)) = reports.iter().max_by_key(|(_, report)| report.epoch) else {
        return d.status.pair_id.is_some();
    };
    if reports
        .iter()
        .any(|(_, report)| report.pair_id != newest.pair_id)
    {
        d.trouble(
            Reason::CycleFailed,
            "the state volumes of the two sites belong to different pairs: nothing is touched. Delete the \
             pair and the state claim that is not its own, then create the pair again"
                .into(),
        );
        return false;
    }
    d.status.pair_id = Some(newest.pair_id.to_string());
    if d.epoch() > newest.epoch && reports.len() < 2 {
        return true;
    }
    let leaders: Vec<_> = reports
        .iter()
        .filter(|(_, r)| r.epoch == newest.epoch && r.role == Role::Primary)
        .collect();
    if leaders.len() > 1 {
        d.trouble(
            Reason::Diverged,
            format!(
                "both sites call themselves primary of epoch {}: nothing is touched. Decide which one is right \
                 and promote it with `kubectl ferry promote --force`",
                newest.epoch
            ),
        );
        return false;
    }
    take_over(d, &reports, newest, leaders.first().map(|(site, _)| *site));
    true
}

fn take_over(
    d: &mut DecisionBuilder<'_>,
    reports: &[(&SiteView, &SuperblockReport)],
    newest: &SuperblockReport,
    leader: Option<&SiteView>,
) {
    let switching = d.status.switch.as_ref().is_some_and(switch::unfinished);
    let known = d.status.primary.is_some();
    if let Some(leader) = leader {
        d.status.primary = Some(leader.name.to_string());
        // One that leads again, because the other was put back to an older copy, has missed nothing.
        mark_diverged(d, leader, false);
    } else if let Some((standby, _)) = reports.iter().find(|(_, r)| r.epoch == newest.epoch) {
        let other = d
            .observed
            .other(&standby.name)
            .filter(|_| !switching || !known);
        if let Some(other) = other {
            d.status.primary = Some(other.name.to_string());
        }
    }
    d.status.epoch = i64::try_from(newest.epoch.0).ok();
    if let Some(entry) = newest.lineage.last() {
        d.status.generation = Some(entry.generation.0.to_string());
    }
    if d.status.handled_primary.is_none() {
        d.status.handled_primary = Some(newest.requested_primary.to_string());
    }
    let standby = reports
        .iter()
        .find(|(site, _)| Some(site.name.as_str()) != d.status.primary.as_deref());
    if let Some((site, report)) = standby {
        let diverged = report.diverged || missed_the_move(d, &site.name, report);
        committed_point(d, report.committed.filter(|_| !diverged));
        mark_diverged(d, site, diverged);
    }
}

/// Whether this is an old primary that does not know of its demotion: it may have writes of its own.
/// One that a planned move is about to demote has none.
fn missed_the_move(d: &DecisionBuilder<'_>, site: &SiteName, report: &SuperblockReport) -> bool {
    let switch = d.status.switch.as_ref();
    let planned = switch.is_some_and(|s| switch::unfinished(s) && s.kind == SwitchKind::Planned);
    let behind = report.role == Role::Primary && report.epoch < d.epoch();
    behind && !planned && switch::clean_end(d, site).is_none()
}

fn committed_point(d: &mut DecisionBuilder<'_>, reported: Option<Point>) {
    let known = d.committed();
    if reported == known {
        return;
    }
    d.status.committed_point = reported.map(|point| PointStatus::new(point, cut_time(d, point)));
}

/// When a point was cut, from any snapshot or record of it.
fn cut_time(d: &DecisionBuilder<'_>, point: Point) -> Option<Time> {
    let primary = d.primary();
    let seen: Option<Timestamp> = primary
        .and_then(|site| site.cut(point))
        .and_then(|cut| cut.created);
    let recorded = d
        .status
        .last_cut
        .as_ref()
        .filter(|cut| cut.point() == point);
    seen.map(Time)
        .or_else(|| recorded.and_then(|cut| cut.cut_at.clone()))
}

fn mark_diverged(d: &mut DecisionBuilder<'_>, site: &SiteView, diverged: bool) {
    if let Some(status) = d
        .status
        .sites
        .iter_mut()
        .find(|s| s.name == site.name.as_str())
    {
        status.diverged = diverged;
    }
}
