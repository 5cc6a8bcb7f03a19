//! Moves of the primary role that people ask for.

use crate::cluster::server::pod_using;
use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::tests::role_change::STEPS;
use crate::cluster::world::{APP_CLAIM, APP_POD, SITES, World};
use api::Reason;
use api::v1alpha1::{Mode, PromotionKind, SwitchStep};
use planner::decide::Action;
use protocol::units::{Epoch, Point};
use std::collections::BTreeSet;
use wire::control::Request;

fn pair(seed: u64) -> World {
    World::at_rest(seed, |_| {})
}

fn ask_for(world: &mut World, at: usize) {
    world.edit(|spec| spec.primary = SITES[at].into());
}

#[test]
fn a_planned_switch_ships_a_last_cut_of_the_stopped_volume_and_follows_by_delta() {
    let mut world = pair(1);
    world.app_writes();
    ask_for(&mut world, WEST);
    world.until_led_by(WEST);
    world.rests();
    let status = world.status().clone();
    assert_eq!((status.epoch, world.app_is_at()), (Some(2), Some(WEST)));
    assert_eq!(status.switch.unwrap().step, SwitchStep::Done);
    let clean_at = world.requests().find_map(|(_, request)| match request {
        Request::Demote(request) => Some(request.clean_at),
        _ => None,
    });
    assert_eq!(clean_at, Some(Some(Point::new(1, 2))));
    let at = |what: fn(&Action) -> bool| world.begun.iter().position(what).unwrap();
    let stopped = at(|action| matches!(action, Action::Scale { replicas: 0, .. }));
    let cut =
        at(|action| matches!(action, Action::Cut(request) if request.point == Point::new(1, 2)));
    assert!(
        cut > stopped,
        "the last cut was taken while the application ran"
    );
    world.app_writes();
    world.cycle_now();
    let last = world.ships().pop().unwrap();
    assert_eq!(last.source.as_str(), SITES[WEST]);
    assert_eq!(last.base.unwrap().0, Point::new(1, 2));
    assert_eq!(world.committed().unwrap().epoch, Epoch(2));
}

#[test]
fn a_switch_resumes_wherever_the_operator_dies() {
    let mut world = pair(2);
    for step in STEPS.into_iter().chain([SwitchStep::Release]) {
        world.app_writes();
        world.begun.clear();
        let to = 1 - world.leads();
        ask_for(&mut world, to);
        world.until(&format!("step {step}"), |world| {
            let switch = world.status().clone().switch;
            switch.is_some_and(|switch| switch.step == step)
        });
        world.restart();
        world.until_led_by(to);
        assert_eq!(world.app_is_at(), Some(to), "restarted at {step}");
        let promotions = world.requests().filter_map(|(_, request)| match request {
            Request::Promote(request) => Some((request.epoch, request.generation)),
            _ => None,
        });
        let promotions: BTreeSet<_> = promotions.collect();
        assert_eq!(promotions.len(), 1, "an epoch with two identities");
        // The side that follows commits in the new epoch.
        world.commit_something();
    }
}

#[test]
fn the_same_manifest_applied_again_moves_nothing() {
    let mut world = pair(3);
    world.promote(WEST, PromotionKind::Planned);
    world.until_led_by(WEST);
    // The manifest in the repository still says east, and is applied again.
    for _ in 0..3 {
        world.edit(|_| {});
        world.pass_seconds(60);
        world.steps(60);
        assert!(world.leads() == WEST && !world.is_moving());
    }
    // Corrected first, and only then changed: that is a request.
    ask_for(&mut world, WEST);
    world.steps(60);
    ask_for(&mut world, EAST);
    world.until_led_by(EAST);
}

/// A snapshot of the standby that is cut only after the promotion holds what the application has written since:
/// it counts for nothing, and is deleted.
#[test]
fn a_snapshot_that_is_cut_after_the_promotion_is_no_snapshot_of_its_point() {
    let mut world = pair(6);
    let stopped = &mut world.server.health.snapshotter_stopped;
    stopped.insert(format!("{}.csi", SITES[WEST]));
    world.app_writes();
    world.ask_for_cycle();
    let point = Point::new(1, 2);
    world.until("the standby's snapshot to be asked for", |world| {
        world.storage_cuts(WEST).contains_key(&point)
    });
    world.force(WEST);
    world.until_led_by(WEST);
    world.app_writes();
    world.heal();
    let late = |world: &World| world.storage_cuts(WEST).get(&point).copied();
    world.until("the late cut", |world| late(world) == Some(true));
    world.until("it to go", |world| late(world).is_none());
    world.discard(EAST, 2);
    world.commit_something();
}

