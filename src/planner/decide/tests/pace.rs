//! The bandwidth limit in the middle of a cycle.

use super::world::{SPEC, World};
use crate::decide::Action;
use api::v1alpha1::CyclePhase;

const MIB: u64 = 1 << 20;

/// The limits that the source was sent while it was shipping.
fn sent(world: &World) -> Vec<Option<u64>> {
    let paces = world.log.iter().filter_map(|action| match action {
        Action::Pace {
            site,
            bytes_per_second,
        } => {
            assert_eq!(site.as_str(), "east", "only the source sends");
            Some(*bytes_per_second)
        }
        _ => None,
    });
    paces.collect()
}

/// A world whose first copy goes on and on.
fn shipping(transfer: &str) -> World {
    let mut world = World::new(&format!("{SPEC}  transfer: {transfer}\n"));
    world.ship_held = true;
    world.settle();
    assert_eq!(world.status().cycle.unwrap().phase, CyclePhase::Shipping);
    assert!(
        sent(&world).is_empty(),
        "the request carries the first limit"
    );
    world
}

#[test]
fn a_limit_that_is_changed_in_the_middle_of_a_cycle_takes_effect_in_it() {
    let mut world = shipping("{bandwidth: 10Mi}");
    world.pair.spec.transfer.bandwidth = Some("20Mi".into());
    world.settle();
    world.settle();
    assert_eq!(sent(&world), [Some(20 * MIB)], "sent once");
    world.pair.spec.transfer.bandwidth = None;
    world.settle();
    assert_eq!(sent(&world), [Some(20 * MIB), None]);
    // An operator that was restarted does not know what was sent before.
    world.restart();
    world.settle();
    world.ship_held = false;
    world.settle();
    assert!(world.committed().is_some());
}

#[test]
fn a_window_of_the_schedule_opens_and_closes_in_the_middle_of_a_cycle() {
    // The world begins at midnight UTC, which is 01:00 in Madrid.
    let mut world = shipping(
        "{bandwidth: 10Mi, timeZone: Europe/Madrid, bandwidthSchedule: [{from: '01:10', to: '01:20', bandwidth: 1Gi}]}",
    );
    let due = world.think().due.unwrap();
    assert!(due <= "2026-01-01T00:10:00Z".parse().unwrap());
    world.pass(600);
    world.settle();
    assert_eq!(sent(&world), [Some(1024 * MIB)]);
    world.pass(600);
    world.settle();
    assert_eq!(sent(&world), [Some(1024 * MIB), Some(10 * MIB)]);
}
