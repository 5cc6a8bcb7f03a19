//! Part H: the handshake, through real movers.

use demo::process::RunningMover;
use demo::shipment::{CYCLE_WAIT, Shipment};
use protocol::units::{Epoch, HandshakeMode, HandshakeRow, ImageState};
use storage::volume::digest::digest;
use wire::control::{Activity, CycleOutcome, RefusalKind};

use crate::world::{MIB, World, assert_equal, consistent, demote, superblock};

/// H-1: a clean reconnect with no writes: mode NONE, 0 data bytes.
#[tokio::test]
async fn h_1_the_same_cut_again_moves_nothing() {
    let mut world = World::new(8 * MIB).await;
    world.write(0, MIB);
    let point = world.baseline().await;
    let cut = world.cut_file(point);
    let (report, status) = world.ship(&cut, Shipment::of(point)).await;
    let decision = status.decision.unwrap();
    assert_eq!(
        (decision.mode, decision.row),
        (HandshakeMode::None, HandshakeRow::SameHead)
    );
    assert_eq!(
        (report.data_bytes, report.zero_bytes, report.read_bytes),
        (0, 0, 0)
    );
}

/// H-3, in Snapshot mode: neither a list of changes nor kept digests are left, so that nothing tells
/// what has changed since the standby's point: BITMAP, and the bytes are the changed regions, not the
/// volume's size. So SYS-3 holds as well. H-8: digests that are corrupt count as lost, with a reason.
#[tokio::test]
async fn h_3_h_8_sys_3_without_a_list_or_digests_only_changed_regions_move() {
    let size = 32 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    world.baseline().await;
    for corrupt in [false, true] {
        for entry in std::fs::read_dir(world.east.meta()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match name.starts_with("digests") {
                true if corrupt => std::fs::write(&path, vec![0x5a; 8192]).unwrap(),
                true => std::fs::remove_file(&path).unwrap(),
                false => {}
            }
        }
        world.write(3 * MIB, 8192);
        world.write(20 * MIB, 4096);
        world.write(20 * MIB, 4096);
        let point = world.point();
        let (cut, _) = world.east.cut(point).unwrap();
        let (report, status) = world.ship(&cut, Shipment::of(point)).await;
        let decision = status.decision.unwrap();
        assert_eq!(
            (decision.mode, decision.row),
            (HandshakeMode::Bitmap, HandshakeRow::Bounded)
        );
        assert_eq!(report.data_bytes, 3 * 4096, "corrupt {corrupt}");
        assert!(report.wire_bytes < MIB, "{} bytes", report.wire_bytes);
        let reason = status.change_source.unwrap().reason;
        assert!(reason.contains("no digests are kept here"), "{reason}");
    }
}

/// SYS-4: whoever gave the requests is gone in the middle of a cycle. The next one sees from the movers
/// alone what is going on, gives the same orders again, and nothing is copied twice.
#[tokio::test]
async fn sys_4_orders_given_again_by_another_operator_copy_nothing_twice() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let shipment = Shipment {
        bytes_per_second: Some(8 * MIB),
        ..Shipment::of(point)
    };
    shipment.begin(&mut source, &mut target).await.unwrap();
    world.east.reconnect(&mut source).await.unwrap();
    world.west.reconnect(&mut target).await.unwrap();
    let seen = source.driver.status().await.unwrap();
    assert_eq!(seen.activity, Activity::Shipping(point));
    let (report, _) = shipment.run(&mut source, &mut target).await.unwrap();
    assert!(
        report.wire_bytes < size + MIB,
        "{} bytes",
        report.wire_bytes
    );
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&cut, &world.west.volume());
}

/// H-4: a blank standby: FULL.
#[tokio::test]
async fn h_4_a_blank_standby_is_copied_in_full() {
    let mut world = World::new(8 * MIB).await;
    world.write(MIB, MIB);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let (report, status) = world.ship(&cut, Shipment::of(point)).await;
    let decision = status.decision.unwrap();
    assert_eq!(
        (decision.mode, decision.row),
        (HandshakeMode::Full, HandshakeRow::Blank)
    );
    assert_eq!((report.data_bytes, report.zero_bytes), (MIB, 7 * MIB));
    assert_eq!(consistent(&superblock(&world.west).await), Some(point));
}

