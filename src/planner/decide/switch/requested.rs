//! Which role change is asked for, whether it may begin, and whether it is still asked for.
//!
//! A Promotion counts in the epoch that it names and in no other. `spec.primary` counts when it *changes*:
//! which value was handled last is recorded, with the data too, so that a manifest that is applied again
//! never moves the role back.

use crate::decide::DecisionBuilder;
use crate::mutations::Rule;
use crate::observe::Application;
use crate::requests::{Answer, Roles, Standing, standings};
use crate::validate::{Problem, interval};
use api::v1alpha1::{PromotionKind, RequestStatus, SwitchKind, SwitchStatus, SwitchStep};
use api::{Promotion, Reason};

/// The move that is asked for now and may begin, with its epoch and generation drawn.
#[must_use]
pub fn wanted(d: &mut DecisionBuilder<'_>) -> Option<SwitchStatus> {
    let primary = d.status.primary.clone()?;
    match counting(d) {
        Some((request, Standing::Begins)) => by_request(d, primary, request),
        _ => by_spec_change(d, primary),
    }
}

/// The move that a promotion asks for.
fn by_request(
    d: &mut DecisionBuilder<'_>,
    primary: String,
    request: &Promotion,
) -> Option<SwitchStatus> {
    let (to, kind) = (&request.spec.site, request.spec.kind);
    let held = barring(d, kind).map(Answer::Held);
    let refused = || refusal(d, to, kind).or_else(|| loss_too_large(d, request));
    d.answer = held.or_else(|| refused().map(Answer::Refused));
    let asked = Some(RequestStatus::of(&request.metadata));
    let begun = begin(d, primary, to.clone(), kind, asked);
    d.answer.is_none().then_some(begun)
}

/// The move that a change of `spec.primary` asks for.
fn by_spec_change(d: &mut DecisionBuilder<'_>, primary: String) -> Option<SwitchStatus> {
    let kind = PromotionKind::Planned;
    let to = by_manifest(d, &primary)?;
    if barring(d, kind).is_some() {
        return None;
    }
    d.refused = refusal(d, &to, kind);
    let begun = begin(d, primary, to, kind, None);
    d.refused.is_none().then_some(begun)
}

/// The promotion that counts, if any does, and what it is.
fn counting<'a>(d: &DecisionBuilder<'a>) -> Option<(&'a Promotion, Standing)> {
    let observed = d.observed;
    let names = observed.sites.iter().map(|site| site.name.as_str());
    let roles = Roles::of(&d.status, names, observed.rules())?;
    let standings = standings(&observed.promotions, &roles);
    let mut all = observed.promotions.iter().zip(standings);
    all.find(|(_, standing)| {
        matches!(
            standing,
            Standing::Begins | Standing::Joins | Standing::Escalates
        )
    })
}

/// Where the manifest wants the role to be, when that has changed.
fn by_manifest(d: &mut DecisionBuilder<'_>, primary: &str) -> Option<String> {
    let spec = &d.observed.pair.spec;
    cancelled_before(d);
    let changed = d.status.handled_primary.as_ref() != Some(&spec.primary)
        || d.observed.rules().breaks(Rule::ManifestMovesTheRole);
    if !changed {
        return None;
    }
    // A change that was not made yet is reported, and not the one before it.
    d.refused = None;
    if spec.primary == primary {
        d.status.handled_primary = Some(primary.to_string());
        return None;
    }
    let mut sites = d.observed.sites.iter();
    let known = sites.any(|site| site.name.as_str() == spec.primary);
    known.then(|| spec.primary.clone())
}

/// A change that Ferry has cancelled by itself is not tried again, and that is reported.
fn cancelled_before(d: &mut DecisionBuilder<'_>) {
    let spec = &d.observed.pair.spec;
    let switch = d.status.switch.as_ref();
    let Some(switch) = switch.filter(|s| s.step == SwitchStep::Cancelled) else {
        return;
    };
    let stands = match &switch.request {
        Some(request) => object(d, request).is_some_and(|one| !one.spec.cancel),
        None => {
            d.status.primary.as_ref() != Some(&spec.primary)
                && d.status.handled_primary.as_ref() == Some(&spec.primary)
        }
    };
    if let Some(why) = switch.cancelled.clone().filter(|_| stands) {
        d.refused = Some(Problem::new(
            Reason::RoleChangeCancelled,
            format!(
                "the last move of the role was cancelled: {why}. Ask for it again when that is fixed"
            ),
        ));
    }
}

/// What is wrong with the pair, where that bars a move of this kind.
fn barring(d: &DecisionBuilder<'_>, kind: PromotionKind) -> Option<Problem> {
    let bars =
        |problem: &&Problem| kind == PromotionKind::Planned || problem.bars_forced_promotion();
    d.validated.problem().filter(bars).cloned()
}

