//! Verifications, between and across cycles.

use super::world::{GIB, SPEC, World, epoch};
use crate::decide::Action;
use api::Reason;
use api::v1alpha1::VerificationStatus;
use protocol::units::{Extent, Point};
use wire::control::Activity;

/// The rate of 64 MiB a second for ten seconds.
const SLICE: u64 = 640 << 20;

/// A world at rest after its first copy.
fn at_rest(verify: &str) -> World {
    let mut world = World::new(&format!("{SPEC}{verify}"));
    world.settle();
    assert!(world.committed().is_some());
    world
}

fn ask(world: &mut World, trigger: &str) {
    world.pair.spec.verify_trigger = Some(trigger.into());
}

fn known(world: &World) -> VerificationStatus {
    world.status().verification.unwrap_or_default()
}

/// Where the slices that were ordered begin, and at which cut.
fn slices(world: &World) -> Vec<(u64, Point)> {
    let slices = world.log.iter().filter_map(|action| match action {
        Action::Verify(plan) => Some((plan.range.offset, plan.cycle)),
        _ => None,
    });
    slices.collect()
}

#[test]
fn what_is_asked_for_is_compared_slice_by_slice_and_counted() {
    let mut world = at_rest("");
    let point = world.committed().unwrap();
    assert_eq!(slices(&world), [], "nobody asked");
    let far = Extent::new(SLICE + 4096, 8192);
    world.damage = vec![Extent::new(4096, 512), far];
    ask(&mut world, "now");
    world.settle();
    assert_eq!(slices(&world), [(0, point), (SLICE, point)]);
    let found = known(&world);
    assert_eq!(found.running, None);
    assert_eq!(found.compared_bytes, i64::try_from(GIB).unwrap());
    assert_eq!((found.differing_bytes, found.repaired_bytes), (8704, 8704));
    assert_eq!(
        found.differences,
        [
            "512 bytes at 4096".to_string(),
            format!("8192 bytes at {}", far.offset)
        ]
    );
    assert_eq!(found.point, Some(point.to_string()));
    assert_eq!(found.trigger.as_deref(), Some("now"));
    assert_eq!(world.sides["east"].pod, None, "the source's mover stays");
    assert!(world.sides["east"].sources.is_empty());
    assert_eq!(
        world.committed(),
        Some(point),
        "a verification commits nothing"
    );
    // Asked for once, done once; and a report of before counts for nothing.
    world.settle();
    assert_eq!(slices(&world).len(), 2);
    ask(&mut world, "again");
    world.settle();
    assert_eq!(slices(&world).len(), 4);
    assert_eq!(known(&world).differing_bytes, 0);
}

#[test]
fn a_cycle_that_is_due_goes_first_and_the_verification_goes_on_after_it() {
    let mut world = at_rest("");
    let before = world.committed().unwrap();
    world.pass(45);
    ask(&mut world, "now");
    world.ship_held = true;
    world.settle();
    assert_eq!(world.sides["east"].activity, Activity::Shipping(before));
    // A cycle is due; the slice under way may take a little longer, and no more than that.
    world.pass(15);
    world.think();
    assert_eq!(
        world.status().cycle,
        None,
        "not even what is left of the slice"
    );
    world.pass(10);
    world.ship_held = false;
    world.verifying = None;
    world.think();
    assert!(world.status().cycle.is_some(), "cycles starve");
    world.settle();
    let after = world.committed().unwrap();
    assert!(after > before);
    assert_eq!(known(&world).running, None);
    let last: Vec<_> = slices(&world).into_iter().rev().take(2).collect();
    assert_eq!(last, [(SLICE, after), (0, after)]);
}

/// Or a verification with a slice a cycle would never end.
#[test]
fn a_slice_that_ends_when_a_cycle_is_due_counts() {
    let mut world = at_rest("");
    world.pass(45);
    ask(&mut world, "now");
    world.ship_held = true;
    world.settle();
    world.pass(15);
    world.ship_held = false;
    world.think();
    world.ship();
    world.think();
    assert!(world.status().cycle.is_some(), "the cycle goes first");
    let running = known(&world).running.unwrap();
    assert_eq!(running.compared_bytes, i64::try_from(SLICE).unwrap());
    world.settle();
    let starts: Vec<u64> = slices(&world).iter().map(|slice| slice.0).collect();
    assert_eq!(starts, [0, SLICE]);
}

#[test]
fn it_is_repeated_at_its_interval_and_not_before() {
    let mut world = at_rest("  verify: {interval: 1h, rate: 1Gi}\n");
    assert_eq!(slices(&world).len(), 1, "a first copy is verified at once");
    for _ in 0..10 {
        world.pass(300);
        world.settle();
    }
    assert_eq!(slices(&world).len(), 1);
    world.pass(600);
    world.settle();
    world.settle();
    assert_eq!(slices(&world).len(), 2);
}

#[test]
fn it_goes_on_where_it_was_when_the_operator_is_restarted() {
    let mut world = at_rest("");
    ask(&mut world, "now");
    while slices(&world).len() < 2 {
        world.round();
    }
    world.restart();
    world.settle();
    assert_eq!(known(&world).trigger.as_deref(), Some("now"));
    let starts: Vec<u64> = slices(&world).iter().map(|slice| slice.0).collect();
    assert_eq!(starts.iter().filter(|start| **start == 0).count(), 1);
    // A status that was wiped costs reading, and nothing else.
    let point = world.committed();
    world.pair.status = None;
    world.restart();
    world.settle();
    world.settle();
    assert!(world.committed() >= point);
    assert_eq!(known(&world).trigger.as_deref(), Some("now"));
}

#[test]
fn a_slice_that_fails_is_reported_and_tried_again_and_cycles_go_on() {
    let mut world = at_rest("");
    world.ship_failures = 1;
    ask(&mut world, "now");
    world.settle();
    let decision = world.think();
    let trouble = decision.trouble.expect("the failure is not reported");
    assert_eq!(trouble.reason, Reason::VerifyFailed);
    assert_eq!(slices(&world).len(), 1, "tried again at once");
    let point = world.committed();
    world.pass(61);
    world.settle();
    world.settle();
    assert!(world.committed() > point, "a failed slice holds cycles up");
    assert_eq!(known(&world).trigger.as_deref(), Some("now"));
    assert_eq!(world.think().trouble, None);
}

#[test]
fn a_move_of_the_role_goes_first_and_the_comparison_begins_again() {
    let mut world = at_rest("");
    ask(&mut world, "now");
    while slices(&world).is_empty() {
        world.round();
    }
    world.ship_held = true;
    world.settle();
    assert!(
        known(&world)
            .running
            .is_some_and(|running| running.compared_bytes > 0)
    );
    world.pair.spec.primary = "west".into();
    world.think();
    world.ship_held = false;
    world.settle();
    world.pass(60);
    world.settle();
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("west"));
    assert_eq!(known(&world).running, None);
    let all = slices(&world);
    let here: Vec<u64> = all
        .iter()
        .filter(|(_, point)| point.epoch == epoch(&world))
        .map(|slice| slice.0)
        .collect();
    assert_eq!(here, [0, SLICE]);
}
