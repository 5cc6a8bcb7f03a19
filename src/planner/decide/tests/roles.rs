//! Moves of the primary role.

use super::world::{SPEC, World, epoch};
use crate::decide::Action;
use api::Reason;
use api::v1alpha1::{Promotion, PromotionKind, Resolution, SwitchStep};
use protocol::units::{Epoch, Point};
use wire::control::Request;

fn baseline() -> World {
    let mut world = World::new(SPEC);
    world.replicas = Some(1);
    world.settle();
    assert_eq!(world.committed(), Some(Point::new(1, 1)));
    world
}

fn order(site: &str, epoch: i64, kind: PromotionKind) -> Option<Promotion> {
    Some(Promotion {
        site: site.into(),
        epoch,
        kind,
        attempt: None,
    })
}

fn handle(world: &World) -> String {
    world.app.clone().unwrap().volume.unwrap().handle.unwrap()
}

#[test]
fn a_planned_switch_ships_a_last_cut_of_the_stopped_volume_and_follows_by_delta() {
    let mut world = baseline();
    world.pair.spec.primary = "west".into();
    world.settle();
    let status = world.status();
    assert_eq!(status.primary.as_deref(), Some("west"));
    assert_eq!(epoch(&world), Epoch(2));
    assert_eq!(handle(&world), "west-volume");
    assert_eq!(world.replicas, Some(1));
    assert_eq!(status.switch.unwrap().step, SwitchStep::Done);
    let demotion = world.log.iter().find_map(|a| match a {
        Action::Command {
            request: Request::Demote(order),
            ..
        } => Some(order.clone()),
        _ => None,
    });
    assert_eq!(demotion.unwrap().clean_at, Some(Point::new(1, 2)));
    let stopped = world
        .log
        .iter()
        .position(|a| matches!(a, Action::Scale { replicas: 0 }))
        .unwrap();
    let cut = world.log.iter().rposition(
        |a| matches!(a, Action::Cut(w) if w.point == Point::new(1, 2) && w.site.as_str() == "east"),
    );
    assert!(
        cut.unwrap() > stopped,
        "the last cut was taken while the application ran"
    );
    world.pass(60);
    world.settle();
    let last = world.log.iter().rev().find_map(|a| match a {
        Action::Ship(plan) => Some(plan.clone()),
        _ => None,
    });
    let last = last.unwrap();
    assert_eq!(last.source.as_str(), "west");
    assert_eq!(last.base.unwrap().0, Point::new(1, 2));
    assert_eq!(world.committed().unwrap().epoch, Epoch(2));
}

#[test]
fn the_application_does_not_wait_for_the_standbys_claim() {
    let mut world = baseline();
    world.standby_claim_late = true;
    world.pair.spec.primary = "west".into();
    for _ in 0..100 {
        world.round();
    }
    assert_eq!(world.status().switch.unwrap().step, SwitchStep::Rebind);
    assert_eq!(
        (handle(&world).as_str(), world.replicas),
        ("west-volume", Some(1))
    );
    world.standby_claim_late = false;
    world.settle();
    assert_eq!(world.status().switch.unwrap().step, SwitchStep::Done);
}

#[test]
fn a_switch_resumes_wherever_the_operator_dies() {
    for dies_at in 0..80 {
        let mut world = baseline();
        world.pair.spec.primary = "west".into();
        for _ in 0..dies_at {
            world.round();
        }
        world.restart();
        world.settle();
        assert_eq!(
            world.status().primary.as_deref(),
            Some("west"),
            "restarted at round {dies_at}"
        );
        assert_eq!(handle(&world), "west-volume");
        assert_eq!(world.replicas, Some(1));
        let promotions: std::collections::BTreeSet<_> = world
            .log
            .iter()
            .filter_map(|a| match a {
                Action::Command {
                    request: Request::Promote(order),
                    ..
                } => Some((order.epoch, order.generation)),
                _ => None,
            })
            .collect();
        assert_eq!(promotions.len(), 1, "an epoch with two identities");
    }
}

