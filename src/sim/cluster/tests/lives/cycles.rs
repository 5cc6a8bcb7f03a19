//! The first copy, and cycles.

use std::collections::BTreeSet;

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::World;
use api::Reason;
use api::v1alpha1::CyclePhase;
use planner::decide::Action;
use protocol::units::Point;
use wire::control::{BlockImage, Request};

#[test]
fn a_new_pair_comes_to_its_first_commit_and_then_rests_until_the_next_tick() {
    let mut world = World::at_rest(1, |_| {});
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    assert!(
        world.mover_pod(EAST).is_none(),
        "the source's mover stays although there is no work"
    );
    assert_eq!(world.observed().sites[EAST].source_claims, []);
    let done = world.begun.len();
    world.steps(200);
    assert_eq!(
        world.begun.len(),
        done,
        "did something although nothing was due"
    );
    world.app_writes();
    world.pass_seconds(3600);
    world.until("the next commit", |world| {
        world.committed() == Some(Point::new(1, 2))
    });
}

#[test]
fn the_second_cycle_asks_for_a_delta_from_the_first() {
    let mut world = World::at_rest(2, |_| {});
    world.app_writes();
    world.cycle_now();
    let ships = world.ships();
    let bases = ships
        .iter()
        .map(|plan| plan.base.as_ref().ok().map(|base| base.0));
    let bases: Vec<_> = bases.collect();
    assert_eq!(bases, [None, Some(Point::new(1, 1))]);
}

/// D-16: a source is given what the device of the first cut has to be: as large as the volume, and with a
/// file system where the claim has one.
#[test]
fn d_16_a_source_knows_what_the_image_of_a_claim_is() {
    let mut world = World::at_rest(12, |_| {});
    let claim = world.observed().sites[EAST].app_claim.clone().unwrap();
    let image = BlockImage {
        bytes: claim.capacity_bytes,
        file_system: true,
    };
    let ships = world.ships();
    assert_eq!(
        ships.iter().map(|plan| plan.image).next(),
        Some(Some(image))
    );
}

/// C-9: an interval shorter than the cycle makes neither two cycles at once nor a queue.
#[test]
fn c_9_ticks_that_fall_into_a_cycle_are_coalesced() {
    let mut world = World::at_rest(3, |_| {});
    world.edit(|spec| spec.snapshot.interval = "1m".into());
    world.server.health.snapshotter_stopped = ["west.csi".into()].into();
    world.app_writes();
    world.pass_seconds(60);
    world.until("the wait for the standby's snapshot", |world| {
        let waiting = world.status().clone().waiting;
        waiting.is_some_and(|wait| wait.what.contains("stays promotable"))
    });
    // A snapshotter that stops in the middle of a commit leaves the committed point.
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    assert!(world.cuts_at(WEST).contains(&Point::new(1, 1)));
    for _ in 0..5 {
        world.pass_seconds(60);
        world.steps(20);
    }
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    world.app_writes();
    world.heal();
    world.until("the next commit", |world| {
        world.committed() > Some(Point::new(1, 2))
    });
    // The one that hung, and the one tick that was due all the time.
    assert_eq!(world.committed(), Some(Point::new(1, 3)));
    let cuts: BTreeSet<Point> = world.cuts_asked(EAST).into_iter().collect();
    assert_eq!(cuts.len(), 3);
}

#[test]
fn a_failing_snapshot_harms_nothing_and_is_taken_when_it_can_be() {
    let mut world = World::at_rest(4, |_| {});
    world.server.health.snapshot_error = Some("no space".into());
    world.app_writes();
    world.ask_for_cycle();
    world.until("the failure's report", |world| {
        let conditions = world.status().clone().conditions;
        conditions.iter().any(|c| c.message.contains("no space"))
    });
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    world.heal();
    world.until("the next commit", |world| {
        world.committed() == Some(Point::new(1, 2))
    });
}

#[test]
fn a_mover_that_goes_away_in_the_middle_is_replaced_and_the_same_cut_goes_on() {
    let mut world = World::at_rest(5, |_| {});
    world.app_writes();
    world.ask_for_cycle();
    world.until_phase(&CyclePhase::Shipping);
    for at in [EAST, WEST] {
        let name = world.mover_pod(at).unwrap().metadata.name.clone().unwrap();
        world.server.delete_pod(&name, None);
    }
    world.until("the commit", |world| {
        world.committed() == Some(Point::new(1, 2))
    });
    let cuts = world.cuts_asked(EAST);
    let again = "cut again although the cut was good";
    assert_eq!(cuts, [Point::new(1, 1), Point::new(1, 2)], "{again}");
}

#[test]
fn attempts_have_an_end_and_the_next_tick_makes_another_cut() {
    let mut world = World::at_rest(6, |_| {});
    world.app_writes();
    world.ask_for_cycle();
    // Whoever reaches its peer loses it at once.
    world.lose_the_peer_until_a_cycle_fails();
    assert!(world.status().last_failure.is_some(), "tried for ever");
    world.until("the next commit", |world| {
        world.committed() == Some(Point::new(1, 3))
    });
}

/// SYS-4: the status may be lost at any moment; nothing is copied again because of it.
#[test]
fn sys_4_a_wiped_status_costs_no_copy() {
    for (seed, phase) in [
        (7, CyclePhase::Cutting),
        (8, CyclePhase::Shipping),
        (9, CyclePhase::Committing),
    ] {
        let mut world = World::at_rest(seed, |_| {});
        world.app_writes();
        world.ask_for_cycle();
        world.until_phase(&phase);
        world.wipe();
        world.until("the next commit", |world| {
            world.committed() > Some(Point::new(1, 1))
        });
        assert_eq!(world.leads(), EAST);
        let without_base = world
            .ships()
            .iter()
            .filter(|plan| plan.base.is_err())
            .count();
        assert_eq!(
            without_base, 1,
            "a full copy after the status was wiped in {phase}"
        );
        let mut inits: Vec<&str> = Vec::new();
        for (site, request) in world.requests() {
            if matches!(request, Request::Init(_)) && !inits.contains(&site) {
                inits.push(site);
            }
        }
        assert_eq!(inits.len(), 2);
    }
}

#[test]
fn an_invalid_edit_stops_new_cycles_and_deletes_nothing() {
    let mut world = World::at_rest(10, |_| {});
    world.app_writes();
    world.edit(|spec| spec.snapshot.interval = "1s".into());
    world.pass_seconds(7200);
    let (cuts, before) = (world.cuts_at(EAST), world.begun.len());
    world.steps(200);
    assert_eq!(world.cuts_at(EAST), cuts);
    let after = &world.begun[before..];
    let stops = |action: &Action| matches!(action, Action::StopMover { .. });
    assert!(after.iter().all(stops), "{after:?}");
    let said =
        api::conditions::get(&world.status().clone().conditions, api::conditions::READY).cloned();
    assert_eq!(said.unwrap().reason, Reason::IntervalTooShort.as_str());
}

#[test]
fn state_claims_grow_when_the_spec_asks_for_more_and_never_shrink() {
    let mut world = World::at_rest(11, |_| {});
    let grown = |world: &World| {
        let grows = |action: &&Action| matches!(action, Action::Grow { .. });
        world.begun.iter().filter(grows).count()
    };
    assert_eq!(grown(&world), 0);
    for (size, claims) in [("4Gi", 2), ("2Gi", 2), ("5Gi", 4)] {
        world.edit(|spec| spec.transfer.state_volume_size = Some(size.into()));
        world.rests();
        assert_eq!(grown(&world), claims, "stateVolumeSize {size}");
    }
}
