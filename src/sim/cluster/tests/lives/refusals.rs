//! What is refused, and who does not answer: it is reported within ten seconds, and the rest goes on.

use crate::cluster::admission::Kind;
use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::World;
use api::conditions::{self, DEGRADED};
use api::v1alpha1::PromotionKind;

/// Within how many seconds a person is reported.
const REPORTED_WITHIN: i64 = 10;

fn degraded(world: &World) -> (String, String, String) {
    let status = world.status();
    let found = conditions::get(&status.conditions, DEGRADED).unwrap();
    (
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    )
}

/// K-8: PodSecurity, a quota and a webhook are reported in their own words within ten seconds, with the object's
/// name; when they are gone the cycle goes on by itself and nothing is reported any more.
#[test]
fn k_8_what_is_refused_is_reported_in_its_own_words_and_goes_on_when_it_is_allowed() {
    let refusals = [
        (Kind::Pod, "violates PodSecurity", "-mover"),
        (Kind::Claim, "exceeded quota", "-read"),
        (
            Kind::Snapshot,
            "failed calling webhook",
            "VolumeSnapshot orders-",
        ),
    ];
    for (kind, words, object) in refusals {
        let mut world = World::at_rest(7, |_| {});
        world.app_writes();
        world.server.admission.refused.push(kind);
        world.ask_for_cycle();
        world.until("the refusal", |world| !world.status().failing.is_empty());
        let refused_at = world.status().failing[0].since.0;
        world.until("it to be reported", |world| {
            degraded(world).1 == "ActionRefused"
        });
        let after = world.server.now().duration_since(refused_at);
        assert!(after.as_secs() < REPORTED_WITHIN, "{after}");
        let (_, _, message) = degraded(&world);
        assert!(
            message.contains(words) && message.contains(object),
            "{message}"
        );
        world.server.admission.refused.clear();
        let before = world.committed();
        world.until("the commit", |world| world.committed() > before);
        world.rests();
        assert_eq!(degraded(&world).0, "False", "{}", degraded(&world).2);
        assert!(world.status().failing.is_empty());
    }
}

/// K-8: a claim that may not grow keeps no cycle and no move of the role from being made.
#[test]
fn k_8_what_does_not_stand_on_the_refused_goes_on() {
    let mut world = World::at_rest(9, |_| {});
    world.server.admission.refused.push(Kind::Growth);
    world.edit(|spec| spec.transfer.state_volume_size = Some("4Gi".into()));
    world.until("the refusal", |world| degraded(world).1 == "ActionRefused");
    world.commit_something();
    assert!(degraded(&world).2.contains("exceeded quota"));
    world.promote(WEST, PromotionKind::Planned);
    world.until_led_by(WEST);
    world.until("it to be reported again", |world| {
        degraded(world).2.contains("grow claim")
    });
}

/// K-9: a mover whose process is stopped is replaced, and the cycle comes to its end.
#[test]
fn k_9_a_mover_that_hangs_is_replaced() {
    for at in [EAST, WEST] {
        let mut world = World::at_rest(11, |_| {});
        let before = world.committed();
        world.app_writes();
        world.ask_for_cycle();
        world.until("a mover", |world| world.movers[at].is_some());
        world.hang_mover(at);
        let hung = world.hung[at].clone();
        world.until("the commit", |world| world.committed() > before);
        assert_ne!(
            world.movers[at].as_ref().map(|mover| mover.pod_uid.clone()),
            hung,
            "it was not replaced"
        );
    }
}

/// K-9: a mover that can't end, because its node is dead, is named with the node and its condition.
#[test]
fn k_9_a_mover_on_a_dead_node_is_named_with_it() {
    let mut world = World::at_rest(13, |_| {});
    world.ask_for_cycle();
    world.until("the mover", |world| world.movers[WEST].is_some());
    let pod = world.mover_pod(WEST).unwrap();
    let node = pod.spec.as_ref().unwrap().node_name.clone().unwrap();
    world.server.health.dead_nodes.insert(node.clone());
    let name = api::names::mover(crate::cluster::world::PAIR, "west");
    world.server.delete_pod(&name, None);
    world.until("it to be reported", |world| {
        let (_, reason, message) = degraded(world);
        reason == "MoverNotAnswering" && message.contains(&node) && message.contains(&name)
    });
    assert!(degraded(&world).2.contains("out-of-service"));
    world.server.health.dead_nodes.clear();
    let before = world.committed();
    world.until("the commit", |world| world.committed() > before);
}
