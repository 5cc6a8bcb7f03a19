//! Verification: the two committed images are compared, and only what differs is repaired.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use demo::process::RunningMover;
use demo::shipment::CYCLE_WAIT;
use protocol::units::{ChangeSource, CyclePhase, Epoch, Extent, Point};
use wire::control::{
    Activity, Compression, CycleOutcome, MoverStatus, ReceiveRequest, RefusalKind, Request,
    Transfer, VerifyReport, VerifyRequest,
};

use crate::world::{MIB, World, assert_equal, bytes_at, consistent, promote, superblock};

/// Digests of 16 bytes a block of 4 KiB, and what frames and handshakes add.
fn digests(bytes: u64) -> u64 {
    bytes / 4096 * 16 + 16 * 1024
}

/// Both movers of one verification.
struct Movers {
    source: RunningMover,
    target: RunningMover,
}

impl Movers {
    async fn start(world: &World, point: Point) -> Movers {
        let cut = world.cut_file(point);
        Movers {
            source: world.east.start(&cut, true).await.unwrap(),
            target: world.west.start(&world.west.volume(), false).await.unwrap(),
        }
    }

    fn request(&self, cycle: Point, range: Extent, rate: Option<u64>) -> Request {
        Request::Verify(VerifyRequest {
            cycle,
            peer: self.target.address.clone(),
            peer_site: self.target.site.clone(),
            range,
            read_bytes_per_second: rate,
            transfer: Transfer {
                bytes_per_second: None,
                compression: Compression::Off,
                stall_timeout_ms: 30_000,
            },
        })
    }

    async fn begin(&mut self, cycle: Point, range: Extent, rate: Option<u64>) {
        let receive = Request::Receive(ReceiveRequest {
            cycle,
            peer_site: self.source.site.clone(),
        });
        self.target.driver.tell(receive).await.unwrap();
        let verify = self.request(cycle, range, rate);
        self.source.driver.tell(verify).await.unwrap();
    }

    /// Verifies a range; it has to go well.
    async fn verify(&mut self, cycle: Point, range: Extent) -> VerifyReport {
        self.begin(cycle, range, None).await;
        match self.ended(cycle).await.last {
            Some(CycleOutcome::Verified(report)) => *report,
            other => panic!("the verification ended as {other:?}"),
        }
    }

    async fn ended(&mut self, cycle: Point) -> MoverStatus {
        self.source
            .driver
            .wait_for(CYCLE_WAIT, |status| {
                status.activity != Activity::Shipping(cycle) && status.last.is_some()
            })
            .await
            .unwrap()
    }

    async fn stop(self) {
        self.source.stop().await.unwrap();
        self.target.stop().await.unwrap();
    }
}

