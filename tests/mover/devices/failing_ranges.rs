//! Ranges of a standby's device that can't be written while a set is applied: what is shown, what is tried
//! again, and what becomes of a promotion meanwhile.

use std::time::Duration;

use protocol::units::{Epoch, Extent, FailedRange, Point, Role};
use wire::control::{MoverStatus, RefusalKind};

use super::device::{Device, Op};
use super::disks::Place;
use super::failing::next_cut;
use super::write_log::{Entry, WriteLog};
use crate::world::{MIB, World, assert_equal, assert_nothing_left, consistent, promotion};

/// How long a mover may take to write what it can, or to try again.
const LIMIT: Duration = Duration::from_secs(30);

fn at(point: Point) -> impl Fn(&MoverStatus) -> bool {
    move |status| status.superblock.as_ref().and_then(consistent) == Some(point)
}

/// the ranges that can't be written are in the status with their errors, everything else is
/// written, and once the storage works again only those ranges are written, by the mover itself. Nothing is
/// sent again, and nothing is left over.
#[tokio::test]
async fn r_2_only_the_ranges_that_failed_are_written_again() {
    let place = Place::new();
    let size = 16 * MIB;
    let (mut world, base) = World::with_baseline(place.path(), size).await;
    world.write(2 * MIB, 10 * MIB);
    let (point, shipment, cut) = next_cut(&mut world, base);
    let device = Device::over(&world.west.volume());
    let bad = [Extent::new(6 * MIB, 64 * 1024), Extent::new(9 * MIB, 4096)];
    bad.iter().for_each(|range| device.fail(Op::Write, *range));
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(device.path(), false).await.unwrap();
    shipment.begin(&mut source, &mut target).await.unwrap();
    let shown = bad.map(|extent| FailedRange { extent, errno: 5 });
    let status = (target.driver)
        .wait_for(LIMIT, |status| status.unwritten == shown)
        .await
        .unwrap();
    assert_eq!(status.superblock.unwrap().committed, Some(base));
    // It stays shown while it is tried again, and everything else is there.
    shipment.ended(&mut source).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(target.driver.status().await.unwrap().unwritten, shown);
    let (ours, theirs) = (
        std::fs::read(&cut).unwrap(),
        std::fs::read(device.underneath()).unwrap(),
    );
    let inside = |byte: usize| {
        bad.iter()
            .any(|e| (e.offset..e.end()).contains(&(byte as u64)))
    };
    let wrong = (0..ours.len()).find(|byte| ours[*byte] != theirs[*byte] && !inside(*byte));
    assert_eq!(wrong, None);
    let data = tempfile::tempfile().unwrap();
    device.log_into(WriteLog::new(data));
    device.heal();
    target.driver.wait_for(LIMIT, at(point)).await.unwrap();
    assert_equal(&cut, &device.underneath());
    let log = device.take_log();
    let again: u64 = log
        .entries()
        .iter()
        .map(|entry| match entry {
            Entry::Write(extent, _) | Entry::Zero(extent) => {
                assert!(
                    inside(usize::try_from(extent.offset).unwrap()),
                    "{extent:?}"
                );
                extent.len
            }
            Entry::Flush => 0,
        })
        .sum();
    assert_eq!(again, 64 * 1024 + 4096);
    // The next attempt of the cycle finds it done.
    let (report, _) = shipment.run(&mut source, &mut target).await.unwrap();
    assert!(report.wire_bytes < 64 * 1024, "{report:?}");
    assert!(target.driver.status().await.unwrap().unwritten.is_empty());
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_nothing_left(&world.west);
}

/// a promotion that would have to wait for a set which can't be written is refused, with the cut, the
/// range, the error and what to do; it is never accepted and then dropped. Once the storage works again the
/// set is written, and the promotion is taken.
#[tokio::test]
async fn r_6_a_promotion_is_refused_in_words_while_its_set_can_not_be_written() {
    let place = Place::new();
    let size = 16 * MIB;
    let (mut world, base) = World::with_baseline(place.path(), size).await;
    world.write(4 * MIB, 4 * MIB);
    let (point, shipment, cut) = next_cut(&mut world, base);
    let device = Device::over(&world.west.volume());
    device.fail(Op::Write, Extent::new(6 * MIB, 4096));
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(device.path(), false).await.unwrap();
    shipment.begin(&mut source, &mut target).await.unwrap();
    shipment.ended(&mut source).await.unwrap();
    source.kill().unwrap();
    // By the mover that has seen the failure, and by the next one, whenever it is asked.
    for asked in 0..3 {
        let refusal = target
            .driver
            .expect_refusal(promotion(&world.west, Epoch(2)))
            .await
            .unwrap();
        assert_eq!(refusal.kind, RefusalKind::TargetWriteError);
        for word in [
            format!("cut {point} is here completely"),
            "at byte 6291456".into(),
            "os error 5".into(),
            "repair the storage".into(),
        ] {
            assert!(
                refusal.message.contains(&word),
                "{word}: {}",
                refusal.message
            );
        }
        let report = target.driver.status().await.unwrap().superblock.unwrap();
        assert_eq!((report.role, report.epoch), (Role::Standby, Epoch(1)));
        if asked == 0 {
            target.kill().unwrap();
            target = world.west.start(device.path(), false).await.unwrap();
        }
    }
    device.heal();
    target.driver.wait_for(LIMIT, at(point)).await.unwrap();
    let request = promotion(&world.west, Epoch(2));
    target.driver.tell(request).await.unwrap();
    let primary = |status: &MoverStatus| {
        let superblock = status.superblock.as_ref();
        superblock.is_some_and(|s| s.role == Role::Primary && s.epoch == Epoch(2))
    };
    target.driver.wait_for(LIMIT, primary).await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&cut, &device.underneath());
}