#[test]
fn a_request_for_another_epoch_is_void() {
    let mut world = pair(4);
    world.promote_in(WEST, PromotionKind::Forced, 7);
    world.until_refused(&Reason::ConsentForOtherEpoch);
    world.steps(100);
    assert!(world.leads() == EAST && !world.is_moving());
}

/// K-7: what is wrong otherwise bars a planned change, and never a forced promotion.
#[test]
fn k_7_a_spec_that_fails_bars_no_forced_promotion() {
    let mut world = pair(5);
    world.edit(|spec| spec.snapshot.interval = "soon".into());
    world.promote(WEST, PromotionKind::Planned);
    world.steps(100);
    assert!(!world.is_moving(), "a planned change has begun");
    world.force(WEST);
    world.until_led_by(WEST);
}

#[test]
fn k_7_what_is_wrong_with_the_pair_itself_bars_a_forced_promotion() {
    let mut world = pair(7);
    world.edit(|spec| spec.mode = Mode::Journal);
    world.force(WEST);
    world.steps(100);
    assert!(world.leads() == EAST && !world.is_moving());
}

#[test]
fn a_site_without_a_committed_point_is_never_promoted() {
    let mut world = World::applied(8, |_| {});
    world.server.health.snapshot_error = Some("no".into());
    world.until("its epoch", |world| world.status().epoch.is_some());
    for kind in [PromotionKind::Planned, PromotionKind::Forced] {
        world.promote(WEST, kind);
        world.until_refused(&Reason::NoCommittedPoint);
    }
    assert!(!world.is_moving() && world.leads() == EAST);
}

#[test]
fn after_a_forced_failover_the_old_side_is_left_alone_until_there_is_consent() {
    let mut world = pair(9);
    world.app_writes();
    world.force(WEST);
    world.until_led_by(WEST);
    world.rests();
    let loss = world.status().clone().switch.unwrap().loss.unwrap();
    assert!(loss.contains("1.1"), "{loss}");
    assert!(world.is_diverged(EAST));
    world.begun.clear();
    world.pass_seconds(300);
    world.steps(60);
    // Consent for an older epoch is void.
    world.discard(EAST, 1);
    world.ask_for_cycle();
    world.steps(60);
    assert_eq!(world.ships(), [], "overwritten without consent");
    world.discard(EAST, 2);
    world.until("the next commit", |world| world.committed().is_some());
    let plan = world.ships().pop().unwrap();
    assert_eq!(plan.consent, Some(Epoch(2)));
    assert!(
        plan.base.is_err(),
        "a delta does not know what the old side wrote"
    );
    assert!(!world.is_diverged(EAST));
    world.promote(EAST, PromotionKind::Planned);
    world.until_led_by(EAST);
    assert_eq!(world.status().epoch, Some(3));
}

#[test]
fn a_planned_switch_waits_for_pods_by_name_and_can_be_withdrawn() {
    let mut world = pair(10);
    world.edit(|spec| spec.application = None);
    world.server.workload = None;
    world.server.delete_pod(APP_POD, None);
    world.server.put_pod(pod_using("shell", APP_CLAIM)).unwrap();
    world.steps(60);
    ask_for(&mut world, WEST);
    world.until("the wait", |world| {
        let waiting = world.status().clone().waiting;
        waiting.is_some_and(|wait| wait.what.contains("shell"))
    });
    ask_for(&mut world, EAST);
    world.until("the end", |world| {
        world.status().clone().switch.unwrap().step == SwitchStep::Cancelled
    });
    assert_eq!(world.status().epoch, Some(1));
    let promotes = |request: &Request| matches!(request, Request::Promote(_));
    assert!(!world.requests().any(|(_, request)| promotes(request)));
}

#[test]
fn a_snapshot_that_hangs_is_deleted_once_the_driver_has_answered() {
    let mut world = pair(11);
    world.server.health.snapshotter_stopped = ["west.csi".into()].into();
    world.app_writes();
    world.ask_for_cycle();
    let late = Point::new(1, 2);
    world.until("the snapshot", |world| world.cuts_at(WEST).contains(&late));
    world.force(WEST);
    world.until_led_by(WEST);
    world.discard(EAST, 2);
    world.steps(100);
    assert!(
        world.cuts_at(WEST).contains(&late),
        "deleted while the driver makes it"
    );
    world.heal();
    world.app_writes();
    world.ask_for_cycle();
    world.until("the end of it", |world| {
        !world.cuts_at(WEST).contains(&late)
    });
    world.until("a commit in the new epoch", |world| {
        world
            .committed()
            .is_some_and(|point| point.epoch == Epoch(2))
    });
}
