//! Cycles in which nothing has changed.

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::{PAIR, SITES, World};
use api::names;
use planner::decide::Action;
use protocol::units::Point;
use serde_json::json;

const N: Point = Point::new(1, 2);

/// A pair that has committed N by a delta, at rest, and whose application writes nothing any more.
fn quiet(seed: u64, interval: &str) -> World {
    let mut world = World::at_rest(seed, |spec| spec.snapshot.interval = interval.into());
    commit(&mut world);
    assert_eq!(world.committed(), Some(N));
    world.begun.clear();
    world
}

/// A cycle with something in it.
fn commit(world: &mut World) {
    let from = world.committed();
    world.app_writes();
    world.cycle_now();
    assert!(world.committed() > from);
}

fn usual(world: &World) -> bool {
    world.begun.iter().any(|action| {
        matches!(
            action,
            Action::StartMover { .. } | Action::MakeSourceClaim { .. } | Action::Ship(_)
        )
    })
}

#[test]
fn no_mover_is_started_and_the_committed_point_stays() {
    // With the standby's mover gone, and with one that lingers.
    for (seed, interval, mover) in [(1, "1h", false), (2, "2m", true)] {
        let mut world = quiet(seed, interval);
        assert_eq!(world.mover_pod(WEST).is_some(), mover);
        let pod = world.mover_pod(WEST).cloned();
        world.cycle_now();
        assert!(!usual(&world), "{:?}", world.begun);
        assert_eq!(world.mover_pod(WEST), pod.as_ref());
        let status = world.status().clone();
        assert_eq!(world.committed(), Some(N));
        assert!(status.unchanged_cut().unwrap().point() > N);
        let cut_at = status.unchanged_cut().unwrap().cut_at.as_ref();
        assert_eq!(status.standby_as_of(), cut_at);
        assert!(cut_at > status.committed_point.as_ref().unwrap().cut_at.as_ref());
        for at in [EAST, WEST] {
            let rest = "the base of the next cycle, and nothing else";
            assert_eq!(world.cuts_at(at), [N].into(), "{rest}");
        }
    }
}

#[test]
fn the_next_change_is_shipped_from_the_committed_point_under_a_number_of_its_own() {
    let mut world = quiet(3, "1h");
    world.cycle_now();
    world.cycle_now();
    world.app_writes();
    world.cycle_now();
    assert_eq!(world.committed(), Some(Point::new(1, 5)));
    assert_eq!(world.status().unchanged_cut(), None);
    let ships = world.ships();
    assert_eq!(ships.first().unwrap().base.as_ref().unwrap().0, N);
}

#[test]
fn an_operator_that_is_killed_at_any_moment_ends_it_all_the_same() {
    let mut world = quiet(4, "1h");
    for dies_at in 0..4 {
        world.begun.clear();
        let before = world.status().unchanged_cut().cloned();
        world.ask_for_cycle();
        world.until("its end", |world| world.begun.len() >= dies_at);
        world.restart();
        world.until("the end of the cycle", |world| {
            let status = world.status().clone();
            status.cycle.is_none() && status.unchanged_cut() != before.as_ref()
        });
        world.rests();
        assert!(!usual(&world), "killed at {dies_at}: {:?}", world.begun);
        assert_eq!(world.committed(), Some(N));
    }
}

/// What of the content of a site's snapshot is changed.
fn recorded(world: &mut World, at: usize, path: &str, value: serde_json::Value) {
    let committed = world.committed().unwrap();
    let name = names::snapshot(PAIR, SITES[at], committed);
    let content = world.server.contents.get_mut(&format!("content-{name}"));
    *content.unwrap().pointer_mut(path).unwrap() = value;
}

fn forget_cut(world: &mut World, at: usize) {
    let committed = world.committed().unwrap();
    let name = names::snapshot(PAIR, SITES[at], committed);
    world.server.snapshots.remove(&name);
    // Nobody has deleted it for the pair: there is a common cut again after the next cycle.
    world.oracle.in_common = false;
}

#[test]
fn whatever_falls_short_of_the_proof_goes_the_usual_way() {
    let cases: [(&str, fn(&mut World)); 7] = [
        ("a change", |world| {
            world.app_writes();
        }),
        ("no list", |world| {
            let status = world.server.pair.as_mut().unwrap().status.as_mut();
            status.unwrap().last_cycle.as_mut().unwrap().change_source = "Digests".into();
        }),
        ("movers that have not met for long", |world| {
            world.pass_seconds(3600);
        }),
        ("no snapshot at the standby", |world| {
            forget_cut(world, WEST)
        }),
        ("no snapshot at the primary", |world| {
            forget_cut(world, EAST)
        }),
        ("another size", |world| {
            recorded(world, EAST, "/status/restoreSize", json!(4096));
        }),
        ("another volume", |world| {
            recorded(world, EAST, "/spec/source/volumeHandle", json!("another"));
        }),
    ];
    let mut world = quiet(5, "2h");
    for (what, falls_short) in cases {
        let before = world.committed();
        falls_short(&mut world);
        world.begun.clear();
        world.cycle_now();
        assert!(usual(&world), "{what} was taken for no change");
        assert_ne!(world.committed(), before, "{what}");
        while world.status().clone().last_cycle.unwrap().change_source != "Delta" {
            commit(&mut world);
        }
    }
}

#[test]
fn the_last_cut_of_a_planned_change_goes_the_usual_way() {
    let mut world = quiet(6, "1h");
    world.edit(|spec| spec.primary = SITES[WEST].into());
    world.until_led_by(WEST);
    assert!(!world.ships().is_empty(), "taken for no change");
}

#[test]
fn a_forced_promotion_loses_only_what_was_written_after_nothing_had_changed() {
    let mut world = quiet(7, "1h");
    world.cycle_now();
    let equal = world.status().unchanged_cut().unwrap().clone();
    world.force(WEST);
    world.until_led_by(WEST);
    let loss = world.status().clone().switch.unwrap().loss.unwrap();
    assert!(loss.contains("after 1.3 was cut"), "{loss}");
    assert!(
        loss.contains(&equal.cut_at.unwrap().0.to_string()),
        "{loss}"
    );
    assert!(!loss.contains("not shipped"), "{loss}");
}