/// H-6: failover with 100 unreplicated writes on the old primary, then it returns: with consent
/// BITMAP on the union and images hash-equal; without consent nothing on it changes and the status
/// is DIVERGED.
#[tokio::test]
async fn h_6_a_returning_primary_is_held_until_consent_and_then_follows_by_difference() {
    let size = 32 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let base = world.baseline().await;
    // The old primary goes on for 100 writes that nobody gets.
    world.scatter(true, 100, size);
    let promoted = world.promote(false).await;
    assert_equal(&world.cut_file(base), &world.west.volume());
    let held = demote(&world.east, &promoted, None).await;
    assert!(held.diverged);
    world.scatter(false, 50, size);
    let point = world.point();
    let (cut, _) = world.west.cut(point).unwrap();

    let before = digest(&world.east.volume()).unwrap();
    let mut source = world.west.start(&cut, true).await.unwrap();
    let mut target = world.east.start(&world.east.volume(), false).await.unwrap();
    for stale in [None, Some(Epoch(1)), Some(Epoch(3))] {
        let shipment = Shipment {
            consent: stale,
            ..Shipment::of(point)
        };
        shipment.begin(&mut source, &mut target).await.unwrap();
        let status = shipment.ended(&mut source).await.unwrap();
        match status.last {
            Some(CycleOutcome::Failed { cause, .. }) => {
                assert_eq!(cause.kind, RefusalKind::Diverged)
            }
            other => panic!("consent {stale:?} let it through: {other:?}"),
        }
        has_seen_the_refusal(&mut target).await;
        assert_eq!(
            digest(&world.east.volume()).unwrap(),
            before,
            "consent {stale:?}"
        );
    }
    let shipment = Shipment {
        consent: Some(Epoch(2)),
        ..Shipment::of(point)
    };
    let (report, status) = shipment.run(&mut source, &mut target).await.unwrap();
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    let decision = status.decision.unwrap();
    assert_eq!(
        (decision.mode, decision.row),
        (HandshakeMode::Bitmap, HandshakeRow::DivergedTail)
    );
    assert_equal(&cut, &world.east.volume());
    assert!(
        report.data_bytes <= 150 * 4096,
        "{} bytes of data",
        report.data_bytes
    );
    let followed = superblock(&world.east).await;
    assert!(!followed.diverged);
    assert_eq!(consistent(&followed), Some(point));
}

/// Waits until what the source has refused is over on the target too. The word is on its way still
/// when the source shows that it has ended, and it ends the request to receive: one that comes before
/// it is a repeat of that order, and ends with it. The operator pauses between two attempts with the
/// same cut, and takes this failure for the target's own if it comes to it; the tests wait.
async fn has_seen_the_refusal(target: &mut RunningMover) {
    target
        .driver
        .wait_for(CYCLE_WAIT, |status| status.activity == Activity::Idle)
        .await
        .unwrap();
}

/// H-8: an ex-primary whose superblock is corrupt is held, never silently overwritten.
#[tokio::test]
async fn h_8_a_corrupt_superblock_stops_everything_but_the_questions() {
    let mut world = World::new(8 * MIB).await;
    world.write(0, MIB);
    world.baseline().await;
    let file = world.west.meta().join("superblock");
    let len = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0x5a; usize::try_from(len).unwrap()]).unwrap();
    let before = digest(&world.west.volume()).unwrap();
    let mut mover = world.west.start(&world.west.volume(), false).await.unwrap();
    let status = mover.driver.status().await.unwrap();
    assert_eq!(
        status.superblock_error.unwrap().kind,
        RefusalKind::SuperblockUnreadable
    );
    for request in [
        crate::world::promotion(&world.west, Epoch(2)),
        wire::control::Request::Receive(wire::control::ReceiveRequest {
            cycle: world.point(),
            peer_site: "east".parse().unwrap(),
        }),
    ] {
        let refusal = mover.driver.expect_refusal(request).await.unwrap();
        assert_eq!(refusal.kind, RefusalKind::SuperblockUnreadable);
    }
    mover.stop().await.unwrap();
    assert_eq!(digest(&world.west.volume()).unwrap(), before);
}

