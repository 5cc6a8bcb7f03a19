//! Sides that were away, went back in time, or were left in the middle of something: the pair goes on by
//! itself, and says what it can't do.

use api::Reason;
use std::collections::BTreeSet;

use super::world::{SPEC, World, epoch};
use crate::decide::{Action, Device, ShipPlan};
use crate::observe::SuperblockSeen;
use api::v1alpha1::{PointStatus, Promotion, PromotionKind, Resolution, SwitchStep};
use protocol::units::{Epoch, ImageState, Point, Role};
use wire::control::{Activity, Request, SuperblockReport};

fn baseline() -> World {
    let mut world = World::new(SPEC);
    world.replicas = Some(1);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    world
}

fn force(world: &mut World) {
    world.pair.spec.promotion = Some(Promotion {
        site: "west".into(),
        epoch: 1,
        kind: PromotionKind::Forced,
        attempt: None,
    });
}

fn plans(world: &World) -> Vec<&ShipPlan> {
    let plans = world.log.iter().filter_map(|action| match action {
        Action::Ship(plan) => Some(plan.as_ref()),
        _ => None,
    });
    plans.collect()
}

fn diverged(world: &World, name: &str) -> bool {
    let sites = world.status().sites;
    sites.iter().any(|site| site.name == name && site.diverged)
}

/// An old primary that was away while the role moved comes back without its superblock, or with one that
/// can't be read: it is remembered as primary, so it gets no volume to write before it has another.
#[test]
fn an_old_primary_that_has_lost_its_superblock_follows_by_consent() {
    for damaged in [false, true] {
        let mut world = baseline();
        world.side("east").away = true;
        force(&mut world);
        world.settle();
        assert_eq!(world.status().primary.as_deref(), Some("west"));
        let known = world.status().sites;
        let known = known.iter().find(|site| site.name == "east").unwrap();
        let seen = SuperblockSeen::remembered(known).unwrap();
        assert_eq!((seen.role, seen.epoch), (Role::Primary, Epoch(1)));
        let east = world.side("east");
        (east.away, east.disk, east.damaged) = (false, None, damaged);
        world.pair.spec.resolution = Some(Resolution {
            discard_site: "east".into(),
            epoch: 2,
        });
        world.pass(60);
        world.settle();
        let follows = world
            .committed()
            .is_some_and(|point| point.epoch == Epoch(2));
        assert!(follows, "damaged: {damaged}, {:?}", world.status().waiting);
    }
}

/// The last attempt of a cycle that is abandoned leaves the target waiting for its source.
#[test]
fn a_target_that_waits_for_a_cut_that_was_abandoned_takes_the_next_one() {
    let mut world = baseline();
    world.side("west").activity = Activity::Receiving(Point::new(1, 9));
    world.pass(60);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 2)));
}

#[test]
fn an_old_primary_that_was_away_is_demoted_when_it_is_back_before_anything_is_shipped_to_it() {
    let mut world = baseline();
    world.side("east").away = true;
    force(&mut world);
    world.settle();
    world.pass(6);
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("west"));
    world.pass(60);
    world.settle();
    assert!(
        diverged(&world, "east"),
        "there was no contact with it since"
    );
    world.side("east").away = false;
    world.pair.spec.resolution = Some(Resolution {
        discard_site: "east".into(),
        epoch: 2,
    });
    let before = world.log.len();
    world.settle();
    let position = |what: fn(&Action) -> bool| {
        let position = world.log[before..].iter().position(what);
        position.expect("was never done")
    };
    let demoted = position(|a| {
        matches!(
            a,
            Action::Command {
                request: Request::Demote(_),
                ..
            }
        )
    });
    assert!(demoted < position(|a| matches!(a, Action::Ship(_))));
    assert_eq!(world.committed().unwrap().epoch, Epoch(2));
    assert_eq!(epoch(&world), Epoch(2));
    assert!(!diverged(&world, "east"));
}

/// It was primary and does not know yet that it is not: that is no standby to build on.
#[test]
fn an_old_primary_that_is_back_counts_as_diverged() {
    let mut world = baseline();
    world.side("east").away = true;
    force(&mut world);
    world.settle();
    world.pass(6);
    world.settle();
    world.side("east").away = false;
    let side = world.side("east");
    side.disk.as_mut().unwrap().committed = Some(Point::new(1, 1));
    world.start("east", &Device::None);
    world.settle();
    assert!(diverged(&world, "east"));
    assert_eq!(world.committed(), None);
}

