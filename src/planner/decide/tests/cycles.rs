//! Baseline and cycles.

use super::world::{GIB, SPEC, World};
use crate::decide::Action;
use api::Reason;
use api::v1alpha1::CyclePhase;
use protocol::units::Point;
use wire::control::BlockImage;

fn count(world: &World, what: impl Fn(&Action) -> bool) -> usize {
    world.log.iter().filter(|action| what(action)).count()
}

#[test]
fn a_new_pair_comes_to_its_first_commit_and_then_rests_until_the_next_tick() {
    let mut world = World::new(SPEC);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    assert_eq!(
        world.sides["east"].pod, None,
        "the source's mover stays although there is no work"
    );
    assert!(world.sides["east"].sources.is_empty());
    let done = world.log.len();
    world.settle();
    assert_eq!(
        world.log.len(),
        done,
        "did something although nothing was due"
    );
    world.pass(60);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 2)));
}

#[test]
fn the_identity_is_recorded_before_anything_is_made_from_it() {
    let mut world = World::new(SPEC);
    let decision = world.think();
    assert!(decision.status.pair_id.is_some());
    assert!(
        decision
            .actions
            .iter()
            .all(|a| !matches!(a, Action::Command { .. }))
    );
}

#[test]
fn the_second_cycle_asks_for_a_delta_from_the_first() {
    let mut world = World::new(SPEC);
    world.settle();
    world.pass(60);
    world.settle();
    let bases: Vec<_> = world
        .log
        .iter()
        .filter_map(|action| match action {
            Action::Ship(plan) => Some(plan.base.as_ref().ok().map(|(point, _)| *point)),
            _ => None,
        })
        .collect();
    assert_eq!(bases, [None, Some(Point::new(1, 1))]);
}

/// D-16: a source is given what the device of the first cut has to be: as large as the volume, and with a
/// file system where the claim has one.
#[test]
fn a_source_knows_what_the_image_of_a_claim_is() {
    let mut world = World::new(SPEC);
    world.settle();
    let images = world.log.iter().filter_map(|action| match action {
        Action::Ship(plan) => plan.image,
        _ => None,
    });
    let image = BlockImage {
        bytes: GIB,
        file_system: true,
    };
    assert_eq!(images.collect::<Vec<_>>(), [image]);
}

/// C-9: an interval shorter than the cycle makes neither two cycles at once nor a queue.
#[test]
fn c_9_ticks_that_fall_into_a_cycle_are_coalesced() {
    let mut world = World::new(SPEC);
    world.settle();
    world.snapshotter_stopped = Some("west".into());
    world.pass(60);
    world.settle();
    for _ in 0..5 {
        world.pass(60);
        world.settle();
    }
    world.snapshotter_stopped = None;
    world.settle();
    // The one that hung, and the one tick that was due all the time.
    assert_eq!(world.committed(), Some(Point::new(1, 3)));
}

#[test]
fn a_snapshotter_that_stops_in_the_middle_of_a_commit_leaves_the_committed_point() {
    let mut world = World::new(SPEC);
    world.settle();
    world.snapshotter_stopped = Some("west".into());
    world.pass(60);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    assert!(
        world.sides["west"]
            .cuts
            .iter()
            .any(|cut| cut.point == Point::new(1, 1) && cut.ready)
    );
    assert!(
        world
            .status()
            .waiting
            .is_some_and(|wait| wait.what.contains("stays promotable"))
    );
}

#[test]
fn a_failing_snapshot_harms_nothing_and_is_taken_when_it_can_be() {
    let mut world = World::new(SPEC);
    world.settle();
    world.snapshot_error = Some("no space".into());
    world.pass(60);
    world.settle();
    let decision = world.think();
    assert!(
        decision
            .trouble
            .is_some_and(|t| t.message.contains("no space"))
    );
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    world.snapshot_error = None;
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 2)));
}

#[test]
fn a_mover_that_goes_away_in_the_middle_is_replaced_and_the_same_cut_goes_on() {
    let mut world = World::new(SPEC);
    world.settle();
    world.pass(60);
    for _ in 0..100 {
        world.round();
        if world
            .status()
            .cycle
            .is_some_and(|cycle| cycle.phase == CyclePhase::Shipping)
        {
            break;
        }
    }
    world.side("west").pod = None;
    world.side("east").activity = wire::control::Activity::Idle;
    world.side("west").disk.as_mut().unwrap().applied = Some(Point::new(1, 1));
    world.side("east").last = None;
    for _ in 0..60 {
        world.round();
    }
    assert_eq!(world.committed(), Some(Point::new(1, 2)));
    let cuts = count(
        &world,
        |a| matches!(a, Action::Cut(request) if request.site.as_str() == "east"),
    );
    assert_eq!(cuts, 2, "cut again although the cut was good");
}