/// Writes to the standby's volume behind its mover's back.
fn damage(world: &World, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new()
        .write(true)
        .open(world.west.volume())
        .unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

fn found(report: &VerifyReport) -> u64 {
    report.cycle.data_bytes + report.cycle.zero_bytes
}

/// A flipped bit, a block that should be zero, a hole where data should be, and the odd-sized tail:
/// exactly these are found, with their places, and nothing but these moves.
#[tokio::test]
async fn damage_is_found_where_it_is_and_nothing_else_moves() {
    let size = 24 * MIB + 3 * 4096 + 512;
    let mut world = World::new(size).await;
    world.write(0, 8 * MIB);
    world.write(size - 70_000, 70_000);
    let point = world.baseline().await;
    let byte = bytes_at(&world.west.volume(), MIB + 7, 1)[0];
    damage(&world, MIB + 7, &[byte ^ 1]);
    damage(&world, 12 * MIB, &[9; 4096]);
    damage(&world, 3 * MIB, &[0; 8192]);
    damage(
        &world,
        size - 1,
        &[!bytes_at(&world.west.volume(), size - 1, 1)[0]],
    );
    let mut movers = Movers::start(&world, point).await;
    let report = movers.verify(point, Extent::new(0, u64::MAX)).await;
    assert_eq!(
        report.differing,
        [
            Extent::new(MIB, 4096),
            Extent::new(3 * MIB, 8192),
            Extent::new(12 * MIB, 4096),
            Extent::new(size - 512, 512),
        ]
    );
    assert_eq!(report.range, Extent::new(0, size));
    let cycle = &report.cycle;
    assert_eq!(cycle.change_source, ChangeSource::Verify);
    assert_eq!(
        (cycle.data_bytes, cycle.zero_bytes),
        (4096 + 8192 + 512, 4096)
    );
    assert!(
        cycle.wire_bytes <= found(&report) + digests(size),
        "{} bytes went over the wire",
        cycle.wire_bytes
    );
    assert_equal(&world.cut_file(point), &world.west.volume());
    // Once repaired it stays so, and neither side's point has moved.
    let again = movers.verify(point, Extent::new(0, size)).await;
    assert_eq!((found(&again), again.differing.len()), (0, 0));
    movers.stop().await;
    let known = superblock(&world.west).await;
    assert_eq!(
        (known.committed, consistent(&known)),
        (Some(point), Some(point))
    );
    // The next cycle goes on from there as if nothing had happened.
    world.write(5 * MIB, 4096);
    let (_, report, _) = world.delta(point).await;
    assert_eq!(report.data_bytes, 4096);
}

/// A pair in good order reports no difference and moves no data.
#[tokio::test]
async fn a_healthy_pair_has_no_differences_and_moves_nothing() {
    let size = 20 * MIB;
    let mut world = World::new(size).await;
    world.write(0, 10 * MIB);
    let point = world.baseline().await;
    let mut movers = Movers::start(&world, point).await;
    let report = movers.verify(point, Extent::new(0, size)).await;
    movers.stop().await;
    assert_eq!((found(&report), report.differing.len()), (0, 0));
    assert!(
        report.cycle.wire_bytes <= digests(size),
        "{} bytes",
        report.cycle.wire_bytes
    );
}

/// A range is compared and repaired by itself; what is outside is left alone.
#[tokio::test]
async fn only_the_range_that_was_asked_for_is_looked_at() {
    let size = 40 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.baseline().await;
    for offset in [4 * MIB, 20 * MIB, 36 * MIB] {
        damage(&world, offset, &[7; 100]);
    }
    let mut movers = Movers::start(&world, point).await;
    let range = Extent::new(16 * MIB, 16 * MIB);
    let report = movers.verify(point, range).await;
    assert_eq!(report.range, range);
    assert_eq!(report.differing, [Extent::new(20 * MIB, 4096)]);
    assert!(report.cycle.read_bytes <= 16 * MIB, "{:?}", report.cycle);
    let rest = movers.verify(point, Extent::new(0, 16 * MIB)).await;
    assert_eq!(rest.differing, [Extent::new(4 * MIB, 4096)]);
    let rest = movers.verify(point, Extent::new(32 * MIB, 16 * MIB)).await;
    assert_eq!(rest.differing, [Extent::new(36 * MIB, 4096)]);
    movers.stop().await;
    assert_equal(&world.cut_file(point), &world.west.volume());
}

/// Reading keeps to its limit.
#[tokio::test]
async fn reading_is_no_faster_than_was_ordered() {
    let size = 64 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.baseline().await;
    let mut movers = Movers::start(&world, point).await;
    let started = Instant::now();
    movers
        .begin(point, Extent::new(0, size), Some(16 * MIB))
        .await;
    let status = movers.ended(point).await;
    // The first piece of 16 MiB goes at once.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(2700), "it took {took:?}");
    assert!(
        matches!(status.last, Some(CycleOutcome::Verified(_))),
        "{:?}",
        status.last
    );
    movers.stop().await;
}

/// A cut that is not the committed one of both sides is not verified: a difference might be news.
#[tokio::test]
async fn only_the_committed_cut_is_verified() {
    let mut world = World::new(8 * MIB).await;
    world.write(0, 4 * MIB);
    let point = world.baseline().await;
    let next = world.point();
    world.east.cut(next).unwrap();
    let mut movers = Movers::start(&world, next).await;
    let request = movers.request(next, Extent::new(0, MIB), None);
    let refusal = movers.source.driver.expect_refusal(request).await.unwrap();
    assert_eq!(refusal.kind, RefusalKind::OutOfOrder);
    let beyond = movers.request(point, Extent::new(8 * MIB, MIB), None);
    let refusal = movers.source.driver.expect_refusal(beyond).await.unwrap();
    assert_eq!(refusal.kind, RefusalKind::OutOfOrder);
    movers.stop().await;
}

/// C-8 for a repair: the standby killed in the middle of a verification keeps its committed point,
/// can be promoted, and a verification afterwards finds what is left.
#[tokio::test]
async fn c_8_a_target_killed_while_it_is_verified_stays_promotable() {
    // What is damaged is little of the volume: it is for the verification to find, not for a mover's start.
    let range = Extent::new(0, 48 * MIB);
    let mut world = World::new(1024 * MIB).await;
    world.write(range.offset, range.len);
    let point = world.baseline().await;
    for n in 0..8 {
        damage(&world, n * 6 * MIB, &vec![5; 2 * MIB as usize]);
    }
    for phase in [CyclePhase::Shipping, CyclePhase::Applying] {
        let mut movers = Movers::start(&world, point).await;
        movers.begin(point, range, Some(64 * MIB)).await;
        movers
            .target
            .driver
            .wait_for(CYCLE_WAIT, |status| {
                status.progress.is_some_and(|p| p.phase == phase)
            })
            .await
            .unwrap();
        movers.target.kill().unwrap();
        movers.source.stop().await.unwrap();
        let known = superblock(&world.west).await;
        assert_eq!(
            (known.committed, consistent(&known)),
            (Some(point), Some(point)),
            "killed while {phase:?}"
        );
    }
    let mut movers = Movers::start(&world, point).await;
    movers.verify(point, range).await;
    movers.stop().await;
    let promoted = promote(&world.west, Epoch(2)).await;
    assert_eq!(promoted.committed, Some(point));
    assert_equal(&world.cut_file(point), &world.west.volume());
}

/// D-4: "where the primary's block contradicts the primary's own kept digest and the standby's block
/// matches it, the damage is at the primary: nothing is overwritten".
#[tokio::test]
async fn rot_at_the_primary_never_overwrites_the_good_copy() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let point = world.baseline().await;
    let cut = world.cut_file(point);
    let good = std::fs::read(&cut).unwrap();
    let file = OpenOptions::new().write(true).open(&cut).unwrap();
    file.write_all_at(&[!good[5 << 20]], 5 << 20).unwrap();
    // Damage of the standby beside it waits until the primary is well again.
    damage(&world, 9 * MIB, b"rot");
    let rotten = std::fs::read(world.west.volume()).unwrap();
    let mut movers = Movers::start(&world, point).await;
    movers.begin(point, Extent::new(0, size), None).await;
    match movers.ended(point).await.last {
        Some(CycleOutcome::Failed {
            cause, retryable, ..
        }) => {
            assert_eq!(
                (cause.kind, retryable),
                (RefusalKind::PrimaryDamaged, false)
            );
            let range = format!("4096 bytes at byte {}", 5 * MIB);
            assert!(cause.message.contains(&range), "{}", cause.message);
            assert!(!cause.message.contains(&format!("at byte {}", 9 * MIB)));
        }
        other => panic!("the verification ended as {other:?}"),
    }
    assert!(std::fs::read(world.west.volume()).unwrap() == rotten);
    // Once the primary reads what it committed, the standby is repaired.
    file.write_all_at(&good[5 << 20..=5 << 20], 5 << 20)
        .unwrap();
    assert_eq!(
        found(&movers.verify(point, Extent::new(0, size)).await),
        4096
    );
    assert!(std::fs::read(world.west.volume()).unwrap() == good);
}