/// An image that was never complete is never promoted, nor one with writes of its own.
fn refusal(d: &DecisionBuilder<'_>, to: &str, kind: PromotionKind) -> Option<Problem> {
    let diverged = d
        .status
        .sites
        .iter()
        .any(|site| site.name == to && site.diverged);
    if diverged {
        return Some(Problem::new(
            Reason::Diverged,
            format!(
                "site {to} holds writes of an older epoch that nobody else has; it follows again once a Resync \
                 allows to discard them, and can be promoted after that"
            ),
        ));
    }
    if d.status.committed_point.is_none() {
        return Some(Problem::new(
            Reason::NoCommittedPoint,
            format!(
                "site {to} has no committed point yet, and an empty volume is never promoted: wait for the \
                 first cycle to be committed"
            ),
        ));
    }
    claims_go(d, kind)
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

/// What the standby holds is older than whoever asks for a forced move has accepted.
fn loss_too_large(d: &DecisionBuilder<'_>, request: &Promotion) -> Option<Problem> {
    let accepted = interval(request.spec.accept_loss_of.as_deref()?)?;
    let age = d.status.standby_as_of();
    let age = age.map(|cut| d.observed.now.duration_since(cut.0));
    if age.is_some_and(|age| age <= accepted) {
        return None;
    }
    let age = age.map_or("of an unknown age".to_string(), |age| {
        format!("{} s old", age.as_secs())
    });
    Some(Problem::new(
        Reason::LossTooLarge,
        format!(
            "what the standby holds is {age}, and the request accepts the loss of {} s: nothing was moved",
            accepted.as_secs()
        ),
    ))
}

fn begin(
    d: &DecisionBuilder<'_>,
    from: String,
    to: String,
    kind: PromotionKind,
    request: Option<RequestStatus>,
) -> SwitchStatus {
    SwitchStatus {
        kind: kind.into(),
        request,
        from,
        to,
        epoch: i64::try_from(d.epoch().next().0).unwrap_or(i64::MAX),
        generation: d.observed.fresh.generation.to_string(),
        ..SwitchStatus::at(SwitchStep::StopApplication, d.now())
    }
}

/// A newer request for the move that is under way takes it over, and a forced one makes it a forced one.
pub fn join(d: &mut DecisionBuilder<'_>) {
    let Some((one, standing)) = counting(d) else {
        return;
    };
    let escalates = standing == Standing::Escalates;
    if let Some(refused) = loss_too_large(d, one).filter(|_| escalates) {
        d.answer = Some(Answer::Refused(refused));
        return;
    }
    let Some(switch) = d.status.switch.as_mut() else {
        return;
    };
    switch.request = Some(RequestStatus::of(&one.metadata));
    if escalates {
        switch.kind = SwitchKind::Forced;
        switch.step = SwitchStep::StopApplication;
        switch.promoted_point = None;
        switch.cancelled = None;
    }
}

/// A request that was cancelled while the manifest asks for the same is not what the move is for.
pub fn detach(d: &mut DecisionBuilder<'_>) {
    let Some(switch) = d.status.switch.clone() else {
        return;
    };
    let cancelled = switch.request.as_ref();
    let cancelled = cancelled.is_some_and(|request| is_cancelled(d, request));
    if cancelled
        && switch.cancelled.is_none()
        && by_spec(d, &switch)
        && let Some(switch) = d.status.switch.as_mut()
    {
        switch.request = None;
    }
}

/// Whether nobody asks for the move any more. Once the role has moved nobody has to.
#[must_use]
pub fn withdrawn(d: &DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    let early = switch.step.is_before_promotion() || switch.step == SwitchStep::Promote;
    let asked = match &switch.request {
        Some(request) => switch.cancelled.is_none() && !is_cancelled(d, request),
        None => false,
    };
    early && !asked && !by_spec(d, switch)
}

/// Whether the manifest asks for the move.
fn by_spec(d: &DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    let primary = &d.observed.pair.spec.primary;
    let new = d.status.handled_primary.as_ref() != Some(primary);
    *primary == switch.to && (new || switch.step == SwitchStep::Promote)
}

/// Whether whoever made this request has taken it back. Its deletion says nothing.
fn is_cancelled(d: &DecisionBuilder<'_>, request: &RequestStatus) -> bool {
    let deletion = d.observed.rules().breaks(Rule::DeletionCancels);
    object(d, request).map_or(deletion, |one| one.spec.cancel)
}

fn object<'a>(d: &DecisionBuilder<'a>, request: &RequestStatus) -> Option<&'a Promotion> {
    let all = d.observed.promotions.iter();
    let same = |one: &&Promotion| one.metadata.uid.as_ref() == Some(&request.uid);
    all.into_iter().find(same)
}
