//! Verifications, between and across cycles.

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::{SITES, World};
use api::Reason;
use api::v1alpha1::{ReplicationPairSpec, VerificationStatus};
use planner::decide::{Action, VerifyPlan};

fn ask(world: &mut World, trigger: &str) {
    world.edit(|spec| spec.verify_trigger = Some(trigger.into()));
}

fn known(world: &World) -> VerificationStatus {
    world.status().clone().verification.unwrap_or_default()
}

/// Goes on until the verification that was asked for with this trigger is done.
fn until_done(world: &mut World, trigger: &str) {
    world.until("the verification", |world| {
        let known = known(world);
        known.running.is_none() && known.trigger.as_deref() == Some(trigger)
    });
}

/// The slices that were asked for.
fn slices(world: &World) -> Vec<VerifyPlan> {
    let slices = world.begun.iter().filter_map(|action| match action {
        Action::Verify(plan) => Some(plan.as_ref().clone()),
        _ => None,
    });
    slices.collect()
}

#[test]
fn what_is_asked_for_is_compared_once() {
    let mut world = World::at_rest(1, |_| {});
    let point = world.committed().unwrap();
    assert_eq!(slices(&world), [], "nobody asked");
    ask(&mut world, "now");
    until_done(&mut world, "now");
    let asked = slices(&world);
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].range.offset, asked[0].cycle), (0, point));
    let found = known(&world);
    let size = world.observed().sites[EAST].app_claim.clone();
    let size = i64::try_from(size.unwrap().capacity_bytes).unwrap();
    assert_eq!((found.compared_bytes, found.differing_bytes), (size, 0));
    assert_eq!(found.point, Some(point.to_string()));
    world.rests();
    assert!(world.mover_pod(EAST).is_none(), "the source's mover stays");
    assert_eq!(world.observed().sites[EAST].source_claims, []);
    assert_eq!(
        world.committed(),
        Some(point),
        "a verification commits nothing"
    );
    assert_eq!(slices(&world).len(), 1, "asked for once, done once");
    ask(&mut world, "again");
    until_done(&mut world, "again");
    assert_eq!(slices(&world).len(), 2);
}

#[test]
fn it_is_repeated_at_its_interval_and_not_before() {
    let hourly = |spec: &mut ReplicationPairSpec| {
        let verify = serde_json::json!({"interval": "1h", "rate": "1Gi"});
        spec.verify = serde_json::from_value(verify).unwrap();
        spec.snapshot.interval = "3h".into();
    };
    let mut world = World::at_rest(2, hourly);
    world.until("the first", |world| known(world).last_time.is_some());
    assert_eq!(slices(&world).len(), 1, "a first copy is verified at once");
    for _ in 0..10 {
        world.pass_seconds(300);
        world.steps(10);
    }
    assert_eq!(slices(&world).len(), 1);
    world.pass_seconds(600);
    world.until("the second", |world| slices(world).len() == 2);
}

#[test]
fn it_goes_on_when_the_operator_is_restarted_or_the_status_is_wiped() {
    let mut world = World::at_rest(3, |_| {});
    ask(&mut world, "now");
    world.until("the slice", |world| !slices(world).is_empty());
    world.restart();
    until_done(&mut world, "now");
    assert_eq!(slices(&world).len(), 1, "what is under way is taken over");
    // A status that was wiped costs reading, and nothing else.
    let point = world.committed();
    world.wipe();
    until_done(&mut world, "now");
    assert!(world.committed() >= point);
}

#[test]
fn a_slice_that_fails_is_reported_and_tried_again_and_cycles_go_on() {
    let mut world = World::at_rest(4, |_| {});
    ask(&mut world, "now");
    // Whoever reaches its peer loses it at once.
    for _ in 0..6_000 {
        if world.says(&Reason::VerifyFailed) {
            break;
        }
        let now = world.millis();
        world.net.cut(now);
        world.step(false).unwrap();
    }
    assert!(
        world.says(&Reason::VerifyFailed),
        "the failure is not reported"
    );
    let tried = slices(&world).len();
    world.steps(60);
    assert_eq!(slices(&world).len(), tried, "tried again at once");
    world.commit_something();
    until_done(&mut world, "now");
    world.rests();
    assert!(!world.says(&Reason::VerifyFailed));
}

#[test]
fn a_move_of_the_role_goes_first_and_the_comparison_begins_again() {
    let mut world = World::at_rest(5, |_| {});
    ask(&mut world, "now");
    world.until("the slice", |world| !slices(world).is_empty());
    world.hang(true);
    world.edit(|spec| spec.primary = SITES[WEST].into());
    world.steps(40);
    world.hang(false);
    world.until_led_by(WEST);
    world.app_writes();
    world.ask_for_cycle();
    until_done(&mut world, "now");
    let last = slices(&world).pop().unwrap();
    assert_eq!((last.source.as_str(), last.range.offset), (SITES[WEST], 0));
    assert_eq!(last.cycle.epoch.0, 2);
}
