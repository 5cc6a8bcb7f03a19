//! Every set of up to three requests, in every state of the pair, against an obvious reading of the rules;
//! and what is written about each.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::{Decision, decide};
use crate::mutations::Rules;
use crate::observe::Observed;
use crate::observe::samples::{at_rest, promotion};
use crate::requests::{Roles, Standing, What, Write, standings};
use crate::validate::validate;
use api::conditions::{self, Holds};
use api::v1alpha1::{
    PairReference, PromotionKind, PromotionStatus, RequestStatus, ResyncSpec, ResyncStatus,
    SiteStatus, SwitchKind, SwitchStatus, SwitchStep,
};
use api::{Promotion, Reason, Resync};

const KINDS: [PromotionKind; 2] = [PromotionKind::Planned, PromotionKind::Forced];

/// Ends a promotion, or marks it as one that counts.
fn mark(one: &mut Promotion, kind: &str, holds: Holds) {
    let now = Time(at_rest().now);
    let status = one.status.get_or_insert_with(PromotionStatus::default);
    let verdict = (kind, holds, Reason::Following.as_str(), "");
    conditions::set(&mut status.conditions, None, &now, verdict);
}

/// Every kind of request that may be there, made so many seconds after the first.
fn every(name: &str, seconds: i64) -> Vec<Promotion> {
    let mut all = Vec::new();
    for kind in KINDS {
        let plain = promotion(name, seconds, kind);
        let with = |change: fn(&mut Promotion)| {
            let mut one = plain.clone();
            change(&mut one);
            one
        };
        all.extend([
            plain.clone(),
            with(|one| one.spec.epoch = 2),
            with(|one| one.spec.cancel = true),
            with(|one| one.spec.site = "east".into()),
            with(|one| mark(one, conditions::SUCCEEDED, Holds::False)),
        ]);
    }
    all
}

/// Every role change that may be recorded, begun for any of these requests.
fn every_switch(requests: &[&Promotion]) -> Vec<Option<SwitchStatus>> {
    let deleted = promotion("deleted", 1, PromotionKind::Planned);
    let made = requests.iter().copied().chain([&deleted]);
    let mut asked: Vec<_> = made
        .map(|one| Some(RequestStatus::of(&one.metadata)))
        .collect();
    asked.push(None);
    let now = Time(at_rest().now);
    let mut all = vec![None];
    for request in asked {
        for kind in [SwitchKind::Planned, SwitchKind::Forced] {
            for (step, finished, cancelled) in [
                (SwitchStep::Ship, false, false),
                (SwitchStep::Unpark, false, true),
                (SwitchStep::Promote, false, false),
                (SwitchStep::Cancelled, true, true),
            ] {
                all.push(Some(SwitchStatus {
                    kind: kind.clone(),
                    request: request.clone(),
                    from: "east".into(),
                    to: "west".into(),
                    epoch: 2,
                    finished_at: finished.then(|| now.clone()),
                    cancelled: cancelled.then(|| "why".to_string()),
                    ..SwitchStatus::at(step, now.clone())
                }));
            }
        }
    }
    all
}

fn roles(switch: Option<&SwitchStatus>) -> Roles<'_> {
    Roles {
        epoch: 1,
        primary: "east",
        standby: "west",
        switch,
        rules: Rules::default(),
    }
}

/// Which request does anything now, and what: read from the rules one after the other.
fn expected(all: &[Promotion], switch: Option<&SwitchStatus>) -> Option<(String, Standing)> {
    let recorded = switch.and_then(|switch| switch.request.clone());
    let mut newest: Vec<&Promotion> = all.iter().collect();
    newest.sort_by_key(|one| one.metadata.creation_timestamp.clone());
    while let Some(one) = newest.pop() {
        let ended = one.status.is_some();
        let own = recorded
            .as_ref()
            .is_some_and(|r| Some(&r.uid) == one.metadata.uid.as_ref());
        let orphan = switch.filter(|switch| {
            let there = |r: &RequestStatus| {
                all.iter()
                    .any(|one| one.metadata.uid.as_ref() == Some(&r.uid))
            };
            let gone = recorded.as_ref().is_some_and(|r| !there(r));
            gone && switch.finished_at.is_none() && switch.kind == SwitchKind::from(one.spec.kind)
        });
        let cancelled = one.spec.cancel && orphan.is_none();
        if ended || own || one.spec.epoch != 1 || one.spec.site != "west" || cancelled {
            continue;
        }
        if recorded
            .as_ref()
            .is_some_and(|r| r.created_at > one.metadata.creation_timestamp)
        {
            return None;
        }
        let name = one.metadata.name.clone()?;
        let forced = one.spec.kind == PromotionKind::Forced;
        let Some(switch) = switch.filter(|switch| switch.finished_at.is_none()) else {
            return Some((name, Standing::Begins));
        };
        let standing = match (&switch.kind, &switch.step, forced) {
            (SwitchKind::Planned, SwitchStep::Ship | SwitchStep::Unpark, true) => {
                Standing::Escalates
            }
            (_, SwitchStep::Unpark, _) => return None,
            (SwitchKind::Forced, _, false) => return None,
            _ => Standing::Joins,
        };
        return Some((name, standing));
    }
    None
}