/// H-8: an old primary whose superblock is corrupt is held; with consent for this epoch it gets a new
/// one and all of the image, and nothing of its volume changes before.
#[tokio::test]
async fn h_8_an_old_primary_with_a_corrupt_superblock_is_held_until_consent() {
    let size = 8 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    world.baseline().await;
    world.scatter(true, 20, size);
    let promoted = world.promote(false).await;
    let file = world.east.meta().join("superblock");
    std::fs::write(&file, vec![0x5a; 8192]).unwrap();
    let before = digest(&world.east.volume()).unwrap();
    world.scatter(false, 20, size);
    let point = world.point();
    let (cut, _) = world.west.cut(point).unwrap();
    let mut source = world.west.start(&cut, true).await.unwrap();
    let mut target = world.east.start(&world.east.volume(), false).await.unwrap();

    let init = |over_damage| {
        wire::control::Request::Init(wire::control::InitRequest {
            pair_id: promoted.pair_id,
            role: protocol::units::Role::Standby,
            epoch: promoted.epoch,
            generation: promoted.lineage.last().unwrap().generation,
            start: promoted.lineage.last().unwrap().start,
            never_writable: false,
            requested_primary: "west".parse().unwrap(),
            over_damage,
        })
    };
    let refusal = target.driver.expect_refusal(init(false)).await.unwrap();
    assert_eq!(refusal.kind, RefusalKind::SuperblockUnreadable);
    target.driver.tell(init(true)).await.unwrap();
    // A new superblock alone is no consent to the copy: what it stood for is not known any more.
    let shipment = Shipment::of(point);
    shipment.begin(&mut source, &mut target).await.unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    assert!(
        matches!(&status.last, Some(CycleOutcome::Failed { cause, .. }) if cause.kind == RefusalKind::Diverged),
        "{:?}",
        status.last
    );
    assert_eq!(digest(&world.east.volume()).unwrap(), before);

    let shipment = Shipment {
        consent: Some(promoted.epoch),
        ..shipment
    };
    // Movers that are started again: what the ones before were at is no part of this, and what the new
    // superblock says is read back.
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    let (_, status) = demo::shipment::ship_once(&world.west, &cut, &world.east, &shipment)
        .await
        .unwrap();
    assert_eq!(status.decision.unwrap().mode, HandshakeMode::Full);
    assert_equal(&cut, &world.east.volume());
}

/// A planned switch and back again: each way only the difference moves.
#[tokio::test]
async fn a_planned_switch_loses_nothing_and_failback_is_by_difference() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let base = world.baseline().await;
    world.scatter(true, 10, size);
    let (last, ..) = world.delta(base).await;
    let promoted = world.promote(false).await;
    let demoted = demote(&world.east, &promoted, Some(last)).await;
    assert!(!demoted.diverged);
    assert_eq!(demoted.image, ImageState::Consistent(last));
    world.scatter(false, 10, size);
    let point = world.point();
    let (cut, _) = world.west.cut(point).unwrap();
    // Without a list: the standby of before kept the digests of what it applied.
    let (report, status) =
        demo::shipment::ship_once(&world.west, &cut, &world.east, &Shipment::of(point))
            .await
            .unwrap();
    assert_equal(&cut, &world.east.volume());
    assert_eq!(status.decision.unwrap().mode, HandshakeMode::Log);
    assert!(
        report.data_bytes <= 10 * 4096,
        "{} bytes",
        report.data_bytes
    );
}
