//! A standby's device that fails writes or flushes, and a primary's cut that can't be read.

use demo::shipment::Shipment;
use wire::control::{CycleOutcome, RefusalKind};

use super::device::{Asked, Device, Op};
use super::disks::Place;
use crate::world::{MIB, World, assert_equal, assert_nothing_left, consistent, superblock};

/// SYS-2: after a fault and its end both volumes are equal and nothing is left over. Meanwhile the
/// standby holds the old cut or the new one, never a mix, and after a flush that failed nothing more
/// is written through the descriptors that were open then.
#[tokio::test]
async fn sys_2_a_standby_whose_device_fails_keeps_a_whole_cut_and_follows_again() {
    let place = Place::new();
    let size = 16 * MIB;
    let mut world = World::at(place.path(), size).await;
    world.write(0, size);
    let mut base = world.baseline().await;
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
        let at = consistent(&superblock(&world.west).await).expect("there is no whole image");
        assert!([base, point].contains(&at), "the standby is at {at}");
        assert_equal(&world.cut_file(at), &device.underneath());
        world.ship(&cut, Shipment::of(point)).await;
        assert_nothing_left(&world.west);
        base = point;
    }
}

/// A cut that can't be read fails its cycle, the standby keeps what it has, and the retry arrives.
#[tokio::test]
async fn a_cut_that_can_not_be_read_leaves_the_standby_as_it_is() {
    let place = Place::new();
    let size = 16 * MIB;
    let mut world = World::at(place.path(), size).await;
    world.write(0, size);
    let base = world.baseline().await;
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

fn assert_failed(last: Option<CycleOutcome>, kind: RefusalKind) {
    match last {
        Some(CycleOutcome::Failed { cause, .. }) => assert_eq!(cause.kind, kind, "{cause:?}"),
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
