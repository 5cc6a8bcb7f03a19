//! Hooks round a cut: the application is held for it, and for no longer than it must be.

use crate::cluster::tests::play::EAST;
use crate::cluster::world::World;
use api::Reason;
use api::v1alpha1::{HookSpec, ReplicationPairSpec};
use planner::decide::Action;
use protocol::units::Point;

/// A hook in whatever uses the claim.
pub(super) fn hooks(spec: &mut ReplicationPairSpec) {
    let hook = serde_json::json!({"name": "lock", "pre": ["lock"], "post": ["unlock"]});
    let hook: HookSpec = serde_json::from_value(hook).unwrap();
    spec.quiesce.hooks = vec![hook];
}

/// `pre` and `post` as they ran.
fn ran(world: &World) -> Vec<&'static str> {
    let ran = world.begun.iter().filter_map(|action| match action {
        Action::Hold(_) => Some("pre"),
        Action::Release(_) => Some("post"),
        _ => None,
    });
    ran.collect()
}

/// A pair at rest whose application is there to be held.
fn pair(seed: u64) -> World {
    World::at_rest(seed, hooks)
}

#[test]
fn the_cut_is_taken_while_the_application_is_held() {
    let mut world = pair(1);
    world.begun.clear();
    world.app_writes();
    world.ask_for_cycle();
    world.until("the hold", World::app_is_held);
    world.until("the cut", |world| {
        world
            .storage_cuts(EAST)
            .get(&Point::new(1, 2))
            .is_some_and(|cut| *cut)
    });
    assert!(world.app_is_held(), "released before the cut");
    world.until("the commit", |world| {
        world.committed() == Some(Point::new(1, 2))
    });
    assert_eq!(ran(&world), ["pre", "post"]);
    assert!(!world.app_is_held());
}

#[test]
fn post_runs_once_pre_was_tried_also_when_the_operator_restarts_in_between() {
    let mut world = pair(2);
    // The moments at which it ends: before and after each of its first actions.
    for dies_at in 0..6 {
        world.begun.clear();
        let from = world.committed();
        world.app_writes();
        world.ask_for_cycle();
        world.until("its end", |world| world.begun.len() >= dies_at);
        world.restart();
        world.until("the commit", |world| world.committed() > from);
        world.rests();
        let ran = ran(&world);
        assert!(ran.contains(&"pre"));
        assert_eq!(
            ran.last(),
            Some(&"post"),
            "restarted after {dies_at} actions, the application is held for ever: {ran:?}"
        );
        assert!(!world.app_is_held());
    }
}

/// K-13: which pods are held is known from the status alone: without it all of them are released at once.
#[test]
fn whoever_is_held_is_released_though_the_status_was_wiped() {
    let mut world = pair(4);
    world.server.health.snapshot_error = Some("no space".into());
    world.app_writes();
    world.ask_for_cycle();
    world.until("the hold", World::app_is_held);
    world.begun.clear();
    let held_at = world.server.now();
    world.wipe();
    world.until("the release", |world| !world.app_is_held());
    assert!(world.server.now().duration_since(held_at).as_secs() < 10);
    assert_eq!(ran(&world), ["post"]);
    world.heal();
    let from = world.committed();
    world.until("the next commit", |world| world.committed() > from);
}

#[test]
fn a_cut_of_an_application_that_had_to_be_let_go_is_not_used() {
    let mut world = pair(3);
    world.server.health.snapshot_error = Some("no space".into());
    world.begun.clear();
    world.app_writes();
    world.ask_for_cycle();
    world.until("the failure", |world| {
        world.status().last_failure.is_some() && world.status().cycle.is_none()
    });
    assert_eq!(ran(&world), ["pre", "post"]);
    let failure = world.status().clone().last_failure.unwrap();
    assert_eq!(failure.reason, Reason::SnapshotFailed);
    world.heal();
    world.until("the next commit", |world| {
        world.committed() > Some(Point::new(1, 1))
    });
    assert!(
        world.committed() > Some(Point::new(1, 2)),
        "the number of the bad cut was used again"
    );
}

/// Of a first copy whose cuts come too late no more than the last few are left over, however
/// often it is tried.
#[test]
fn abandoned_first_cuts_do_not_pile_up() {
    let mut world = World::applied(5, |spec| {
        hooks(spec);
        spec.snapshot.interval = "5m".into();
    });
    for failures in 1..=10 {
        let stopped = &mut world.server.health.snapshotter_stopped;
        stopped.insert("east.csi".into());
        world.until("a failed cycle", |world| {
            let failure = world.status().last_failure.as_ref();
            failure.is_some_and(|failure| failure.attempts >= failures)
        });
        let left = world.storage_cuts(EAST).len();
        assert!(left <= 2, "{left} after {failures} cycles");
        world.heal();
        world.until("the late cut", |world| {
            world.storage_cuts(EAST).values().all(|cut| *cut)
        });
    }
    world.until("the first copy", |world| world.committed().is_some());
}
