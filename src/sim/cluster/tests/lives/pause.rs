//! `spec.paused`: no new cycle begins, and the primary role can still be moved.

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::{SITES, World};
use api::v1alpha1::CyclePhase;
use api::{Reason, conditions};
use planner::decide::{Action, Barred};
use protocol::units::Point;

fn paused(seed: u64) -> World {
    let mut world = World::at_rest(seed, |_| {});
    world.app_writes();
    world.edit(|spec| spec.paused = true);
    world
}

fn works(action: &Action) -> bool {
    matches!(action, Action::Cut(_) | Action::Ship(_) | Action::Verify(_))
}

#[test]
fn a_paused_pair_begins_no_cycle_however_due_it_is_and_goes_on_when_it_is_resumed() {
    let mut world = paused(1);
    world.edit(|spec| {
        spec.sync_trigger = Some("now".into());
        spec.verify_trigger = Some("now".into());
    });
    let before = world.begun.len();
    for _ in 0..5 {
        world.pass_seconds(3600);
        world.steps(40);
    }
    let after = &world.begun[before..];
    assert!(!after.iter().any(works), "{after:?}");
    let movers = [EAST, WEST].map(|at| world.mover_pod(at));
    assert_eq!(movers, [None, None], "movers run for nothing");
    assert_eq!(world.think().barred, Some(Barred::Paused));
    let paused = ("False".to_string(), Reason::Paused.to_string());
    assert_eq!(world.condition(conditions::REPLICATING), paused);
    assert_eq!(world.condition(conditions::READY), paused);
    world.edit(|spec| spec.paused = false);
    world.until("the next commit", |world| {
        world.committed() == Some(Point::new(1, 2))
    });
    world.rests();
    assert_eq!(world.condition(conditions::REPLICATING).0, "True");
}

#[test]
fn a_cycle_that_runs_when_the_pair_is_paused_is_finished() {
    let mut world = World::applied(2, |_| {});
    world.until_phase(&CyclePhase::Shipping);
    world.edit(|spec| spec.paused = true);
    world.until("the commit", |world| {
        world.committed() == Some(Point::new(1, 1))
    });
}

#[test]
fn the_role_of_a_paused_pair_can_be_moved_without_loss() {
    let mut world = paused(3);
    world.edit(|spec| spec.primary = SITES[WEST].into());
    world.until_led_by(WEST);
    assert_eq!(world.status().clone().switch.unwrap().loss, None);
    assert!(
        world.cuts_asked(EAST).contains(&Point::new(1, 2)),
        "a planned change ships its last cut"
    );
    let before = world.begun.len();
    world.pass_seconds(7200);
    world.steps(100);
    assert!(
        !world.begun[before..].iter().any(works),
        "it is paused still"
    );
}

#[test]
fn a_paused_pair_is_promoted_by_force() {
    let mut world = paused(4);
    world.force(WEST);
    world.until_led_by(WEST);
    assert_eq!(world.status().epoch, Some(2));
}
