//! Part C: snapshot cycles.

use std::time::Instant;

use demo::shipment::Shipment;
use protocol::units::ChangeSource;
use wire::control::{Activity, CycleOutcome, ReceiveRequest, RefusalKind, Request};

use crate::world::{MIB, World, assert_equal, bytes_at};

/// C-1: a sparse volume whose last object is a hole: the cycle ends, and the copies are equal.
#[tokio::test]
async fn c_1_a_hole_at_the_end_does_not_keep_the_cycle_from_ending() {
    let mut world = World::new(16 * MIB).await;
    world.write(MIB, 64 * 1024);
    let base = world.baseline().await;
    world.write(0, 4096);
    world.delta(base).await;
}

/// C-2: the last object overwritten with real zeros after data: the standby has zeros there.
#[tokio::test]
async fn c_2_zeros_overwrite_old_data() {
    let mut world = World::new(8 * MIB).await;
    world.write(7 * MIB, MIB);
    let base = world.baseline().await;
    world.zero(7 * MIB, MIB);
    let (base, report, _) = world.delta(base).await;
    assert_eq!((report.data_bytes, report.zero_bytes), (0, MIB));
    assert_eq!(bytes_at(&world.west.volume(), 7 * MIB, 4096), [0; 4096]);
    // And by digests too, without a list.
    world.write(7 * MIB, MIB);
    let (_, report, _) = world.delta(base).await;
    assert_eq!(report.data_bytes, MIB);
    world.zero(7 * MIB, MIB);
    let point = world.baseline().await;
    assert_eq!(
        bytes_at(&world.west.volume(), 7 * MIB, 4096),
        [0; 4096],
        "cut {point}"
    );
}

/// C-3: a zero object in the middle followed by data: nothing is lost.
#[tokio::test]
async fn c_3_data_after_zeros_arrives() {
    let mut world = World::new(16 * MIB).await;
    world.write(0, 12 * MIB);
    let base = world.baseline().await;
    world.write(0, MIB);
    world.zero(4 * MIB, 4 * MIB);
    world.write(10 * MIB, MIB);
    let (_, report, _) = world.delta(base).await;
    assert_eq!((report.data_bytes, report.zero_bytes), (2 * MIB, 4 * MIB));
}

/// C-4: an empty difference and one of nothing but zeros commit in less than 5 s with no data.
#[tokio::test]
async fn c_4_empty_and_all_zero_differences_commit_quickly() {
    let mut world = World::new(16 * MIB).await;
    world.write(0, 4 * MIB);
    let base = world.baseline().await;
    let started = Instant::now();
    let (base, report, _) = world.delta(base).await;
    assert_eq!((report.data_bytes, report.zero_bytes), (0, 0));
    assert!(report.wire_bytes < 64 * 1024, "{} bytes", report.wire_bytes);
    assert!(
        started.elapsed().as_secs_f64() < 5.0,
        "{:?}",
        started.elapsed()
    );
    world.zero(0, 4 * MIB);
    let started = Instant::now();
    let (_, report, _) = world.delta(base).await;
    assert_eq!((report.data_bytes, report.zero_bytes), (0, 4 * MIB));
    assert!(report.wire_bytes < 64 * 1024, "{} bytes", report.wire_bytes);
    assert!(
        started.elapsed().as_secs_f64() < 5.0,
        "{:?}",
        started.elapsed()
    );
}

/// C-5: a size that is no multiple of an object, and a discard of the last half object: equal.
#[tokio::test]
async fn c_5_an_odd_size_and_a_discarded_end_are_copied_exactly() {
    let size = 8 * MIB + 3 * 4096 + 512;
    let mut world = World::new(size).await;
    world.write(size - 70_000, 70_000);
    world.write(0, MIB);
    let base = world.baseline().await;
    world.zero(size - 6_000, 6_000);
    let (base, ..) = world.delta(base).await;
    world.write(size - 100, 100);
    world.delta(base).await;
}

/// C-7: a read error on one chunk: the cycle fails, its retry resumes, and less than two windows are
/// sent again. The error is real: the cut's file ends early under the mover.
#[tokio::test]
async fn c_7_a_read_error_fails_the_cycle_and_the_retry_resumes() {
    let size = 24 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let whole = std::fs::read(&cut).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&cut).unwrap();
    file.set_len(20 * MIB).unwrap();
    let shipment = Shipment::of(point);
    shipment.begin(&mut source, &mut target).await.unwrap();
    let status = shipment.ended(&mut source).await.unwrap();
    match status.last {
        Some(CycleOutcome::Failed {
            cause, retryable, ..
        }) => {
            assert_eq!(
                (cause.kind, retryable),
                (RefusalKind::SourceReadError, true),
                "{cause:?}"
            );
        }
        other => panic!("a read error went unnoticed: {other:?}"),
    }
    std::fs::write(&cut, &whole).unwrap();
    shipment.run(&mut source, &mut target).await.unwrap();
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&cut, &world.west.volume());
}

/// C-9: an interval shorter than the cycle: never two cycles at once.
#[tokio::test]
async fn c_9_a_second_cycle_is_refused_while_one_runs() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let (first, second) = (world.point(), world.point());
    let (cut, _) = world.east.cut(first).unwrap();
    let mut source = world.east.start(&cut, true).await.unwrap();
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let slow = Shipment {
        bytes_per_second: Some(4 * MIB),
        ..Shipment::of(first)
    };
    slow.begin(&mut source, &mut target).await.unwrap();
    let other = Request::Receive(ReceiveRequest {
        cycle: second,
        peer_site: "east".parse().unwrap(),
    });
    let refusal = target.driver.expect_refusal(other).await.unwrap();
    assert_eq!(refusal.kind, RefusalKind::OutOfOrder);
    // Repeating the requests under way changes nothing.
    slow.begin(&mut source, &mut target).await.unwrap();
    let status = source.driver.status().await.unwrap();
    assert_eq!(status.activity, Activity::Shipping(first));
    let fast = Request::SetBandwidth {
        bytes_per_second: None,
    };
    source.driver.tell(fast).await.unwrap();
    let started = Instant::now();
    let status = slow.ended(&mut source).await.unwrap();
    assert!(
        matches!(status.last, Some(CycleOutcome::Applied(_))),
        "{:?}",
        status.last
    );
    assert!(
        started.elapsed().as_secs_f64() < 20.0,
        "the lifted limit still held"
    );
    source.stop().await.unwrap();
    target.stop().await.unwrap();
    assert_equal(&cut, &world.west.volume());
}

/// Changes that are listed coarsely are sorted out by the digests kept of the same cut.
#[tokio::test]
async fn a_coarse_list_moves_only_what_really_changed() {
    let mut world = World::new(16 * MIB).await;
    world.write(0, 16 * MIB);
    let base = world.baseline().await;
    world.write(5 * MIB, 4096);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let whole = vec![protocol::units::Extent::new(4 * MIB, 4 * MIB)];
    let (report, _) = world
        .ship(&cut, Shipment::of(point).delta(base, whole))
        .await;
    assert_eq!(
        (report.change_source, report.data_bytes, report.read_bytes),
        (ChangeSource::Delta, 4096, 4 * MIB)
    );
}
