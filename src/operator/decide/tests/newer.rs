//! K-19: what a newer version has recorded is left alone, and that is reported.

use super::world::{SPEC, World};
use crate::api::Reason;
use crate::api::v1alpha1::{CyclePhase, QuiesceState, SwitchKind, SwitchStep};
use crate::operator::decide::Action;

/// A planned change of the role that has come to its last cut.
fn moving() -> World {
    let mut world = World::new(SPEC);
    world.replicas = Some(1);
    world.settle();
    world.pair.spec.primary = "west".into();
    for _ in 0..40 {
        world.round();
        let at = world.status().switch.map(|switch| switch.step);
        if at == Some(SwitchStep::LastCut) && world.status().cycle.is_some() {
            return world;
        }
    }
    panic!("the role change does not begin");
}

/// What is decided for `world` in the next hour does nothing, and says why.
fn holds(mut world: World, word: &str) {
    let (before, log) = (world.status(), world.log.len());
    for minutes in [0, 1, 10, 60] {
        world.pass(60 * minutes);
        world.round();
        let decision = world.think();
        assert_eq!(decision.actions, [], "nothing is done");
        let trouble = decision.trouble.unwrap();
        assert_eq!(trouble.reason, Reason::WrittenByNewerVersion);
        assert!(trouble.message.contains(word), "{}", trouble.message);
    }
    let after = world.status();
    assert_eq!(world.log.len(), log);
    assert_eq!((after.cycle, after.switch), (before.cycle, before.switch));
}

#[test]
fn k_19_an_unknown_step_of_a_role_change_is_held_and_never_cancels_it() {
    let mut world = moving();
    let status = world.pair.status.as_mut().unwrap();
    status.switch.as_mut().unwrap().step = SwitchStep::Unknown("ParkClaim".into());
    // Not even the withdrawal of the request is a reason to guess.
    world.pair.spec.primary = "east".into();
    holds(world, "step ParkClaim");
}

#[test]
fn k_19_an_unknown_kind_of_a_role_change_is_held() {
    let mut world = moving();
    let status = world.pair.status.as_mut().unwrap();
    status.switch.as_mut().unwrap().kind = SwitchKind::Unknown("Arbitrated".into());
    holds(world, "kind Arbitrated");
}

#[test]
fn k_19_an_unknown_phase_of_a_cycle_is_held_and_never_ships() {
    let mut world = moving();
    let status = world.pair.status.as_mut().unwrap();
    status.cycle.as_mut().unwrap().phase = CyclePhase::Unknown("Hashing".into());
    holds(world, "phase Hashing");
}

/// Only the application goes on: it is never held longer than it must be.
#[test]
fn k_19_an_application_that_an_unknown_state_may_hold_is_released() {
    let mut world = World::new(&format!(
        "{SPEC}  quiesce: {{hooks: [{{podLabels: {{app: db}}, pre: [lock], post: [unlock]}}]}}\n"
    ));
    for _ in 0..40 {
        world.round();
        if world.hooks.last() == Some(&"pre") {
            break;
        }
    }
    let status = world.pair.status.as_mut().unwrap();
    status.quiesce.as_mut().unwrap().state = QuiesceState::Unknown("Frozen".into());
    world.pass(61);
    let decision = world.think();
    let [Action::Release(_)] = decision.actions.as_slice() else {
        panic!("{:?}", decision.actions);
    };
    assert_eq!(
        decision.trouble.unwrap().reason,
        Reason::WrittenByNewerVersion
    );
}

/// A role change that has ended is history, in whatever words.
#[test]
fn k_19_an_unknown_step_of_a_finished_role_change_is_in_nobodys_way() {
    let mut world = moving();
    world.settle();
    let status = world.pair.status.as_mut().unwrap();
    status.switch.as_mut().unwrap().step = SwitchStep::Unknown("Archived".into());
    let committed = world.committed();
    world.pass(60);
    world.settle();
    assert!(world.committed() > committed);
}
