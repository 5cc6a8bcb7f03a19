//! The bandwidth limit in the middle of a cycle.

use crate::cluster::world::World;
use api::v1alpha1::{CyclePhase, TransferSpec};
use jiff::SignedDuration;
use planner::decide::Action;
use wire::control::Activity;

const MIB: u64 = 1 << 20;

/// The limits that the source was sent while it was shipping.
fn sent(world: &World) -> Vec<Option<u64>> {
    let paces = world.begun.iter().filter_map(|action| match action {
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

/// A pair whose first copy is under way for a long time.
fn shipping(seed: u64, transfer: serde_json::Value) -> World {
    let transfer: TransferSpec = serde_json::from_value(transfer).unwrap();
    let mut world = World::applied(seed, |spec| spec.transfer = transfer);
    world.until("the shipment", |world| {
        let sources = world.movers[0].as_ref();
        let ships = sources
            .is_some_and(|mover| matches!(mover.host.status().activity, Activity::Shipping(_)));
        ships && world.is_in(&CyclePhase::Shipping)
    });
    world.hang(true);
    world.steps(40);
    assert!(
        sent(&world).is_empty(),
        "the request carries the first limit"
    );
    world
}

#[test]
fn a_limit_that_is_changed_in_the_middle_of_a_cycle_takes_effect_in_it() {
    let mut world = shipping(1, serde_json::json!({"bandwidth": "10Mi"}));
    world.edit(|spec| spec.transfer.bandwidth = Some("20Mi".into()));
    world.steps(80);
    assert_eq!(sent(&world), [Some(20 * MIB)], "sent once");
    world.edit(|spec| spec.transfer.bandwidth = None);
    world.steps(80);
    assert_eq!(sent(&world), [Some(20 * MIB), None]);
    // An operator that was restarted does not know what was sent before.
    world.restart();
    world.steps(80);
    world.hang(false);
    world.until("the commit", |world| world.committed().is_some());
}

#[test]
fn a_window_of_the_schedule_opens_and_closes_in_the_middle_of_a_cycle() {
    let mut world = World::applied(2, |_| {});
    // In two minutes, by the clock of Madrid, for a minute.
    let madrid = world.server.now().in_tz("Europe/Madrid").unwrap();
    let at = |minutes: i64| {
        let at = madrid.saturating_add(SignedDuration::from_mins(minutes));
        at.strftime("%H:%M").to_string()
    };
    let transfer = serde_json::json!({
        "bandwidth": "10Mi", "timeZone": "Europe/Madrid",
        "bandwidthSchedule": [{"from": at(20), "to": at(40), "bandwidth": "1Gi"}],
    });
    drop(std::mem::replace(&mut world, shipping(2, transfer)));
    let opens = madrid.saturating_add(SignedDuration::from_mins(20));
    assert!(world.think().due.unwrap() <= opens.timestamp());
    world.pass(opens.timestamp().duration_since(world.server.now()));
    world.hang(true);
    world.steps(80);
    assert_eq!(sent(&world), [Some(1024 * MIB)]);
    world.pass_seconds(20 * 60);
    world.hang(true);
    world.steps(80);
    assert_eq!(sent(&world), [Some(1024 * MIB), Some(10 * MIB)]);
}
