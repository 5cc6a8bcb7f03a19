//! Sides that were away, were damaged, or were left in the middle of something: the pair goes on by itself,
//! and says what it can't do.

use std::collections::BTreeSet;

use crate::cluster::tests::play::{EAST, WEST};
use crate::cluster::world::{PAIR, SITES, World};
use crate::fault::{Fault, Operation};
use api::v1alpha1::PointStatus;
use api::{Reason, names};
use planner::decide::Action;
use planner::observe::SuperblockSeen;
use protocol::units::{Epoch, ImageState, Point, Role};
use serde_json::json;
use wire::control::{Activity, Request};

fn pair(seed: u64) -> World {
    World::at_rest(seed, |_| {})
}

/// The role has moved by force while nobody reached the old primary.
fn failed_over(seed: u64) -> World {
    let mut world = pair(seed);
    world.away[EAST] = true;
    world.force(WEST);
    world.until_led_by(WEST);
    world.steps(300);
    world
}

fn commits_in(world: &mut World, epoch: u64) {
    world.app_writes();
    world.ask_for_cycle();
    world.until("a commit in the new epoch", |world| {
        world
            .committed()
            .is_some_and(|point| point.epoch == Epoch(epoch))
    });
}

/// Neither copy of a site's superblock can be read any more.
fn damage_superblock(world: &mut World, at: usize) {
    let files = world.copy_of_state(at);
    let bytes = files.durable("superblock").unwrap().len() as u64;
    for byte in (0..bytes).step_by(64) {
        assert!(files.flip("superblock", byte, 0));
    }
    world.put_state_back(at, Some(&files));
}

/// An old primary that was away while the role moved comes back without its superblock, or with one that
/// can't be read: it is remembered as primary, so it gets no volume to write before it has another.
#[test]
fn an_old_primary_that_has_lost_its_superblock_follows_by_consent() {
    for (seed, damaged) in [(1, false), (2, true)] {
        let mut world = failed_over(seed);
        let known = world.status().clone().sites;
        let known = known.iter().find(|site| site.name == SITES[EAST]).unwrap();
        let seen = SuperblockSeen::remembered(known).unwrap();
        assert_eq!((seen.role, seen.epoch), (Role::Primary, Epoch(1)));
        match damaged {
            true => damage_superblock(&mut world, EAST),
            false => world.put_state_back(EAST, None),
        }
        world.away[EAST] = false;
        world.discard(EAST, 2);
        commits_in(&mut world, 2);
    }
}

/// The last attempt of a cycle that is abandoned leaves the target waiting for its source.
#[test]
fn a_target_that_waits_for_a_cut_that_was_abandoned_takes_the_next_one() {
    let mut world = World::at_rest(3, |spec| spec.snapshot.interval = "2m".into());
    let receive = world.requests().find_map(|(_, request)| match request {
        Request::Receive(request) => Some(request.clone()),
        _ => None,
    });
    let mut request = receive.unwrap();
    request.cycle = Point::new(1, 9);
    let now = world.millis();
    let mover = world.movers[WEST].as_mut().unwrap();
    mover
        .host
        .ask(Request::Receive(request), &mut world.net, now);
    assert_eq!(
        mover.host.status().activity,
        Activity::Receiving(Point::new(1, 9))
    );
    world.app_writes();
    world.ask_for_cycle();
    world.until("the next commit", |world| {
        world.committed() == Some(Point::new(1, 2))
    });
}

#[test]
fn an_old_primary_that_was_away_is_demoted_when_it_is_back_before_anything_is_shipped_to_it() {
    let mut world = failed_over(4);
    assert!(
        world.is_diverged(EAST),
        "there was no contact with it since"
    );
    world.begun.clear();
    world.away[EAST] = false;
    world.discard(EAST, 2);
    commits_in(&mut world, 2);
    let position = |what: fn(&Action) -> bool| {
        let position = world.begun.iter().position(what);
        position.expect("was never done")
    };
    let demoted = position(|action| match action {
        Action::Command { request, .. } => matches!(request, Request::Demote(_)),
        _ => false,
    });
    assert!(demoted < position(|action| matches!(action, Action::Ship(_))));
    assert_eq!(world.status().epoch, Some(2));
    assert!(!world.is_diverged(EAST));
}

/// It was primary and does not know yet that it is not: that is no standby to build on.
#[test]
fn an_old_primary_that_is_back_counts_as_diverged() {
    let mut world = failed_over(5);
    world.away[EAST] = false;
    world.app_writes();
    world.ask_for_cycle();
    world.begun.clear();
    world.pass_seconds(3600);
    world.steps(200);
    assert!(world.is_diverged(EAST));
    assert_eq!(world.ships(), []);
    assert_eq!(world.committed(), None);
}

/// A forced promotion of a set that was complete and not committed yet: at every moment both sides have a
/// snapshot of one cut, which the world checks.
#[test]
fn a_forced_promotion_counts_in_what_was_staged_completely() {
    let mut world = pair(6);
    world.app_writes();
    world.ask_for_cycle();
    world.until("a staged set", |world| {
        let record = world.superblock(WEST);
        record.is_some_and(|record| matches!(record.image, ImageState::Redo(_)))
    });
    world.force(WEST);
    world.until_led_by(WEST);
    let promoted = world
        .status()
        .clone()
        .switch
        .unwrap()
        .promoted_point
        .unwrap();
    assert_eq!(promoted.label, "1.2");
}