#[test]
fn the_same_manifest_applied_again_moves_nothing() {
    let mut world = baseline();
    world.pair.spec.promotion = order("west", 1, PromotionKind::Planned);
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("west"));
    // The manifest in the repository still says east, and is applied again.
    world.pair.spec.promotion = None;
    for _ in 0..3 {
        world.pass(60);
        world.settle();
        assert_eq!(world.status().primary.as_deref(), Some("west"));
    }
    // Corrected first, and only then changed: that is a request.
    world.pair.spec.primary = "west".into();
    world.settle();
    world.pair.spec.primary = "east".into();
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("east"));
}

#[test]
fn an_order_for_another_epoch_is_void() {
    let mut world = baseline();
    world.pair.spec.promotion = order("west", 7, PromotionKind::Forced);
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("east"));
    assert_eq!(
        world.think().refused.unwrap().reason,
        Reason::ConsentForOtherEpoch
    );
}

/// K-7: what the disaster takes away bars a planned change, and never a forced promotion.
#[test]
fn k_7_a_lost_claim_or_class_bars_no_forced_promotion() {
    let breaks: [fn(&mut World); 2] = [
        |world| world.app = None,
        |world| world.pair.spec.snapshot.interval = "soon".into(),
    ];
    for break_it in breaks {
        let mut world = baseline();
        world.replicas = None;
        break_it(&mut world);
        world.pair.spec.promotion = order("west", 1, PromotionKind::Planned);
        world.settle();
        assert_eq!(epoch(&world), Epoch(1), "a planned change has begun");
        world.pair.spec.promotion = order("west", 1, PromotionKind::Forced);
        world.settle();
        assert_eq!(world.status().primary.as_deref(), Some("west"));
        assert_eq!(handle(&world), "west-volume");
    }
    let mut world = baseline();
    world.pair.spec.mode = api::v1alpha1::Mode::Journal;
    world.pair.spec.promotion = order("west", 1, PromotionKind::Forced);
    world.settle();
    assert_eq!(
        epoch(&world),
        Epoch(1),
        "what is wrong with the pair itself bars it"
    );
}

#[test]
fn a_site_without_a_committed_point_is_never_promoted() {
    let mut world = World::new(SPEC);
    world.snapshot_error = Some("no".into());
    world.settle();
    for kind in [PromotionKind::Planned, PromotionKind::Forced] {
        world.pair.spec.promotion = order("west", 1, kind);
        world.settle();
        assert_eq!(
            world.think().refused.unwrap().reason,
            Reason::NoCommittedPoint
        );
    }
    assert!(!world.log.iter().any(|a| matches!(
        a,
        Action::Command {
            request: Request::Promote(_),
            ..
        }
    )));
}

#[test]
fn after_a_forced_failover_the_old_side_is_left_alone_until_there_is_consent() {
    let mut world = baseline();
    world.pair.spec.promotion = order("west", 1, PromotionKind::Forced);
    world.settle();
    let status = world.status();
    assert_eq!(status.primary.as_deref(), Some("west"));
    assert!(status.switch.unwrap().loss.unwrap().contains("1.1"));
    assert!(
        status
            .sites
            .iter()
            .any(|site| site.name == "east" && site.diverged)
    );
    let before = world.log.len();
    world.pass(300);
    world.settle();
    assert!(
        !world.log[before..]
            .iter()
            .any(|a| matches!(a, Action::Ship(_))),
        "overwritten without consent"
    );
    // Consent for an older epoch is void.
    world.pair.spec.resolution = Some(Resolution {
        discard_site: "east".into(),
        epoch: 1,
    });
    world.settle();
    assert!(
        !world.log[before..]
            .iter()
            .any(|a| matches!(a, Action::Ship(_)))
    );
    world.pair.spec.resolution = Some(Resolution {
        discard_site: "east".into(),
        epoch: 2,
    });
    world.settle();
    let plan = world.log.iter().rev().find_map(|a| match a {
        Action::Ship(plan) => Some(plan.clone()),
        _ => None,
    });
    let plan = plan.unwrap();
    assert_eq!(plan.consent, Some(Epoch(2)));
    assert!(
        plan.base.is_err(),
        "a delta does not know what the old side wrote"
    );
    assert!(!world.status().sites.iter().any(|site| site.diverged));
    world.pair.spec.resolution = None;
    world.pair.spec.promotion = order("east", 2, PromotionKind::Planned);
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("east"));
    assert_eq!(epoch(&world), Epoch(3));
}