/// C: at every moment both sides have a snapshot of one cut, also after a forced promotion of a set that
/// was complete and not committed yet.
#[test]
fn a_common_pair_of_snapshots_outlives_a_forced_promotion() {
    let mut world = baseline();
    world.ship_held = true;
    world.pass(60);
    world.settle();
    world.side("west").disk.as_mut().unwrap().image = ImageState::Redo(Point::new(1, 2));
    force(&mut world);
    world.settle();
    let status = world.status();
    assert_eq!(status.switch.unwrap().promoted_point.unwrap().label, "1.2");
    let cuts = |name: &str| {
        let cuts = world.sides[name].cuts.iter();
        cuts.map(|cut| cut.point).collect::<Vec<_>>()
    };
    assert!(
        cuts("east").contains(&Point::new(1, 1)),
        "{:?}",
        cuts("east")
    );
    assert!(
        cuts("west").contains(&Point::new(1, 1)),
        "{:?}",
        cuts("west")
    );
}

#[test]
fn a_standby_that_was_put_back_before_the_commit_is_shipped_to_again() {
    let mut world = baseline();
    world.snapshotter_stopped = Some("west".into());
    world.pass(60);
    world.settle();
    assert_eq!(plans(&world).len(), 2);
    let disk = world.side("west").disk.as_mut().unwrap();
    assert_eq!(disk.applied, Some(Point::new(1, 2)));
    disk.applied = Some(Point::new(1, 1));
    world.snapshotter_stopped = None;
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 2)));
    assert_eq!(plans(&world).len(), 3);
    let cuts = world.log.iter().filter(|action| {
        matches!(action, Action::Cut(request) if request.site.as_str() == "west" && request.point.seq.0 == 2)
    });
    assert_eq!(
        cuts.count(),
        2,
        "the older copy's snapshot stands for the cut"
    );
}

/// What is beyond the end of the smaller one was never the same at both sides.
#[test]
fn changes_count_from_the_smaller_of_both_snapshots() {
    let mut world = baseline();
    for (site, bytes) in [("east", 8 << 30), ("west", 4 << 30)] {
        let facts = world.side(site).cuts[0].facts.as_mut();
        facts.unwrap().size_bytes = Some(bytes);
    }
    world.pass(60);
    world.settle();
    let (_, facts) = plans(&world)[1].base.clone().unwrap();
    assert_eq!(facts.size_bytes, Some(4 << 30));
}

#[test]
fn a_mover_that_could_not_read_its_superblock_is_started_again() {
    let mut world = baseline();
    world.side("west").unreadable = true;
    world.pass(60);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    world.pass(301);
    world.settle();
    world.pass(2);
    world.settle();
    assert!(world.committed() > Some(Point::new(1, 1)));
}

#[test]
fn an_image_that_was_damaged_before_it_could_be_promoted_is_named_and_the_order_can_be_withdrawn() {
    let mut world = baseline();
    world.side("west").disk.as_mut().unwrap().image = ImageState::Inconsistent;
    force(&mut world);
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("east"));
    assert_eq!(
        world.think().trouble.unwrap().reason,
        Reason::NoCommittedPoint
    );
    world.pair.spec.promotion = None;
    world.settle();
    assert_eq!(world.status().switch.unwrap().step, SwitchStep::Cancelled);
    assert_eq!(world.replicas, Some(1));
}

/// Brings west into epoch 2 as primary, and takes a copy of what both were before.
fn moved() -> (World, SuperblockReport, SuperblockReport) {
    let mut world = baseline();
    let copy = |world: &World, name: &str| world.sides[name].disk.clone().unwrap();
    let before = (copy(&world, "east"), copy(&world, "west"));
    world.pair.spec.primary = "west".into();
    world.settle();
    assert_eq!(epoch(&world), Epoch(2));
    world.pass(60);
    world.settle();
    (world, before.0, before.1)
}

fn put_back(world: &mut World, name: &str, copy: &SuperblockReport) {
    world.side(name).disk = Some(copy.clone());
    world.start(name, &Device::None);
}