#[test]
fn a_standby_that_was_put_back_before_the_commit_is_shipped_to_again() {
    let mut world = pair(7);
    let before = world.copy_of_site(WEST);
    world.server.health.snapshotter_stopped = ["west.csi".into()].into();
    world.app_writes();
    world.ask_for_cycle();
    world.until("its snapshot", |world| {
        world.cuts_asked(WEST).contains(&Point::new(1, 2))
    });
    assert_eq!(world.ships().len(), 2);
    world.put_site_back(WEST, &before);
    world.heal();
    world.until("the commit", |world| {
        world.committed() == Some(Point::new(1, 2))
    });
    assert_eq!(world.ships().len(), 3);
    let cuts = world.cuts_asked(WEST);
    let again = cuts.iter().filter(|point| point.seq.0 == 2).count();
    assert_eq!(again, 2, "the older copy's snapshot stands for the cut");
}

/// What is beyond the end of the smaller one was never the same at both sides.
#[test]
fn changes_count_from_the_smaller_of_both_snapshots() {
    let mut world = pair(8);
    for (at, bytes) in [(EAST, 8_u64 << 30), (WEST, 4 << 30)] {
        let name = names::snapshot(PAIR, SITES[at], Point::new(1, 1));
        let content = world.server.contents.get_mut(&format!("content-{name}"));
        content.unwrap()["status"]["restoreSize"] = json!(bytes);
    }
    world.app_writes();
    world.cycle_now();
    let (_, facts) = world.ships()[1].base.clone().unwrap();
    assert_eq!(facts.size_bytes, Some(4 << 30));
}

#[test]
fn a_mover_that_could_not_read_its_superblock_is_started_again() {
    let mut world = pair(9);
    let claim = names::state_claim(PAIR, SITES[EAST]);
    let handle = world.server.handle_of_claim(&claim).unwrap();
    let files = world.server.storage.files(&handle).unwrap().clone();
    files.fail(Fault {
        lasting: true,
        ..Fault::once(Operation::Read, 0)
    });
    world.app_writes();
    world.ask_for_cycle();
    world.until("the report", |world| {
        world.says(&Reason::StateVolumeUnreadable)
    });
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    files.heal();
    world.pass_seconds(301);
    world.until("the next commit", |world| {
        world.committed() > Some(Point::new(1, 1))
    });
}

#[test]
fn h_8_a_standby_whose_superblock_cannot_be_read_is_held_until_consent() {
    let mut world = pair(10);
    damage_superblock(&mut world, WEST);
    world.begun.clear();
    world.app_writes();
    world.ask_for_cycle();
    world.until("the report", |world| {
        world.says(&Reason::StateVolumeUnreadable)
    });
    world.steps(60);
    let touched = |world: &World| {
        let init = |request: &Request| matches!(request, Request::Init(_));
        !world.ships().is_empty() || world.requests().any(|(_, request)| init(request))
    };
    assert!(!touched(&world), "touched without consent");
    assert!(world.is_diverged(WEST));
    world.discard(WEST, 1);
    world.until("the next commit", |world| {
        let record = world.superblock(WEST);
        record.is_some_and(|record| record.committed.is_some())
    });
    world.rests();
    assert!(touched(&world));
    assert!(!world.is_diverged(WEST));
}

#[test]
fn a_cycle_of_an_epoch_that_is_not_the_pairs_is_abandoned() {
    let mut world = pair(11);
    world.app_writes();
    world.ask_for_cycle();
    world.until("the cycle", |world| world.status().cycle.is_some());
    let pair = world.server.pair.as_mut().unwrap();
    let cycle = pair.status.as_mut().unwrap().cycle.as_mut().unwrap();
    cycle.point = PointStatus::new(Point::new(2, 9), None);
    world.restart();
    world.edit(|_| {});
    world.steps(60);
    world.app_writes();
    world.ask_for_cycle();
    world.until("a commit", |world| {
        world.committed() > Some(Point::new(1, 1))
    });
    assert_eq!(world.committed().unwrap().epoch, Epoch(1));
}

/// SYS-4: two cuts of one number would be taken for one another.
#[test]
fn sys_4_a_number_is_used_once_though_the_status_is_wiped_after_its_cycle_was_abandoned() {
    let mut world = pair(12);
    world.app_writes();
    world.ask_for_cycle();
    world.lose_the_peer_until_a_cycle_fails();
    world.steps(40);
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    let used: BTreeSet<Point> = world.cuts_asked(EAST).into_iter().collect();
    assert!(used.len() > 1, "no cycle was abandoned");
    world.begun.clear();
    world.wipe();
    world.app_writes();
    world.until("a commit", |world| {
        world.committed() > Some(Point::new(1, 1))
    });
    let after: BTreeSet<Point> = world.cuts_asked(EAST).into_iter().collect();
    assert!(
        !after.is_empty() && used.is_disjoint(&after),
        "{used:?}, {after:?}"
    );
}