#[test]
fn attempts_have_an_end_and_the_next_tick_makes_another_cut() {
    let mut world = World::new(SPEC);
    world.settle();
    world.ship_failures = 5;
    world.pass(60);
    for _ in 0..600 {
        world.round();
    }
    assert_eq!(
        world.committed(),
        Some(Point::new(1, 3)),
        "{:?}",
        world.status().last_failure
    );
}

#[test]
fn post_runs_once_pre_was_tried_also_when_the_operator_restarts_in_between() {
    let hooks = format!("{SPEC}  quiesce: {{hooks: [{{pre: [hold], post: [go]}}]}}\n");
    // Where in the first rounds the operator dies.
    for dies_at in 0..12 {
        let mut world = World::new(&hooks);
        for round in 0..60 {
            if round == dies_at {
                world.restart();
            }
            world.round();
        }
        assert_eq!(
            world.committed(),
            Some(Point::new(1, 1)),
            "restarted at round {dies_at}"
        );
        let held = world.hooks.iter().filter(|hook| **hook == "pre").count();
        assert!(held >= 1);
        assert_eq!(
            world.hooks.last(),
            Some(&"post"),
            "the application is held for ever: {:?}",
            world.hooks
        );
        assert!(
            world
                .status()
                .quiesce
                .is_some_and(|q| q.released_at.is_some())
        );
    }
}

#[test]
fn a_cut_of_an_application_that_had_to_be_let_go_is_not_used() {
    let mut world = World::new(&format!(
        "{SPEC}  quiesce: {{hooks: [{{pre: [hold], post: [go]}}]}}\n"
    ));
    world.snapshot_error = Some("no space".into());
    for _ in 0..20 {
        world.round();
    }
    assert_eq!(world.hooks, ["pre", "post"]);
    assert!(world.status().cycle.is_none());
    assert_eq!(
        world.status().last_failure.unwrap().reason,
        Reason::SnapshotFailed
    );
    world.snapshot_error = None;
    world.pass(60);
    world.settle();
    assert!(
        world.committed().is_some_and(|point| point.seq.0 >= 2),
        "the number of the bad cut was used again"
    );
}

/// SYS-4: the status may be lost at any moment; nothing is copied again because of it.
#[test]
fn sys_4_a_wiped_status_costs_no_copy() {
    for wiped_at in 0..40 {
        let mut world = World::new(SPEC);
        world.settle();
        world.pass(60);
        for _ in 0..wiped_at {
            world.round();
        }
        world.pair.status = None;
        world.restart();
        world.settle();
        world.pass(60);
        world.settle();
        let status = world.status();
        assert_eq!(status.primary.as_deref(), Some("east"));
        assert!(
            world.committed().is_some_and(|p| p.seq.0 >= 2),
            "wiped at {wiped_at}"
        );
        let without_base = count(
            &world,
            |a| matches!(a, Action::Ship(plan) if plan.base.is_err()),
        );
        assert_eq!(
            without_base, 1,
            "a full copy after the status was wiped at round {wiped_at}"
        );
        let inits = count(&world, |a| {
            matches!(
                a,
                Action::Command {
                    request: wire::control::Request::Init(_),
                    ..
                }
            )
        });
        assert_eq!(inits, 2);
    }
}

#[test]
fn an_invalid_edit_stops_new_cycles_and_deletes_nothing() {
    let mut world = World::new(SPEC);
    world.settle();
    world.pair.spec.snapshot.interval = "1s".into();
    world.pass(120);
    let (cuts, before) = (world.sides["east"].cuts.clone(), world.log.len());
    world.settle();
    assert_eq!(world.sides["east"].cuts, cuts);
    let after = &world.log[before..];
    assert!(
        after.iter().all(|a| matches!(a, Action::StopMover { .. })),
        "{after:?}"
    );
}

#[test]
fn metadata_claims_grow_when_the_spec_asks_for_more_and_never_shrink() {
    let mut world = World::new(SPEC);
    world.settle();
    let grown = |world: &World| count(world, |action| matches!(action, Action::Grow { .. }));
    assert_eq!(grown(&world), 0);
    for (size, claims) in [("4Gi", 2), ("2Gi", 2), ("5Gi", 4)] {
        world.pair.spec.transfer.state_volume_size = Some(size.into());
        world.settle();
        assert_eq!(grown(&world), claims, "stateVolumeSize {size}");
    }
}
