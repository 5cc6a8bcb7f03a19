//! Cycles in which nothing has changed.

use super::world::{GIB, SPEC, World};
use crate::decide::Action;
use protocol::units::Point;

const N: Point = Point::new(1, 2);

/// A pair that has committed N by a delta, at rest, and whose application writes nothing any more.
fn quiet(interval: &str) -> World {
    let mut world = World::new(&SPEC.replace("1m", interval));
    world.settle();
    tick(&mut world);
    assert_eq!(world.committed(), Some(N));
    world.quiet = true;
    world.log.clear();
    world
}

fn tick(world: &mut World) {
    let token = format!("at {}", world.now);
    world.pair.spec.sync_trigger = Some(token);
    world.pass(60);
    world.settle();
}

fn begins_work(action: &Action) -> bool {
    matches!(
        action,
        Action::StartMover { .. } | Action::MakeSourceClaim { .. } | Action::Ship(_)
    )
}

fn usual(world: &World) -> bool {
    world.log.iter().any(begins_work)
}

#[test]
fn no_mover_is_started_and_the_committed_point_stays() {
    // With the standby's mover gone, and with one that lingers.
    for (interval, mover) in [("1h", false), ("1m", true)] {
        let mut world = quiet(interval);
        assert_eq!(world.sides["west"].pod.is_some(), mover);
        let pod = world.sides["west"].pod.clone();
        tick(&mut world);
        assert!(!usual(&world), "{:?}", world.log);
        assert_eq!(world.sides["west"].pod, pod);
        let status = world.status();
        assert_eq!(world.committed(), Some(N));
        assert_eq!(status.unchanged_cut().unwrap().label, "1.3");
        let cut_at = status.unchanged_cut().unwrap().cut_at.as_ref();
        assert_eq!(status.standby_as_of(), cut_at);
        assert!(cut_at > status.committed_point.as_ref().unwrap().cut_at.as_ref());
        for side in world.sides.values() {
            let cuts: Vec<Point> = side.cuts.iter().map(|cut| cut.point).collect();
            assert_eq!(cuts, [N], "the base of the next cycle, and nothing else");
        }
    }
}

#[test]
fn the_next_change_is_shipped_from_the_committed_point_under_a_number_of_its_own() {
    let mut world = quiet("1h");
    tick(&mut world);
    tick(&mut world);
    world.quiet = false;
    tick(&mut world);
    assert_eq!(world.committed(), Some(Point::new(1, 5)));
    assert_eq!(world.status().unchanged_cut(), None);
    let base = world.log.iter().find_map(|action| match action {
        Action::Ship(plan) => plan.base.as_ref().ok().map(|(point, _)| *point),
        _ => None,
    });
    assert_eq!(base, Some(N));
}

#[test]
fn an_operator_that_is_killed_at_any_moment_ends_it_all_the_same() {
    for dies_at in 0..12 {
        let mut world = quiet("1h");
        world.pair.spec.sync_trigger = Some("now".into());
        for _ in 0..dies_at {
            world.round();
        }
        world.restart();
        world.settle();
        assert!(!usual(&world), "killed at round {dies_at}: {:?}", world.log);
        assert_eq!(world.status().unchanged_cut().unwrap().label, "1.3");
        assert_eq!(world.committed(), Some(N));
    }
}

#[test]
fn whatever_falls_short_of_the_proof_goes_the_usual_way() {
    let cases: [(&str, fn(&mut World)); 9] = [
        ("a change", |world| world.quiet = false),
        ("no list", |world| {
            let status = world.pair.status.as_mut().unwrap();
            status.last_cycle.as_mut().unwrap().change_source = "Digests".into();
        }),
        ("movers that have not met for long", |world| {
            world.pass(3600)
        }),
        ("no snapshot at the standby", |world| {
            world.side("west").cuts.clear()
        }),
        ("no snapshot at the primary", |world| {
            world.side("east").cuts.clear()
        }),
        ("another size", |world| {
            let facts = world.side("east").cuts[0].facts.as_mut().unwrap();
            facts.size_bytes = Some(GIB / 2);
        }),
        ("another volume", |world| {
            let facts = world.side("east").cuts[0].facts.as_mut().unwrap();
            facts.volume_handle = Some("another".into());
        }),
        ("a standby's copy that is not what it was", |world| {
            world.start(
                "west",
                &crate::decide::Device::Replica("orders-west-replica".into()),
            );
            world.side("west").disk.as_mut().unwrap().committed = Some(Point::new(1, 1));
        }),
        ("a planned switch's last cut", |world| {
            world.replicas = Some(1);
            world.pair.spec.primary = "west".into();
        }),
    ];
    for (what, falls_short) in cases {
        let mut world = quiet("1h");
        falls_short(&mut world);
        tick(&mut world);
        assert!(usual(&world), "{what} was taken for no change");
        assert_ne!(world.committed(), Some(N), "{what}");
    }
}

#[test]
fn a_forced_promotion_loses_only_what_was_written_after_nothing_had_changed() {
    let mut world = quiet("1h");
    tick(&mut world);
    let equal = world.status().unchanged_cut().unwrap().clone();
    let decision = world.think();
    let status = &decision.status;
    let observed = world.observed();
    let validated = crate::validate::validate(&observed);
    let builder = crate::decide::DecisionBuilder::new(&observed, &validated);
    let loss = crate::decide::switch::loss(&builder, N, status.committed_point.as_ref());
    assert!(loss.contains("after 1.3 was cut"), "{loss}");
    assert!(
        loss.contains(&equal.cut_at.unwrap().0.to_string()),
        "{loss}"
    );
    assert!(!loss.contains("not shipped"), "{loss}");
}
