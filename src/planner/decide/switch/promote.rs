//! Promotion, at the operator: the request to the new primary's mover, and what it loses.

use jiff::Timestamp;
use uuid::Uuid;

use crate::decide::DecisionBuilder;
use crate::decide::movers::ready;
use crate::decide::switch::requested::withdrawn;
use crate::decide::switch::steps::{step, want_new};
use crate::decide::switch::{cancel, closed, epoch};
use crate::mutations::Rule;
use crate::site::MoverDesired;
use api::Reason;
use api::v1alpha1::{PointStatus, SwitchKind, SwitchStatus, SwitchStep};
use protocol::units::{Epoch, Generation, ImageState, Point, Role, SiteName};
use wire::control::{
    Activity, CycleOutcome, MoverStatus, PromoteRequest, Request, SuperblockReport,
};

/// Asks the new primary's mover to take the role, and goes on when its superblock says so.
pub fn promote(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    let Some((to, epoch, generation)) = parts(switch) else {
        return;
    };
    let generation = match d.observed.rules().breaks(Rule::GenerationNotRecorded) {
        true => Generation(d.observed.fresh.generation),
        false => generation,
    };
    let Some(site) = d.observed.site(&to) else {
        return;
    };
    closed::keep_closed(d, switch);
    want_new(d, switch, site);
    // The old primary's mover is needed next: it starts meanwhile, if it does not run.
    if let Some(from) = d.observed.other(&to) {
        d.want(&from.name, MoverDesired::Probe);
    }
    let Some(mover) = ready(d, site) else {
        return;
    };
    let Some(report) = &mover.superblock else {
        return;
    };
    if report.role == Role::Primary && report.epoch == epoch {
        // A primary's image stays what it was when it was promoted.
        let point = report
            .image
            .promotable_point()
            .or(d.committed())
            .unwrap_or_default();
        promoted(d, switch, point);
        return;
    }
    let last = switch.promoted_point.as_ref().map(PointStatus::point);
    if let Some(last) = last.filter(|_| report.role == Role::Primary && report.epoch.next() < epoch)
    {
        leave_old_epoch(d, &to, report, (epoch, last));
        return;
    }
    if report.image.promotable_point().is_none() || report.role == Role::Primary {
        no_image(d, switch);
        return;
    }
    if report.epoch.next() < epoch {
        epoch::end_epoch(d, &to, report, (epoch, None));
        return;
    }
    if mover.activity == Activity::Promoting(epoch) {
        d.wait(format!("site {to} to finish or drop what is staged"));
        return;
    }
    if matches!(report.image, ImageState::Redo(_)) {
        return written_first(d, switch, mover);
    }
    if mover.activity != Activity::Idle {
        let reason = "the site is being promoted".to_string();
        d.ask(&to, Request::Abort { reason });
    }
    let requested_primary = handled(d, switch).parse().unwrap_or_else(|_| to.clone());
    let peer_head = d.status.last_cut.as_ref().map(PointStatus::point);
    let request = PromoteRequest {
        epoch,
        generation,
        peer_head,
        requested_primary,
    };
    d.ask(&to, Request::Promote(request));
    d.wait(format!("site {to} to record epoch {epoch}"));
}

/// A set that is fully staged goes to the volume first; the mover does that by itself, again and again while
/// it fails. Until then nothing is promoted, so the move can still be withdrawn.
fn written_first(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, mover: &MoverStatus) {
    if withdrawn(d, switch) {
        cancel::withdraw_promotion(d, switch);
        return;
    }
    let what = format!("site {} to write what is staged to its volume", switch.to);
    if let Some(CycleOutcome::Failed { cycle, cause, .. }) = &mover.last {
        d.trouble(
            Reason::CycleFailed,
            format!(
                "the move waits for {what}: cut {cycle} is there completely, but could not be written: {}. It is \
                 tried again by itself: repair that site's storage; or withdraw the request",
                cause.message
            ),
        );
    }
    d.wait(what);
}