#[test]
fn a_standby_put_back_to_before_the_role_moved_can_be_promoted_all_the_same() {
    let (mut world, _, _) = moved();
    let old = SuperblockReport {
        role: Role::Standby,
        image: ImageState::Consistent(Point::new(1, 1)),
        applied: Some(Point::new(1, 1)),
        epoch: Epoch(1),
        ..world.sides["east"].disk.clone().unwrap()
    };
    put_back(&mut world, "east", &old);
    world.pair.spec.promotion = Some(Promotion {
        site: "east".into(),
        epoch: 2,
        kind: PromotionKind::Forced,
        attempt: None,
    });
    world.settle();
    world.pass(6);
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("east"));
    assert_eq!(epoch(&world), Epoch(3));
}

#[test]
fn an_old_primary_put_back_where_the_role_is_to_go_is_demoted_first() {
    let (mut world, east, _) = moved();
    world.pair.spec.primary = "east".into();
    put_back(&mut world, "east", &east);
    world.settle();
    assert!(diverged(&world, "east"));
    assert_eq!(world.sides["east"].disk.as_ref().unwrap().epoch, Epoch(2));
    assert_eq!(world.status().primary.as_deref(), Some("west"));
}

#[test]
fn an_order_to_promote_an_old_primary_that_was_put_back_can_be_withdrawn() {
    let (mut world, east, _) = moved();
    world.pair.spec.promotion = Some(Promotion {
        site: "east".into(),
        epoch: 2,
        kind: PromotionKind::Forced,
        attempt: None,
    });
    let promoting = |world: &World| {
        let switch = world.status().switch;
        switch.is_some_and(|switch| switch.step == SwitchStep::Promote)
    };
    while !promoting(&world) {
        world.round();
    }
    let healthy = SuperblockReport {
        image: ImageState::Consistent(Point::new(1, 1)),
        ..east
    };
    put_back(&mut world, "east", &healthy);
    world.settle();
    assert_eq!(
        world.think().trouble.unwrap().reason,
        Reason::NoCommittedPoint
    );
    world.pair.spec.promotion = None;
    world.settle();
    assert_eq!(world.status().switch.unwrap().step, SwitchStep::Cancelled);
}

#[test]
fn a_side_that_leads_again_since_the_other_was_put_back_is_not_diverged() {
    let mut world = baseline();
    let west = world.sides["west"].disk.clone().unwrap();
    world.side("east").away = true;
    force(&mut world);
    world.settle();
    world.pass(6);
    world.settle();
    assert!(diverged(&world, "east"));
    world.side("east").away = false;
    world.pair.spec.promotion = None;
    put_back(&mut world, "west", &west);
    world.start("east", &Device::None);
    for name in ["east", "west"] {
        world.side(name).pod.as_mut().unwrap().ip = Some("10.0.0.1".into());
    }
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("east"));
    assert!(!diverged(&world, "east"));
}

#[test]
fn a_cycle_of_an_epoch_that_is_not_the_pairs_is_abandoned() {
    let mut world = baseline();
    world.ship_held = true;
    world.pass(60);
    world.settle();
    let cycle = world.pair.status.as_mut().unwrap().cycle.as_mut().unwrap();
    cycle.point = PointStatus::new(Point::new(2, 9), None);
    world.ship_held = false;
    world.pass(60);
    world.settle();
    assert_eq!(world.committed().unwrap().epoch, Epoch(1));
    assert!(world.committed() > Some(Point::new(1, 1)));
}

/// Points that were cut at east.
fn cut_at_east(log: &[Action]) -> BTreeSet<Point> {
    let cuts = log.iter().filter_map(|action| match action {
        Action::Cut(request) if request.site.as_str() == "east" => Some(request.point),
        _ => None,
    });
    cuts.collect()
}

/// SYS-4: two cuts of one number would be taken for one another.
#[test]
fn sys_4_a_number_is_used_once_though_the_status_is_wiped_after_its_cycle_was_abandoned() {
    let mut world = baseline();
    world.ship_failures = 40;
    for _ in 0..20 {
        world.pass(60);
        world.settle();
    }
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    let wiped_at = world.log.len();
    assert!(cut_at_east(&world.log).len() > 2, "no cycle was abandoned");
    world.pair.status = None;
    world.ship_failures = 0;
    for _ in 0..3 {
        world.pass(600);
        world.settle();
    }
    let (before, after) = world.log.split_at(wiped_at);
    let (before, after) = (cut_at_east(before), cut_at_east(after));
    assert!(
        !after.is_empty() && before.is_disjoint(&after),
        "{before:?}, {after:?}"
    );
}
