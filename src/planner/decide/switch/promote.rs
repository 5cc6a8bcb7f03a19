//! Promotion, at the operator: which request counts, and the order to the new primary's mover.
//!
//! A request counts when it *changes*; an explicit order counts in the epoch it names and in no other.
//! Which request was handled last is recorded, with the data too, so that a manifest that is applied
//! again never moves the role back.

use jiff::Timestamp;
use uuid::Uuid;

use crate::decide::DecisionBuilder;
use crate::decide::movers::ready;
use crate::decide::switch::steps::{before_promotion, step, want_new};
use crate::decide::switch::{cancel, closed, epoch};
use crate::mutations::Rule;
use crate::observe::Application;
use crate::site::MoverDesired;
use crate::validate::Problem;
use api::Reason;
use api::v1alpha1::{PointStatus, Promotion, PromotionKind, SwitchKind, SwitchStatus, SwitchStep};
use protocol::units::{Epoch, Generation, Point, Role, SiteName};
use wire::control::{Activity, PromoteRequest, Request, SuperblockReport};

/// The move that is asked for now and may begin, with its epoch and generation drawn.
#[must_use]
pub fn wanted(d: &mut DecisionBuilder<'_>) -> Option<SwitchStatus> {
    let primary = d.status.primary.clone()?;
    let spec = &d.observed.pair.spec;
    if d.status.cancelled_promotion != spec.promotion {
        d.status.cancelled_promotion = None;
    }
    let order = spec.promotion.as_ref();
    let (to, kind) = if let Some(order) = order.filter(|order| valid(d, order)) {
        (order.site.clone(), order.kind)
    } else {
        stale_order(d);
        cancelled_before(d);
        let changed = d.status.handled_primary.as_ref() != Some(&spec.primary)
            || d.observed.rules().breaks(Rule::ManifestMovesTheRole);
        if !changed {
            return None;
        }
        if spec.primary == primary {
            d.status.handled_primary = Some(primary);
            return None;
        }
        (spec.primary.clone(), PromotionKind::Planned)
    };
    if !d.observed.sites.iter().any(|site| site.name.as_str() == to) {
        return None;
    }
    let barring =
        |problem: &&Problem| kind == PromotionKind::Planned || problem.bars_forced_promotion();
    if d.validated.problem().filter(barring).is_some() {
        return None;
    }
    if let Some(refused) = refusal(d, &to).or_else(|| claims_go(d, kind)) {
        d.refused = Some(refused);
        return None;
    }
    Some(begin(d, primary, to, kind))
}

fn valid(d: &DecisionBuilder<'_>, order: &Promotion) -> bool {
    let current =
        Some(order.epoch) == d.status.epoch || d.observed.rules().breaks(Rule::StaleRequestCounts);
    let tried = d.status.cancelled_promotion.as_ref() == Some(order);
    current && !tried && Some(&order.site) != d.status.primary.as_ref()
}

/// A request that Ferry has cancelled by itself is not tried again, and that is reported.
fn cancelled_before(d: &mut DecisionBuilder<'_>) {
    let primary = d.status.primary.as_ref();
    let stands = d.status.cancelled_promotion.is_some()
        || primary != Some(&d.observed.pair.spec.primary)
            && d.status.handled_primary.as_ref() == Some(&d.observed.pair.spec.primary);
    let switch = d.status.switch.as_ref();
    let cancelled = switch.filter(|s| s.step == SwitchStep::Cancelled && stands);
    if let Some(why) = cancelled.and_then(|switch| switch.cancelled.clone()) {
        d.refused = Some(Problem::new(
            Reason::RoleChangeCancelled,
            format!(
                "the last move of the role was cancelled: {why}. Ask for it again when that is fixed"
            ),
        ));
    }
}

/// A StatefulSet that deletes its claims when it is scaled down would take the volume from under the
/// move (K-21).
fn claims_go(d: &DecisionBuilder<'_>, kind: PromotionKind) -> Option<Problem> {
    let application = d.primary().and_then(|primary| primary.application.as_ref());
    let goes = matches!(
        application,
        Some(Application::Found {
            claims_go_when_scaled: true,
            ..
        })
    );
    (goes && kind == PromotionKind::Planned).then(|| {
        Problem::new(
            Reason::ClaimsGoWhenScaled,
            "the workload of spec.application deletes its claims when it is scaled down \
             (persistentVolumeClaimRetentionPolicy.whenScaled is Delete), and a planned move scales it to 0: \
             set it to Retain first. Nothing was scaled"
                .into(),
        )
    })
}