fn acting(all: &[Promotion], switch: Option<&SwitchStatus>) -> Vec<(String, Standing)> {
    let acts = |standing: &Standing| {
        matches!(
            standing,
            Standing::Begins | Standing::Joins | Standing::Escalates
        )
    };
    let standings = standings(all, &roles(switch));
    let all = all.iter().zip(standings);
    let acting = all.filter(|(_, standing)| acts(standing));
    acting
        .map(|(one, standing)| (one.metadata.name.clone().unwrap(), standing))
        .collect()
}

#[test]
fn the_newest_that_nobody_has_cancelled_counts_and_no_other() {
    let mut seen = 0;
    for one in every("a", 0) {
        for two in every("b", 2) {
            for three in every("c", 4) {
                for switch in every_switch(&[&one, &two, &three]) {
                    let all = [one.clone(), two.clone(), three.clone()];
                    let acting = acting(&all, switch.as_ref());
                    let expected: Vec<_> = expected(&all, switch.as_ref()).into_iter().collect();
                    assert_eq!(acting, expected, "{all:?} {switch:?}");
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 41_000);
}

#[test]
fn the_request_in_which_requests_are_listed_says_nothing() {
    for (one, two) in every("a", 0).into_iter().zip(every("b", 0)) {
        for switch in every_switch(&[&one, &two]) {
            let there = acting(&[one.clone(), two.clone()], switch.as_ref());
            let back = acting(&[two.clone(), one.clone()], switch.as_ref());
            assert_eq!(there, back, "{switch:?}");
        }
    }
}

/// Absence or deletion of a request is never a request: whatever is deleted, nothing older comes back
/// once a newer one was followed.
#[test]
fn nothing_older_counts_once_a_newer_one_is_deleted() {
    let deleted = promotion("deleted", 1, PromotionKind::Planned);
    for switch in every_switch(&[&deleted]).into_iter().flatten() {
        let by_deleted = switch.request == Some(RequestStatus::of(&deleted.metadata));
        for older in every("a", 0).into_iter().filter(|_| by_deleted) {
            assert_eq!(acting(&[older], Some(&switch)), [], "{switch:?}");
        }
    }
}

fn decided(observed: &Observed) -> Decision {
    decide(observed, &validate(observed))
}

/// Whether a promotion has succeeded by what is written about it, and the reason.
fn answer(decision: &Decision, name: &str) -> Option<(String, String)> {
    let mut all = decision.requests.promotions.iter();
    let What::Status(status) = &all.find(|one| one.name == name)?.what else {
        return None;
    };
    end(&status.conditions)
}

fn end(
    known: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
) -> Option<(String, String)> {
    let end = conditions::get(known, conditions::SUCCEEDED)?;
    Some((end.status.clone(), end.reason.clone()))
}

fn is(holds: Holds, reason: Reason) -> Option<(String, String)> {
    Some((holds.as_str().into(), reason.into()))
}

fn asked(promotions: Vec<Promotion>) -> Observed {
    Observed {
        promotions,
        ..at_rest()
    }
}

#[test]
fn whoever_asks_is_answered_in_the_same_reconcile() {
    let planned = || promotion("a", 0, PromotionKind::Planned);
    let going = is(Holds::Unknown, Reason::SwitchInProgress);
    assert_eq!(answer(&decided(&asked(vec![planned()])), "a"), going);
    let newer = promotion("b", 1, PromotionKind::Forced);
    let decision = decided(&asked(vec![newer, planned()]));
    let superseded = is(Holds::False, Reason::Superseded);
    assert_eq!(answer(&decision, "a"), superseded);
    assert_eq!(answer(&decision, "b"), going);
    let switch = decision.status.switch.unwrap();
    assert_eq!(switch.kind, SwitchKind::Forced);
    assert_eq!(switch.request.unwrap().name, "b");
    let mut other = planned();
    other.spec.epoch = 7;
    let void = is(Holds::False, Reason::ConsentForOtherEpoch);
    assert_eq!(answer(&decided(&asked(vec![other])), "a"), void);
    let mut cancelled = planned();
    cancelled.spec.cancel = true;
    let decision = decided(&asked(vec![cancelled]));
    assert!(decision.status.switch.is_none());
    assert_eq!(
        answer(&decision, "a"),
        is(Holds::False, Reason::CancelledByRequest)
    );
}

/// A change whose request a GitOps tool has pruned can be taken back, by a request that is made cancelled.
#[test]
fn a_change_whose_request_is_gone_can_be_cancelled() {
    let mut observed = asked(vec![promotion("a", 0, PromotionKind::Planned)]);
    let status = decided(&observed).status;
    assert!(status.switch.is_some());
    observed.pair.status = Some(status);
    let mut cancelled = promotion("b", 1, PromotionKind::Planned);
    cancelled.spec.cancel = true;
    // While the request itself is there, that one is to be cancelled.
    observed.promotions.push(cancelled);
    let decision = decided(&observed);
    let void = is(Holds::False, Reason::CancelledByRequest);
    assert_eq!(answer(&decision, "b"), void);
    assert_eq!(decision.status.switch.unwrap().cancelled, None);
    observed.promotions.remove(0);
    let switch = decided(&observed).status.switch.unwrap();
    assert_eq!(switch.request.unwrap().name, "b");
    assert!(switch.cancelled.is_some());
}

#[test]
fn what_can_be_fixed_holds_a_request_and_what_can_not_refuses_it() {
    let mut observed = asked(vec![promotion("a", 0, PromotionKind::Planned)]);
    observed.pair.spec.snapshot.interval = "soon".into();
    let held = is(Holds::Unknown, Reason::IntervalTooShort);
    assert_eq!(answer(&decided(&observed), "a"), held);
    let mut observed = asked(vec![promotion("a", 0, PromotionKind::Forced)]);
    observed.pair.status.as_mut().unwrap().committed_point = None;
    for site in &mut observed.sites {
        site.mover = None;
    }
    let refused = is(Holds::False, Reason::NoCommittedPoint);
    assert_eq!(answer(&decided(&observed), "a"), refused);
}

#[test]
fn more_than_what_was_accepted_is_not_lost() {
    let mut request = promotion("a", 0, PromotionKind::Forced);
    request.spec.accept_loss_of = Some("1m".into());
    let mut observed = asked(vec![request]);
    assert!(decided(&observed).status.switch.is_some());
    observed.now += jiff::SignedDuration::from_secs(61);
    let decision = decided(&observed);
    assert!(decision.status.switch.is_none());
    assert_eq!(
        answer(&decision, "a"),
        is(Holds::False, Reason::LossTooLarge)
    );
}

#[test]
fn the_last_ten_are_kept_and_nothing_that_goes_on_is_deleted() {
    let old = |at: i64, over: bool| {
        let mut one = promotion(&format!("p{at}"), at, PromotionKind::Planned);
        one.spec.epoch = 7;
        if over {
            mark(&mut one, conditions::SUCCEEDED, Holds::False);
        }
        one
    };
    let mut all: Vec<Promotion> = (1..13).map(|at| old(at, true)).collect();
    all.push(old(0, false));
    let deletes = |one: &&Write<PromotionStatus>| one.what == What::Delete;
    let decision = decided(&asked(all));
    let writes = decision.requests.promotions.iter();
    let deleted: Vec<&str> = writes
        .filter(deletes)
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(deleted, ["p1", "p2"]);
}

#[test]
fn a_request_goes_with_its_pair() {
    let mut one = promotion("a", 0, PromotionKind::Planned);
    one.metadata.owner_references = None;
    let decision = decided(&asked(vec![one]));
    assert_eq!(decision.requests.promotions[0].what, What::Own);
    let begun = decision.status.switch.is_some();
    assert!(begun, "a request counts whoever owns it");
}

#[test]
fn a_promotion_that_was_followed_ends_with_its_move() {
    let mut request = promotion("a", 0, PromotionKind::Planned);
    mark(&mut request, conditions::ACCEPTED, Holds::True);
    let mut observed = asked(vec![request.clone()]);
    let now = Time(observed.now);
    let mut switch = SwitchStatus {
        request: Some(RequestStatus::of(&request.metadata)),
        from: "east".into(),
        to: "west".into(),
        epoch: 2,
        finished_at: Some(now.clone()),
        cancelled: Some("step Ship stood still for 120 s".into()),
        ..SwitchStatus::at(SwitchStep::Cancelled, now)
    };
    let status = |observed: &mut Observed, switch: &SwitchStatus| {
        observed.pair.status.as_mut().unwrap().switch = Some(switch.clone());
    };
    status(&mut observed, &switch);
    let decision = decided(&observed);
    assert_eq!(
        answer(&decision, "a"),
        is(Holds::False, Reason::RoleChangeCancelled)
    );
    assert_eq!(
        decision.status.switch.as_ref(),
        Some(&switch),
        "not tried again"
    );
    // The record of a change that was begun is lost: it is not begun again.
    observed.pair.status.as_mut().unwrap().switch = None;
    let decision = decided(&observed);
    assert_eq!(
        answer(&decision, "a"),
        is(Holds::False, Reason::RoleChangeCancelled)
    );
    assert!(decision.status.switch.is_none());
    // It was carried out.
    (switch.step, switch.cancelled) = (SwitchStep::Done, None);
    status(&mut observed, &switch);
    let known = observed.pair.status.as_mut().unwrap();
    (known.epoch, known.primary) = (Some(2), Some("west".into()));
    for site in &mut observed.sites {
        site.mover = None;
    }
    let promoted = is(Holds::True, Reason::Promoted);
    assert_eq!(answer(&decided(&observed), "a"), promoted);
    observed.pair.status.as_mut().unwrap().switch = None;
    assert_eq!(
        answer(&decided(&observed), "a"),
        promoted,
        "by its own conditions"
    );
}

fn resync(site: &str, epoch: i64) -> Resync {
    let mut one = Resync::new(
        "r",
        ResyncSpec {
            pair_ref: PairReference {
                name: "orders".into(),
            },
            discard_site: site.into(),
            epoch,
        },
    );
    one.metadata = promotion("r", 0, PromotionKind::Planned).metadata;
    one
}

fn answer_to(observed: &Observed) -> Option<(String, String)> {
    let decision = decided(observed);
    let What::Status(status) = &decision.requests.resyncs.first()?.what else {
        return None;
    };
    end(&status.conditions)
}

#[test]
fn consent_is_for_what_is_there_to_discard_and_holds_although_it_is_deleted() {
    let with = |one: Resync, diverged: bool| {
        let mut observed = at_rest();
        observed.resyncs = vec![one];
        for site in &mut observed.sites {
            site.mover = None;
        }
        let status = observed.pair.status.as_mut().unwrap();
        status.sites[1].diverged = diverged;
        observed
    };
    let refused = |reason| is(Holds::False, reason);
    assert_eq!(
        answer_to(&with(resync("west", 1), false)),
        refused(Reason::NothingToDiscard)
    );
    assert_eq!(
        answer_to(&with(resync("east", 1), true)),
        refused(Reason::NothingToDiscard)
    );
    assert_eq!(
        answer_to(&with(resync("north", 1), true)),
        refused(Reason::SitesInvalid)
    );
    assert_eq!(
        answer_to(&with(resync("west", 2), true)),
        refused(Reason::ConsentForOtherEpoch)
    );
    let mut observed = with(resync("west", 1), true);
    assert_eq!(answer_to(&observed), is(Holds::Unknown, Reason::Following));
    let status = decided(&observed).status;
    assert_eq!(status.consent.as_ref().unwrap().request.name, "r");
    observed.pair.status = Some(status);
    observed.resyncs.clear();
    assert!(
        decided(&observed).status.consent.is_some(),
        "its deletion asks for nothing"
    );
    // It ends when the site follows, and not before a point of the epoch is committed there.
    let mut accepted = resync("west", 1);
    let mut known = ResyncStatus::default();
    let now = Time(observed.now);
    let verdict = (conditions::ACCEPTED, Holds::True, "Following", "");
    conditions::set(&mut known.conditions, None, &now, verdict);
    accepted.status = Some(known);
    observed.resyncs = vec![accepted];
    let status = observed.pair.status.as_mut().unwrap();
    status.sites[1].diverged = false;
    assert_eq!(answer_to(&observed), is(Holds::True, Reason::Discarded));
    observed.pair.status.as_mut().unwrap().committed_point = None;
    assert_eq!(answer_to(&observed), is(Holds::Unknown, Reason::Following));
}

/// K-1: a consent adopts another volume once, whatever becomes of its object.
#[test]
fn k_1_a_consent_adopts_once() {
    let mut observed = at_rest();
    observed.resyncs = vec![resync("east", 1)];
    let recorded = SiteStatus {
        name: "east".into(),
        driver: Some("d".into()),
        handle: Some("another".into()),
        ..SiteStatus::default()
    };
    observed.pair.status.as_mut().unwrap().sites[0] = recorded;
    let decision = decided(&observed);
    assert_eq!(decision.status.adopted_by.as_deref(), Some("uid-r"));
    assert_eq!(answer_to(&observed), is(Holds::True, Reason::VolumeAdopted));
    // Nobody has written that yet, and the volume is replaced once more.
    observed.pair.status = Some(decision.status);
    let sites = &mut observed.pair.status.as_mut().unwrap().sites;
    sites[0].handle = Some("a third".into());
    let problem = validate(&observed).problem().cloned();
    assert_eq!(problem.unwrap().reason, Reason::VolumeReplaced);
}