/// The role goes back to a site that still is primary of an older epoch: it leaves that one first, at the
/// last cut, which is all that it holds.
fn leave_old_epoch(
    d: &mut DecisionBuilder<'_>,
    to: &SiteName,
    report: &SuperblockReport,
    (epoch, last): (Epoch, Point),
) {
    if report.committed == Some(last) {
        return epoch::end_epoch(d, to, report, (epoch, Some(last)));
    }
    d.ask(to, Request::Commit { cycle: last });
    d.wait(format!("site {to} to record the commit of {last}"));
}

/// The image was damaged after the move began, or a copy of the site as an old primary was put back.
/// Nothing has happened to the data yet, so the move can still be withdrawn.
fn no_image(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    if withdrawn(d, switch) {
        cancel::withdraw_promotion(d, switch);
        return;
    }
    let why = format!(
        "the image at site {} is not complete, or an old primary's, so it can't be promoted: cancel the request, and it is fixed by the \
         next cycle; or restore the newest snapshot of that site by hand",
        switch.to
    );
    d.trouble(Reason::NoCommittedPoint, why.clone());
    d.wait(why);
}

/// The request that counts as handled once the role is moved: a Promotion handles no manifest.
fn handled(d: &DecisionBuilder<'_>, switch: &SwitchStatus) -> String {
    let spec = &d.observed.pair.spec;
    let before = d
        .status
        .handled_primary
        .clone()
        .unwrap_or_else(|| switch.from.clone());
    if spec.primary == switch.to {
        spec.primary.clone()
    } else {
        before
    }
}

fn parts(switch: &SwitchStatus) -> Option<(SiteName, Epoch, Generation)> {
    let to = switch.to.parse().ok()?;
    let epoch = Epoch(u64::try_from(switch.epoch).ok()?);
    let generation = Generation(Uuid::parse_str(&switch.generation).ok()?);
    Some((to, epoch, generation))
}

fn promoted(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus, point: Point) {
    // The new primary's report has taken the committed point out of the status before this: what it was
    // is what was recorded.
    let recorded = d.observed.pair.status.as_ref();
    let recorded = recorded.and_then(|status| status.committed_point.clone());
    let known = [
        d.status.committed_point.clone(),
        recorded,
        d.status.last_cut.clone(),
    ];
    let committed = known
        .into_iter()
        .flatten()
        .find(|known| known.point() == point);
    let loss = (switch.kind == SwitchKind::Forced).then(|| loss(d, point, committed.as_ref()));
    let handled_primary = handled(d, switch);
    d.status.primary = Some(switch.to.clone());
    d.status.epoch = Some(switch.epoch);
    d.status.generation = Some(switch.generation.clone());
    d.status.handled_primary = Some(handled_primary);
    if let Some(status) = d.status.switch.as_mut() {
        let cut_at = committed.and_then(|known| known.cut_at);
        status.promoted_point = Some(PointStatus::new(point, cut_at));
        status.loss = loss;
    }
    step(d, SwitchStep::Demote);
}

/// What a forced promotion of `point` loses, as far as it can be known in mode Snapshot.
fn loss(d: &DecisionBuilder<'_>, point: Point, committed: Option<&PointStatus>) -> String {
    // What was found to be equal to it later was not lost either.
    let unchanged = d.status.unchanged.as_ref();
    let equal = unchanged.filter(|unchanged| unchanged.since == point.to_string());
    let equal = equal.map(|unchanged| &unchanged.point);
    let point = equal.map_or(point, PointStatus::point);
    let cut_at: Option<Timestamp> = equal
        .or(committed)
        .and_then(|known| known.cut_at.as_ref())
        .map(|time| time.0);
    let since = match cut_at {
        Some(cut) => {
            let seconds = d.observed.now.duration_since(cut).as_secs().max(0);
            format!(
                "everything written after {point} was cut at {cut} ({seconds} s before the switch)"
            )
        }
        None => format!("everything written after {point} was cut"),
    };
    let newer = d.status.last_cut.as_ref().filter(|cut| {
        cut.point() > point && cut.epoch == i64::try_from(point.epoch.0).unwrap_or(0)
    });
    let unshipped = newer.map_or(String::new(), |cut| {
        let at = cut
            .cut_at
            .as_ref()
            .map_or(String::new(), |time| format!(" of {}", time.0));
        format!(" The newest cut that was not shipped is {}{at}.", cut.label)
    });
    format!("{since}.{unshipped}")
}