/// An order for another epoch is void, and that is said unless it was simply carried out.
fn stale_order(d: &mut DecisionBuilder<'_>) {
    let Some(order) = &d.observed.pair.spec.promotion else {
        return;
    };
    let epoch = d.status.epoch.unwrap_or(0);
    let done = Some(&order.site) == d.status.primary.as_ref() && order.epoch < epoch;
    if order.epoch != epoch && !done {
        d.refused = Some(Problem::new(
            Reason::ConsentForOtherEpoch,
            format!(
                "spec.promotion orders site {} for epoch {}, but the pair is in epoch {epoch}: the order is void \
                 and nothing was done. Look at the status and order again if it is still wanted",
                order.site, order.epoch
            ),
        ));
    }
}

/// An image that was never complete is never promoted.
fn refusal(d: &DecisionBuilder<'_>, to: &str) -> Option<Problem> {
    let diverged = d
        .status
        .sites
        .iter()
        .any(|site| site.name == to && site.diverged);
    if diverged {
        return Some(Problem::new(
            Reason::Diverged,
            format!(
                "site {to} holds writes of an older epoch that nobody else has; it follows again once \
                 spec.resolution allows to discard them, and can be promoted after that"
            ),
        ));
    }
    d.status.committed_point.is_none().then(|| {
        Problem::new(
            Reason::NoCommittedPoint,
            format!(
                "site {to} has no committed point yet, and an empty volume is never promoted: wait for the \
                 first cycle to be committed"
            ),
        )
    })
}

fn begin(d: &DecisionBuilder<'_>, from: String, to: String, kind: PromotionKind) -> SwitchStatus {
    SwitchStatus {
        kind: kind.into(),
        from,
        to,
        epoch: i64::try_from(d.epoch().next().0).unwrap_or(i64::MAX),
        generation: d.observed.fresh.generation.to_string(),
        ..SwitchStatus::at(SwitchStep::StopApplication, d.now())
    }
}

/// A planned move that can't be completed becomes a forced one when that is ordered.
pub fn escalate_to_forced(d: &mut DecisionBuilder<'_>) {
    let order = d.observed.pair.spec.promotion.clone();
    let Some(order) = order.filter(|o| o.kind == PromotionKind::Forced && valid(d, o)) else {
        return;
    };
    if let Some(switch) = d.status.switch.as_mut()
        && switch.kind == SwitchKind::Planned
        && before_promotion(switch)
        && switch.to == order.site
    {
        switch.kind = SwitchKind::Forced;
        switch.step = SwitchStep::StopApplication;
        switch.promoted_point = None;
        switch.cancelled = None;
    }
}

/// Whether nobody asks for the move any more. Once the role has moved nobody has to.
#[must_use]
pub fn withdrawn(d: &DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    let spec = &d.observed.pair.spec;
    let order = spec
        .promotion
        .as_ref()
        .filter(|order| order.site == switch.to);
    if switch.step == SwitchStep::Promote {
        let ordered = order.is_some_and(|order| order.epoch < switch.epoch);
        return !ordered && spec.primary != switch.to;
    }
    let ordered = order.is_some_and(|order| valid(d, order));
    let desired =
        spec.primary == switch.to && d.status.handled_primary.as_ref() != Some(&spec.primary);
    switch.step.is_before_promotion() && !ordered && !desired
}

/// Orders the new primary's mover to take the role, and goes on when its superblock says so.
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
    if mover.activity != Activity::Idle {
        let reason = "the site is being promoted".to_string();
        d.ask(&to, Request::Abort { reason });
    }
    let requested_primary = handled(d, switch).parse().unwrap_or_else(|_| to.clone());
    let peer_head = d.status.last_cut.as_ref().map(PointStatus::point);
    let order = PromoteRequest {
        epoch,
        generation,
        peer_head,
        requested_primary,
    };
    d.ask(&to, Request::Promote(order));
    d.wait(format!("site {to} to record epoch {epoch}"));
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
        "the image at site {} is not complete, or an old primary's, so it can't be promoted: withdraw the request, and it is fixed by the \
         next cycle; or restore the newest snapshot of that site by hand",
        switch.to
    );
    d.trouble(Reason::NoCommittedPoint, why.clone());
    d.wait(why);
}

/// The request that counts as handled once the role is moved: an explicit promotion handles no manifest.
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