#[test]
fn h_8_a_standby_whose_superblock_cannot_be_read_is_held_until_consent() {
    let mut world = baseline();
    let west = world.side("west");
    (west.disk, west.damaged) = (None, true);
    let before = world.log.len();
    world.pass(60);
    world.settle();
    let touched = |world: &World| {
        world.log[before..].iter().any(|action| {
            matches!(
                action,
                Action::Ship(_)
                    | Action::Command {
                        request: Request::Init(_),
                        ..
                    }
            )
        })
    };
    assert!(!touched(&world), "touched without consent");
    assert_eq!(
        world.think().trouble.map(|trouble| trouble.reason),
        Some(Reason::StateVolumeUnreadable)
    );
    assert!(
        world
            .status()
            .sites
            .iter()
            .any(|site| site.name == "west" && site.diverged)
    );
    world.pair.spec.resolution = Some(Resolution {
        discard_site: "west".into(),
        epoch: 1,
    });
    world.settle();
    assert!(touched(&world));
    assert!(
        world.sides["west"]
            .disk
            .as_ref()
            .unwrap()
            .committed
            .is_some()
    );
    assert!(!world.status().sites.iter().any(|site| site.diverged));
}

#[test]
fn a_planned_switch_waits_for_pods_by_name_and_can_be_withdrawn() {
    let mut world = baseline();
    world.replicas = None;
    world.users = vec![crate::observe::PodUse {
        name: "shell".into(),
        container: "sh".into(),
        running: true,
        scheduled: true,
        labels: Default::default(),
    }];
    world.pair.spec.primary = "west".into();
    for _ in 0..10 {
        world.round();
    }
    assert!(world.status().waiting.unwrap().what.contains("shell"));
    world.pair.spec.primary = "east".into();
    world.settle();
    let status = world.status();
    assert_eq!(status.switch.unwrap().step, SwitchStep::Cancelled);
    assert_eq!(epoch(&world), Epoch(1));
    assert!(!world.log.iter().any(|a| matches!(
        a,
        Action::Command {
            request: Request::Promote(_),
            ..
        }
    )));
}

/// SYS-4, in the middle of a switch and after one.
#[test]
fn sys_4_a_status_wiped_during_a_switch_is_rebuilt_and_claims_and_roles_match() {
    for wiped_at in 0..60 {
        let mut world = baseline();
        world.pair.spec.primary = "west".into();
        for _ in 0..wiped_at {
            world.round();
        }
        world.pair.status = None;
        world.restart();
        // The consent that a move with an unknown last cut may need.
        world.settle();
        let primary = world.status().primary.unwrap();
        assert_eq!(
            handle(&world),
            format!("{primary}-volume"),
            "wiped at round {wiped_at}"
        );
        let leaders = world.sides.iter().filter(|(_, side)| {
            side.disk
                .as_ref()
                .is_some_and(|disk| disk.role == protocol::units::Role::Primary)
        });
        assert_eq!(leaders.count(), 1, "wiped at round {wiped_at}");
        let status = world.status();
        assert!(status.sites.iter().all(|site| site.handle.is_some()));
        assert!(
            status
                .switch
                .is_none_or(|switch| switch.finished_at.is_some())
        );
    }
}

#[test]
fn a_snapshot_that_hangs_is_deleted_once_the_driver_has_answered() {
    let mut world = baseline();
    world.snapshotter_stopped = Some("west".into());
    world.pass(60);
    world.settle();
    let late = Point::new(1, 2);
    let hangs = |world: &World| world.sides["west"].cuts.iter().any(|cut| cut.point == late);
    assert!(hangs(&world));
    world.pair.spec.promotion = order("west", 1, PromotionKind::Forced);
    world.pair.spec.resolution = Some(Resolution {
        discard_site: "east".into(),
        epoch: 2,
    });
    world.settle();
    assert_eq!(world.status().primary.as_deref(), Some("west"));
    assert!(hangs(&world), "deleted while the driver makes it");
    world.snapshotter_stopped = None;
    world.pass(60);
    world.settle();
    assert!(!hangs(&world), "it stays for ever");
    assert!(
        world
            .committed()
            .is_some_and(|point| point.epoch == Epoch(2))
    );
}
