//! Change sources: which change source is taken, and that a fall loses nothing.

use demo::shipment::{Shipment, ship_once};
use protocol::units::{ChangeSource, Extent, ExtentSet, Point};
use wire::control::ChangeList;

use crate::world::{MIB, World};

#[tokio::test]
async fn a_list_that_breaks_in_the_middle_falls_to_digests_and_loses_nothing() {
    let size = 32 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let base = world.baseline().await;
    // More extents than one part of the list holds, so that the list can break between parts.
    let mut written = Vec::new();
    for block in 0..200 {
        let offset = block * 40 * 4096 % size;
        world.write(offset, 4096);
        written.push(Extent::new(offset, 4096));
    }
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let all = ExtentSet::union(written);
    let half = all.as_slice()[..all.as_slice().len() / 2].to_vec();
    let shipment = Shipment {
        breaks_after: Some(1),
        ..Shipment::of(point).delta(base, half)
    };
    let (report, status) = world.ship(&cut, shipment).await;
    let change_source = status.change_source.unwrap();
    assert_eq!(
        change_source.source,
        ChangeSource::Digests,
        "{change_source:?}"
    );
    assert!(change_source.reason.contains("broke"), "{change_source:?}");
    assert_eq!(report.data_bytes, all.bytes(), "only what changed was sent");
}

#[tokio::test]
async fn a_list_that_counts_from_another_cut_is_not_trusted() {
    let size = 8 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    let first = world.baseline().await;
    world.write(MIB, 4096);
    world.delta(first).await;
    world.write(2 * MIB, 4096);
    let point = world.point();
    let (cut, written) = world.east.cut(point).unwrap();
    let (report, status) = world
        .ship(&cut, Shipment::of(point).delta(first, written))
        .await;
    let change_source = status.change_source.unwrap();
    assert_eq!(
        (change_source.source, report.data_bytes),
        (ChangeSource::Digests, 4096),
        "{change_source:?}"
    );
    assert!(
        change_source.reason.contains("the list counts from cut"),
        "{change_source:?}"
    );
}

#[tokio::test]
async fn a_list_of_allocated_ranges_serves_the_first_copy_and_later_cycles() {
    let size = 64 * MIB;
    let mut world = World::new(size).await;
    world.write(3 * MIB, MIB);
    world.write(40 * MIB, MIB);
    let allocated = |extents: &[(u64, u64)], point: Point| Shipment {
        changes: ChangeList::Allocated,
        extents: extents.iter().map(|&(o, l)| Extent::new(o, l)).collect(),
        ..Shipment::of(point)
    };
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let list = [(3 * MIB, MIB), (40 * MIB, MIB)];
    let (report, _) = world.ship(&cut, allocated(&list, point)).await;
    assert_eq!(
        (report.change_source, report.read_bytes),
        (ChangeSource::Allocated, 2 * MIB)
    );
    // One range is discarded, another appears: what is not allocated any more has to become zero.
    world.zero(3 * MIB, MIB);
    world.write(50 * MIB, 8192);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let list = [(40 * MIB, MIB), (50 * MIB, 8192)];
    let (report, _) = world.ship(&cut, allocated(&list, point)).await;
    assert_eq!((report.data_bytes, report.zero_bytes), (8192, MIB));
    assert_eq!(report.read_bytes, MIB + 8192);
}

#[tokio::test]
async fn without_kept_digests_the_standby_tells_its_own_and_they_are_kept_for_the_next_cycle() {
    let size = 16 * MIB;
    let mut world = World::new(size).await;
    world.write(0, 8 * MIB);
    world.baseline().await;
    for entry in std::fs::read_dir(world.east.meta()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("digests")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    for expected in ["the standby computes", "the demo gives no list"] {
        world.write(3 * MIB, 8192);
        let point = world.point();
        let (cut, _) = world.east.cut(point).unwrap();
        let (report, status) = world.ship(&cut, Shipment::of(point)).await;
        let change_source = status.change_source.unwrap();
        assert_eq!(
            (change_source.source, report.data_bytes),
            (ChangeSource::Digests, 8192),
            "{change_source:?}"
        );
        assert!(change_source.reason.contains(expected), "{change_source:?}");
    }
}

/// D-1: "a short or missing file … digests are dropped with that reason and the next cycle compares;
/// never a wrong 'unchanged'". The application zeroes blocks whose digests are lost.
#[tokio::test]
async fn kept_digests_that_are_lost_are_not_taken_for_zeros() {
    let size = 32 * MIB;
    let mut world = World::new(size).await;
    world.write(0, size);
    world.baseline().await;
    let pages = world.east.meta().join("digests");
    let file = std::fs::OpenOptions::new().write(true).open(pages).unwrap();
    file.set_len(8192).unwrap();
    world.zero(16 * MIB, 4 * MIB);
    let point = world.point();
    let (cut, _) = world.east.cut(point).unwrap();
    let shipment = Shipment::of(point);
    let failed = ship_once(&world.east, &cut, &world.west, &shipment).await;
    let why = format!("{:#}", failed.unwrap_err());
    assert!(why.contains("their file has 8192 bytes"), "{why}");
    let (report, status) = world.ship(&cut, shipment).await;
    assert_eq!(report.zero_bytes, 4 * MIB);
    let reason = status.change_source.unwrap().reason;
    assert!(reason.contains("no digests are kept here"), "{reason}");
}
