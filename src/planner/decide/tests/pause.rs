//! `spec.paused`: no new cycle begins, and the primary role can still be moved.

use super::world::{SPEC, World, epoch};
use crate::decide::{Action, Barred};
use crate::publish::conditions;
use crate::validate::validate;
use api::v1alpha1::{CyclePhase, Promotion, PromotionKind};
use api::{Reason, conditions as kinds};
use protocol::units::{Epoch, Point};

fn paused() -> World {
    let mut world = World::new(SPEC);
    world.replicas = Some(1);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    world.pair.spec.paused = true;
    world
}

/// The condition `kind` as it is published now: whether it holds, and why.
fn verdict(world: &mut World, kind: &str) -> (String, String) {
    let mut decision = world.think();
    let observed = world.observed();
    conditions(&observed, &validate(&observed), &mut decision);
    let condition = kinds::get(&decision.status.conditions, kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

#[test]
fn a_paused_pair_begins_no_cycle_however_due_it_is_and_goes_on_when_it_is_resumed() {
    let mut world = paused();
    world.pair.spec.sync_trigger = Some("now".into());
    world.pair.spec.verify_trigger = Some("now".into());
    let before = world.log.len();
    for _ in 0..5 {
        world.pass(600);
        world.settle();
    }
    let work =
        |action: &Action| matches!(action, Action::Cut(_) | Action::Ship(_) | Action::Verify(_));
    assert!(
        !world.log[before..].iter().any(work),
        "{:?}",
        &world.log[before..]
    );
    assert!(
        world.sides.values().all(|side| side.pod.is_none()),
        "movers run for nothing"
    );
    assert_eq!(world.think().barred, Some(Barred::Paused));
    let paused = ("False".to_string(), Reason::Paused.to_string());
    assert_eq!(verdict(&mut world, kinds::REPLICATING), paused);
    assert_eq!(verdict(&mut world, kinds::READY), paused);
    world.pair.spec.paused = false;
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 2)));
    assert_eq!(verdict(&mut world, kinds::REPLICATING).0, "True");
}

#[test]
fn a_cycle_that_runs_when_the_pair_is_paused_is_finished() {
    let mut world = World::new(SPEC);
    world.ship_held = true;
    world.settle();
    assert_eq!(world.status().cycle.unwrap().phase, CyclePhase::Shipping);
    world.pair.spec.paused = true;
    world.settle();
    world.ship_held = false;
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
}

#[test]
fn the_role_of_a_paused_pair_can_be_moved_without_loss() {
    let mut world = paused();
    world.pair.spec.primary = "west".into();
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("west"));
    assert_eq!(world.status().switch.unwrap().loss, None);
    let last = Point::new(1, 2);
    let cut = |action: &Action| matches!(action, Action::Cut(cut) if cut.point == last);
    assert!(
        world.log.iter().any(cut),
        "a planned change ships its last cut"
    );
    assert_eq!(world.replicas, Some(1));
    let before = world.log.len();
    world.pass(600);
    world.settle();
    let work = |action: &Action| matches!(action, Action::Cut(_) | Action::Ship(_));
    assert!(!world.log[before..].iter().any(work), "it is paused still");
}

#[test]
fn a_paused_pair_is_promoted_by_force() {
    let mut world = paused();
    world.pair.spec.promotion = Some(Promotion {
        site: "west".into(),
        epoch: 1,
        kind: PromotionKind::Forced,
        attempt: None,
    });
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("west"));
    assert_eq!(epoch(&world), Epoch(2));
}
