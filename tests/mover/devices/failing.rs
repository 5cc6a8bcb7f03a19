//! A standby's device that fails writes or flushes, and a primary's cut that can't be read.

use std::path::{Path, PathBuf};

use demo::shipment::{CYCLE_WAIT, Shipment};
use protocol::units::{Extent, Point};
use wire::control::{CycleOutcome, MoverStatus, RefusalKind};

use super::device::{Asked, Device, Op};
use super::disks::{Loop, Place};
use crate::world::{MIB, World, assert_equal, assert_nothing_left, consistent, superblock};

/// SYS-2: after a fault and its end both volumes are equal and nothing is left over. Meanwhile the
/// standby holds the old cut or the new one, never a mix, and after a flush that failed nothing more
/// is written through the descriptors that were open then.
#[tokio::test]
async fn sys_2_a_standby_whose_device_fails_keeps_a_whole_cut_and_follows_again() {
    let place = Place::new();
    let size = 16 * MIB;
    let (mut world, mut base) = World::with_baseline(place.path(), size).await;
    let device = Device::over(&world.west.volume());
    for op in [Op::Write, Op::Flush, Op::Write, Op::Flush] {
        world.scatter(true, 400, size);
        let point = world.point();
        let (cut, written) = world.east.cut(point).unwrap();
        let shipment = Shipment::of(point).delta(base, written);
        let mut source = world.east.start(&cut, true).await.unwrap();
        let mut target = world.west.start(device.path(), false).await.unwrap();
        device.take_asked();
        device.fail(op, device.whole());
        shipment.begin(&mut source, &mut target).await.unwrap();
        let status = shipment.ended(&mut source).await.unwrap();
        assert_failed(status.last, RefusalKind::TargetWriteError);
        device.heal();
        if op == Op::Flush {
            let again = shipment.run(&mut source, &mut target).await;
            assert!(again.is_err(), "a flush was repeated as if it had worked");
            assert_nothing_after_a_failed_flush(&device.take_asked());
        }
        source.kill().unwrap();
        target.kill().unwrap();
        let at = consistent(&superblock(&world.west).await).expect("there is no complete image");
        assert!([base, point].contains(&at), "the standby is at {at}");
        assert_equal(&world.cut_file(at), &device.underneath());
        world.ship(&cut, Shipment::of(point)).await;
        assert_nothing_left(&world.west);
        base = point;
    }
}

/// a standby's device is bad in one range of 64 KiB: the failure names exactly the blocks of the
/// cut that lie in it, however they were joined with what is beside them.
#[tokio::test]
async fn r_1_a_bad_range_of_the_standby_is_named_exactly() {
    let place = Place::new();
    let size = 16 * MIB;
    let (mut world, base) = World::with_baseline(place.path(), size).await;
    world.write(2 * MIB, 10 * MIB);
    let (point, shipment, cut) = next_cut(&mut world, base);
    let device = Device::over(&world.west.volume());
    device.fail(Op::Write, Extent::new(6 * MIB, 64 * 1024));
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(device.path(), false).await.unwrap();
    shipment.begin(&mut source, &mut target).await.unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    let message = assert_failed(status.last, RefusalKind::TargetWriteError);
    assert!(
        message.contains(" at byte 6291456: ")
            && message.ends_with("(os error 5); not written: 65536 bytes at byte 6291456"),
        "{message}"
    );
    // The range is all that is missing.
    let (ours, theirs) = (read(&cut), read(&device.underneath()));
    let bad = 6 << 20..(6 << 20) + (64 << 10);
    assert!(ours[..bad.start] == theirs[..bad.start] && ours[bad.end..] == theirs[bad.end..]);
    device.heal();
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    drop(device);
    assert_eq!(consistent(&superblock(&world.west).await), Some(point));
    assert_equal(&cut, &world.west.volume());
}

/// R-1, D-14: short writes go past the cache as long ones do, so the first attempt names a bad block that a
/// cache would have taken, and no flush fails later without saying which it was.
#[tokio::test]
async fn r_1_a_bad_block_among_short_writes_is_named_by_the_first_attempt() {
    let place = Place::new();
    let size = 16 * MIB;
    let (mut world, base) = World::with_baseline(place.path(), size).await;
    for block in [1, 700, 1538, 3000] {
        world.write(block * 4096, 4096);
    }
    let (point, shipment, cut) = next_cut(&mut world, base);
    let device = Device::over(&world.west.volume());
    let front = Loop::direct(device.path());
    device.fail(Op::Write, Extent::new(1538 * 4096 + 512, 512));
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(front.path(), false).await.unwrap();
    shipment.begin(&mut source, &mut target).await.unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    let message = assert_failed(status.last, RefusalKind::TargetWriteError);
    assert!(
        message.ends_with("(os error 5); not written: 4096 bytes at byte 6299648"),
        "{message}"
    );
    source.kill().unwrap();
    target.kill().unwrap();
    device.heal();
    // The next mover does it again by itself.
    let mut target = world.west.start(front.path(), false).await.unwrap();
    let at = |status: &MoverStatus| status.superblock.as_ref().and_then(consistent) == Some(point);
    target.driver.wait_for(CYCLE_WAIT, at).await.unwrap();
    target.stop().await.unwrap();
    drop(front);
    assert_equal(&cut, &device.underneath());
}

/// The primary's next cut, and how what was written since `base` is shipped.
pub(super) fn next_cut(world: &mut World, base: Point) -> (Point, Shipment, PathBuf) {
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    (point, Shipment::of(point).delta(base, written), cut)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// A cut that can't be read fails its cycle, the standby keeps what it has, and the retry arrives.
#[tokio::test]
async fn a_cut_that_can_not_be_read_leaves_the_standby_as_it_is() {
    let place = Place::new();
    let size = 16 * MIB;
    let (mut world, base) = World::with_baseline(place.path(), size).await;
    world.scatter(true, 400, size);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let last = *written.iter().max_by_key(|extent| extent.offset).unwrap();
    let shipment = Shipment::of(point).delta(base, written);
    let device = Device::over(&cut);
    let mut source = world.east.start(device.path(), true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    device.fail(Op::Read, last);
    shipment.begin(&mut source, &mut target).await.unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    assert_failed(status.last, RefusalKind::SourceReadError);
    assert_equal(&world.cut_file(base), &world.west.volume());
    device.heal();
    shipment.run(&mut source, &mut target).await.unwrap();
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&device.underneath(), &world.west.volume());
}

/// The cycle has failed for this kind of reason; what was reported.
fn assert_failed(last: Option<CycleOutcome>, kind: RefusalKind) -> String {
    match last {
        Some(CycleOutcome::Failed { cause, .. }) => {
            assert_eq!(cause.kind, kind, "{cause:?}");
            cause.message
        }
        other => panic!("a fault went unnoticed: {other:?}"),
    }
}

fn assert_nothing_after_a_failed_flush(asked: &[Asked]) {
    let failed = asked
        .iter()
        .position(|asked| asked.op == Op::Flush && !asked.done)
        .expect("no flush has failed");
    let open: Vec<u64> = asked[..=failed].iter().map(|asked| asked.handle).collect();
    let more = asked[failed + 1..]
        .iter()
        .find(|asked| asked.op != Op::Read && open.contains(&asked.handle));
    assert_eq!(more, None, "written through a descriptor that had failed");
}
