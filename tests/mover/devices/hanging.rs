//! A device that takes a read and never answers it.

use std::time::{Duration, Instant};

use demo::shipment::Shipment;
use protocol::units::Extent;
use wire::control::{CycleOutcome, RefusalKind};

use super::device::{Device, Op};
use super::disks::Place;
use crate::world::{MIB, World, assert_equal, superblock};

/// C-10: a reader that never completes the last chunk: the attempt fails at its stall time-out and
/// says what was open, instead of hanging; once the device answers, the same cut arrives.
#[tokio::test]
async fn c_10_a_read_that_never_ends_fails_at_the_stall_timeout() {
    let place = Place::new();
    let size = 16 * MIB;
    let (mut world, base) = World::with_baseline(place.path(), size).await;
    world.write(0, size);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let device = Device::over(&cut);
    let mut source = world.east.start(device.path(), true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let shipment = Shipment {
        stall_timeout_ms: 2_000,
        ..Shipment::of(point)
    };
    {
        let _hanging = device.hang(Op::Read, Extent::new(size - 4096, 4096));
        let started = Instant::now();
        shipment.begin(&mut source, &mut target).await.unwrap();
        let status = shipment.ended(&mut source).await.unwrap();
        let took = started.elapsed();
        match status.last {
            Some(CycleOutcome::Failed {
                cause, retryable, ..
            }) => {
                assert_eq!(cause.kind, RefusalKind::Stalled, "{cause:?}");
                assert!(retryable);
            }
            other => panic!("a read that never ends ended: {other:?}"),
        }
        let in_time = Duration::from_secs(2)..Duration::from_secs(15);
        assert!(in_time.contains(&took), "it took {took:?}");
        let hung = device
            .take_asked()
            .iter()
            .filter(|asked| !asked.done)
            .count();
        assert!(hung >= 1, "the last chunk was never asked for");
        // Both sides still answer, and the standby holds what it held.
        let standby = target.driver.status().await.unwrap();
        assert_eq!(standby.superblock.unwrap().committed, Some(base));
        assert_equal(&world.cut_file(base), &world.west.volume());
    }
    // The very same movers go on when the device does.
    shipment.run(&mut source, &mut target).await.unwrap();
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&device.underneath(), &world.west.volume());
    assert_eq!(superblock(&world.west).await.committed, Some(point));
}
