//! K-1: claims that somebody deletes, and volumes that take the place of the pair's.

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::{APP_CLAIM, APP_POD, PAIR, SITES, World};
use api::{Reason, names};
use planner::decide::Action;

fn pair(seed: u64) -> World {
    World::at_rest(seed, |_| {})
}

/// Somebody deletes the application and its claim.
fn delete_claim(world: &mut World) {
    world.server.objects.delete_claim(APP_CLAIM);
    world.server.delete_pod(APP_POD, None);
    for _ in 0..2_000 {
        if !world.server.objects.claims.contains_key(APP_CLAIM) {
            return;
        }
        world.step(false).unwrap();
    }
    panic!("the claim does not go");
}

/// Somebody deletes the claim and creates it again before anything is reserved for it: its provisioner
/// makes another volume.
fn replace_volume(world: &mut World) {
    delete_claim(world);
    world.reapply_claim(false);
    world.until("another volume", World::app_is_elsewhere);
    world.until("the report", |world| world.says(&Reason::VolumeReplaced));
}

/// K-1: a claim that was deleted and is created again gets the volume that it had.
#[test]
fn k_1_a_claim_that_is_created_again_gets_the_volume_that_it_had() {
    let mut world = pair(1);
    world.app_writes();
    delete_claim(&mut world);
    world.steps(60);
    world.reapply_claim(true);
    world.until("the application", World::app_runs);
    assert_eq!(world.app_is_at(), Some(EAST));
    world.commit_something();
}

/// K-1: nothing of another volume is cut or shipped, and what the standby holds stays promotable.
#[test]
fn k_1_another_volume_is_neither_cut_nor_shipped() {
    let mut world = pair(2);
    replace_volume(&mut world);
    let (cuts, committed) = (world.cuts_asked(EAST), world.committed());
    world.ask_for_cycle();
    world.pass_seconds(7_200);
    world.steps(200);
    assert_eq!(world.cuts_asked(EAST), cuts);
    assert_eq!(world.committed(), committed);
    // Its people delete the claim once more, and get the recorded volume.
    delete_claim(&mut world);
    world.steps(60);
    world.reapply_claim(true);
    world.until("the application", World::app_runs);
    assert_eq!(world.app_is_at(), Some(EAST));
    world.app_writes();
    world.ask_for_cycle();
    world.until("a commit", |world| world.committed() > committed);
}

/// K-1: consent by epoch adopts the new volume, once.
#[test]
fn k_1_consent_adopts_another_volume_once() {
    let mut world = pair(3);
    replace_volume(&mut world);
    let handle = world.server.handle_of_claim(APP_CLAIM);
    // A consent for an older epoch is void.
    world.discard(EAST, 0);
    world.steps(60);
    assert!(world.says(&Reason::VolumeReplaced));
    world.volumes[EAST].clone_from(&handle);
    world.app.forget();
    world.discard(EAST, 1);
    let committed = world.committed();
    world.until("a commit", |world| world.committed() > committed);
    let recorded = world.status().sites[EAST].handle.clone();
    assert_eq!(recorded, handle);
    assert!(world.think().status.adopted_by.is_some());
    // Another one needs another consent.
    world.volumes[EAST] = handle;
    replace_volume(&mut world);
    world.steps(60);
    assert!(world.says(&Reason::VolumeReplaced));
}

/// K-1: the standby's claim is made again for the volume that it had, never for an empty one.
#[test]
fn k_1_a_standbys_claim_that_is_deleted_is_made_again_for_its_volume() {
    let mut world = pair(4);
    let claim = names::replica_claim(PAIR, SITES[WEST]);
    world.server.objects.delete_claim(&claim);
    world.until("the claim's end", |world| {
        !world.server.objects.claims.contains_key(&claim)
    });
    let before = world.begun.len();
    let volume = world.volumes[WEST].clone();
    world.until("the claim", |world| {
        world.server.handle_of_claim(&claim) == volume
    });
    let makes = |action: &Action| matches!(action, Action::MakeReplicaClaim { .. });
    assert!(!world.begun[before..].iter().any(makes));
    world.commit_something();
}

/// K-7: a forced promotion needs neither the claim nor anything that was kept of it.
#[test]
fn k_7_a_lost_claim_bars_no_forced_promotion() {
    let mut world = pair(5);
    world.server.set_scale(0);
    delete_claim(&mut world);
    world.promote(WEST, api::v1alpha1::PromotionKind::Planned);
    world.steps(100);
    assert!(!world.is_moving(), "a planned change has begun");
    world.force(WEST);
    world.until("the promotion", |world| {
        world.leads() == WEST && !world.is_moving() && world.app_is_at() == Some(WEST)
    });
    world.server.set_scale(1);
    world.until("the application", World::app_runs);
}
