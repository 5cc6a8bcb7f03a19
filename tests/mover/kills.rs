//! SIGKILL at any moment: what is promoted is always a whole cut, and nothing has to begin again.

use std::time::Duration;

use demo::shipment::{CYCLE_WAIT, Shipment};
use protocol::units::{CyclePhase, Epoch, Point};
use rand::Rng;
use storage::volume::digest::digest;
use wire::control::CycleOutcome;

use crate::world::{MIB, World, assert_equal, consistent, promote, superblock};

/// How many times each side is killed; more with `FERRY_KILLS=n`.
fn kills() -> u32 {
    std::env::var("FERRY_KILLS").map_or(4, |n| n.parse().expect("FERRY_KILLS is a number"))
}

/// C-8: the standby killed while it applies comes back as n-1 or n.
#[tokio::test]
async fn c_8_a_target_killed_while_applying_comes_back_with_a_whole_cut() {
    let size = 48 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let base = world.baseline().await;
    world.write(0, size);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let shipment = Shipment::of(point).delta(base, written);
    shipment.begin(&mut source, &mut target).await.unwrap();
    target
        .driver
        .wait_for(CYCLE_WAIT, |status| {
            let phase = status.progress.map(|progress| progress.phase);
            phase == Some(CyclePhase::Applying)
        })
        .await
        .unwrap();
    target.kill().unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    assert!(
        matches!(
            status.last,
            Some(CycleOutcome::Failed {
                retryable: true,
                ..
            })
        ),
        "{:?}",
        status.last
    );
    source.stop().await.unwrap();
    // It resumes by itself what was complete, and can be promoted.
    let promoted = promote(&world.west, Epoch(2)).await;
    assert_eq!(promoted.committed, Some(point));
    assert_equal(&cut, &world.west.volume());
}

/// H-7: kill -9 either side at any step: the next handshake still ends hash-equal, and whatever is
/// promoted in between is exactly a cut.
#[tokio::test]
async fn h_7_movers_killed_at_random_moments_lose_nothing() {
    let size = 24 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let mut base = world.baseline().await;
    for round in 0..kills() {
        for kill_target in [true, false] {
            world.scatter(true, 1500, size);
            let point = world.point();
            let (cut, written) = world.east.cut(point).unwrap();
            let listed = round % 2 == 0;
            let shipment = match listed {
                true => Shipment::of(point).delta(base, written),
                false => Shipment::of(point),
            };
            interrupted(&mut world, &cut, &shipment, kill_target).await;
            let between = superblock(&world.west).await;
            let at = consistent(&between).expect("the standby is never without a complete image");
            let expected = world.cut_file(at);
            assert!([base, point].contains(&at), "the standby is at {at}");
            assert_equal(&expected, &world.west.volume());
            world.ship(&cut, shipment).await;
            base = point;
        }
    }
}

/// A first copy that is interrupted again and again goes on where it was durable.
#[tokio::test]
async fn a_first_copy_resumes_where_it_was_durable() {
    let size = 96 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let shipment = Shipment {
        bytes_per_second: Some(16 * MIB),
        ..Shipment::of(point)
    };
    shipment.begin(&mut source, &mut target).await.unwrap();
    target
        .driver
        .wait_for(CYCLE_WAIT, |status| {
            status.progress.is_some_and(|p| p.data_bytes >= 72 * MIB)
        })
        .await
        .unwrap();
    source.kill().unwrap();
    target.kill().unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let (report, _) = Shipment::of(point)
        .run(&mut source, &mut target)
        .await
        .unwrap();
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&cut, &world.west.volume());
    // At most two windows of 32 MiB, and what had not been sent yet.
    assert!(
        report.wire_bytes < 24 * MIB + 64 * MIB,
        "{} bytes were sent",
        report.wire_bytes
    );
    assert!(
        report.wire_bytes < 90 * MIB,
        "the copy began again: {} bytes",
        report.wire_bytes
    );
}

async fn interrupted(
    world: &mut World,
    cut: &std::path::Path,
    shipment: &Shipment,
    kill_target: bool,
) {
    let mut source = world.east.start(cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    shipment.begin(&mut source, &mut target).await.unwrap();
    let wait = Duration::from_millis(world.random.random_range(0..1200));
    tokio::time::sleep(wait).await;
    if kill_target {
        target.kill().unwrap();
        source.kill().unwrap();
    } else {
        source.kill().unwrap();
        // The target has to notice by itself, and stays of use.
        target.driver.status().await.unwrap();
        target.kill().unwrap();
    }
}

/// What was staged before a kill is still there: less is sent again than without it.
#[tokio::test]
async fn a_cycle_resumes_at_the_durable_position() {
    let size = 96 * MIB;
    let mut world = World::new(size).await;
    let base: Point = world.baseline().await;
    world.write(0, size);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let slow = Shipment {
        bytes_per_second: Some(16 * MIB),
        ..Shipment::of(point).delta(base, written.clone())
    };
    slow.begin(&mut source, &mut target).await.unwrap();
    target
        .driver
        .wait_for(CYCLE_WAIT, |status| {
            status.progress.is_some_and(|p| p.data_bytes >= 72 * MIB)
        })
        .await
        .unwrap();
    source.kill().unwrap();
    target.kill().unwrap();
    let before = digest(&world.west.volume()).unwrap();
    assert_eq!(
        before,
        digest(&world.cut_file(base)).unwrap(),
        "the image was touched"
    );
    let shipment = Shipment::of(point).delta(base, written);
    let (report, _) = world.ship(&cut, shipment).await;
    assert!(
        report.wire_bytes < 90 * MIB,
        "the cycle began again: {} bytes",
        report.wire_bytes
    );
}
