//! D-12: links and limits under which one batch takes longer than the stall time-out.

#[path = "../../benches/proxy.rs"]
mod proxy;

use std::time::{Duration, Instant};

use demo::shipment::Shipment;
use proxy::Proxy;
use wire::control::{Activity, CycleOutcome, MoverStatus, Request};

use crate::world::{MIB, World, assert_equal};

/// 64 kbit/s, and one second there and back.
const NARROW: Proxy = Proxy {
    delay: Duration::from_millis(500),
    rate: 8000.0,
};

/// D-12: a cycle arrives over 64 kbit/s with 1 s round trip, though its one batch takes 20 s and the attempt
/// fails where nothing has moved for 5 s.
#[tokio::test]
async fn d_12_a_cycle_arrives_over_a_narrow_and_long_link() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let base = world.baseline().await;
    world.write(4 * MIB, 160 * 1024);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let shipment = Shipment {
        stall_timeout_ms: 5000,
        ..Shipment::of(point).delta(base, written)
    };
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    target.address = NARROW.lead_to(&target.address).unwrap();
    let started = Instant::now();
    shipment.run(&mut source, &mut target).await.unwrap();
    assert!(
        started.elapsed() > Duration::from_secs(18),
        "the link is too wide"
    );
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&cut, &world.west.volume());
}

/// D-12: what is said goes before the data that waits: an abort arrives within seconds, though the batch that
/// is under way needs two minutes more.
#[tokio::test]
async fn d_12_an_abort_overtakes_the_batch_on_a_narrow_link() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let base = world.baseline().await;
    world.write(4 * MIB, 4 * MIB);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let shipment = Shipment::of(point).delta(base, written);
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    target.address = NARROW.lead_to(&target.address).unwrap();
    shipment.begin(&mut source, &mut target).await.unwrap();
    let under_way = |status: &MoverStatus| {
        let wire = status
            .progress
            .as_ref()
            .map_or(0, |progress| progress.wire_bytes);
        wire > 60_000
    };
    (target.driver)
        .wait_for(Duration::from_secs(60), under_way)
        .await
        .unwrap();
    let asked = Instant::now();
    let reason = "enough".to_string();
    source.driver.tell(Request::Abort { reason }).await.unwrap();
    let ended = |status: &MoverStatus| matches!(&status.last, Some(CycleOutcome::Failed { cause, .. }) if cause.message.contains("enough"));
    let status = (target.driver)
        .wait_for(Duration::from_secs(60), ended)
        .await
        .unwrap();
    assert_eq!(status.activity, Activity::Idle);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(20), "after {took:?}");
    source.stop().await.unwrap();
    target.stop().await.unwrap();
}

/// D-12: the same where it is not the link that is narrow, but the limit that is set.
#[tokio::test]
async fn d_12_a_cycle_arrives_under_a_low_limit_of_the_bandwidth() {
    let size = 4 * MIB;
    let mut world = World::new(size).await;
    world.write(0, 512 * 1024);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let shipment = Shipment {
        bytes_per_second: Some(48 * 1024),
        stall_timeout_ms: 3000,
        ..Shipment::of(point)
    };
    let started = Instant::now();
    world.ship(&cut, shipment).await;
    assert!(
        started.elapsed() > Duration::from_secs(8),
        "the limit is not kept"
    );
}
