//! A standby's state volume that fails writes or flushes, or is full.

use std::fs::File;
use std::path::PathBuf;

use demo::shipment::Shipment;
use protocol::units::Point;
use wire::control::{CycleOutcome, RefusalKind};

use super::device::{Device, Op};
use super::disks::{Kind, Loop, Mount, Place};
use crate::world::{MIB, World, assert_equal, assert_nothing_left, consistent, superblock};

const SIZE: u64 = 16 * MIB;

/// Where the standby's state volume is mounted, as `World::at` expects it.
fn meta(place: &Place) -> PathBuf {
    place.path().join("west").join("meta")
}

/// SYS-2 where it is the state volume that fails: ext4 aborts its journal and takes no more
/// writes. The cycle fails, and once the volume is back, mounted again, the standby holds a whole cut
/// and follows.
#[tokio::test]
async fn sys_2_a_standby_whose_metadata_volume_fails_keeps_a_whole_cut_and_follows_again() {
    let place = Place::new();
    let device = Device::over(&place.file("meta.img", Kind::Ext4.size()));
    let disk = Loop::direct(device.path());
    Kind::Ext4.make(disk.path());
    let mount = || Mount::new(disk.path(), &meta(&place), Kind::Ext4);
    let mut mounted = mount();
    let (mut world, mut base) = World::with_baseline(place.path(), SIZE).await;
    for op in [Op::Write, Op::Flush, Op::Write, Op::Flush] {
        world.scatter(true, 400, SIZE);
        let point = world.point();
        let (cut, written) = world.east.cut(point).unwrap();
        let shipment = Shipment::of(point).delta(base, written);
        let mut source = world.east.start(&cut, true).await.unwrap();
        let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
        device.fail(op, device.whole());
        let ended = match shipment.begin(&mut source, &mut target).await {
            // The request to receive was refused already.
            Err(_) => None,
            Ok(()) => Some(shipment.ended(&mut source).await.unwrap()),
        };
        if let Some(status) = ended {
            assert!(
                matches!(status.last, Some(CycleOutcome::Failed { .. })),
                "the fault went unnoticed: {:?}",
                status.last
            );
        }
        source.kill().unwrap();
        target.kill().unwrap();
        drop(mounted);
        device.heal();
        mounted = mount();
        assert_whole(&world, &[base, point]).await;
        world.ship(&cut, Shipment::of(point)).await;
        assert_nothing_left(&world.west);
        base = point;
    }
    drop(mounted);
    assert!(Kind::Ext4.is_clean(disk.path()));
}

/// A full state volume fails the cycle and says so; the standby keeps its cut, and with room again
/// it follows.
#[tokio::test]
async fn a_full_metadata_volume_is_named_and_costs_no_cut() {
    let place = Place::new();
    let disk = Loop::over(&place.file("meta.img", Kind::Ext4.size()));
    Kind::Ext4.make(disk.path());
    let mounted = Mount::new(disk.path(), &meta(&place), Kind::Ext4);
    let (mut world, base) = World::with_baseline(place.path(), SIZE).await;
    let filler = mounted.at().join("filler");
    fill(&filler);
    world.write(0, SIZE);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let shipment = Shipment::of(point).delta(base, written);
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    shipment.begin(&mut source, &mut target).await.unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    match status.last {
        Some(CycleOutcome::Failed { cause, .. }) => assert!(
            [RefusalKind::StagingTooSmall, RefusalKind::StateVolumeFull].contains(&cause.kind),
            "{cause:?}"
        ),
        other => panic!("a full state volume went unnoticed: {other:?}"),
    }
    assert_equal(&world.cut_file(base), &world.west.volume());
    std::fs::remove_file(&filler).unwrap();
    shipment.run(&mut source, &mut target).await.unwrap();
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&cut, &world.west.volume());
    assert_nothing_left(&world.west);
}

/// The standby's image is one of these cuts, bit for bit.
async fn assert_whole(world: &World, cuts: &[Point]) {
    let at = consistent(&superblock(&world.west).await).expect("there is no complete image");
    assert!(cuts.contains(&at), "the standby is at {at}");
    assert_equal(&world.cut_file(at), &world.west.volume());
}

/// Takes all the room there is.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = File::create(path).unwrap();
    let piece = vec![1; MIB as usize];
    while file.write_all(&piece).is_ok() {}
    file.sync_all().unwrap();
}
