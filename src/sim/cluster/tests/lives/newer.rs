//! K-19: what a newer version has recorded is left alone, and that is reported.

use super::hold::hooks;
use crate::cluster::tests::play::WEST;
use crate::cluster::world::{SITES, World};
use api::Reason;
use api::v1alpha1::{CyclePhase, QuiesceState, ReplicationPairStatus, SwitchKind, SwitchStep};
use planner::decide::Action;

/// A planned change of the role that has come to its last cut.
fn moving(seed: u64) -> World {
    let mut world = World::at_rest(seed, |_| {});
    world.edit(|spec| spec.primary = SITES[WEST].into());
    world.until("the last cut", |world| {
        let at = world.status().clone().switch.map(|switch| switch.step);
        at == Some(SwitchStep::LastCut) && world.status().cycle.is_some()
    });
    world
}

fn record(world: &mut World, change: impl FnOnce(&mut ReplicationPairStatus)) {
    let pair = world.server.pair.as_mut().unwrap();
    change(pair.status.as_mut().unwrap());
    world.restart();
    world.edit(|_| {});
}

/// What is decided for `world` in the next hour does nothing, and says why.
fn holds(mut world: World, word: &str) {
    let (before, begun) = (world.status().clone(), world.begun.len());
    for minutes in [0, 1, 10, 60] {
        world.pass_seconds(60 * minutes);
        world.steps(30);
        let decision = world.think();
        assert_eq!(decision.actions, [], "nothing is done");
        let trouble = decision.trouble.unwrap();
        assert_eq!(trouble.reason, Reason::WrittenByNewerVersion);
        assert!(trouble.message.contains(word), "{}", trouble.message);
    }
    let after = world.status().clone();
    assert_eq!(world.begun.len(), begun);
    assert_eq!((after.cycle, after.switch), (before.cycle, before.switch));
}

#[test]
fn k_19_an_unknown_step_of_a_role_change_is_held_and_never_cancels_it() {
    let mut world = moving(1);
    record(&mut world, |status| {
        status.switch.as_mut().unwrap().step = SwitchStep::Unknown("CloseClaim".into());
    });
    // Not even the withdrawal of the request is a reason to guess.
    world.edit(|spec| spec.primary = SITES[0].into());
    holds(world, "step CloseClaim");
}

#[test]
fn k_19_an_unknown_kind_of_a_role_change_is_held() {
    let mut world = moving(2);
    record(&mut world, |status| {
        status.switch.as_mut().unwrap().kind = SwitchKind::Unknown("Arbitrated".into());
    });
    holds(world, "kind Arbitrated");
}

#[test]
fn k_19_an_unknown_phase_of_a_cycle_is_held_and_never_ships() {
    let mut world = moving(3);
    record(&mut world, |status| {
        status.cycle.as_mut().unwrap().phase = CyclePhase::Unknown("Hashing".into());
    });
    holds(world, "phase Hashing");
}

/// Only the application goes on: it is never held longer than it must be.
#[test]
fn k_19_an_application_that_an_unknown_state_may_hold_is_released() {
    let mut world = World::at_rest(4, hooks);
    world.ask_for_cycle();
    world.until("the hold", World::app_is_held);
    record(&mut world, |status| {
        status.quiesce.as_mut().unwrap().state = QuiesceState::Unknown("Frozen".into());
    });
    world.pass_seconds(61);
    let decision = world.think();
    let [Action::Release(_)] = decision.actions.as_slice() else {
        panic!("{:?}", decision.actions);
    };
    assert_eq!(
        decision.trouble.unwrap().reason,
        Reason::WrittenByNewerVersion
    );
    world.until("the release", |world| !world.app_is_held());
}

/// A role change that has ended is history, in whatever words.
#[test]
fn k_19_an_unknown_step_of_a_finished_role_change_is_in_nobodys_way() {
    let mut world = moving(5);
    world.until_led_by(WEST);
    world.rests();
    record(&mut world, |status| {
        status.switch.as_mut().unwrap().step = SwitchStep::Unknown("Archived".into());
    });
    world.commit_something();
}
