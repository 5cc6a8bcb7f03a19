//! D-3: "the state volume is tied to the data volume": a standby whose volume is another one, or an older
//! state of it, is "compared completely before it is trusted again".

use std::os::unix::fs::FileExt as _;

use protocol::units::{Epoch, ImageState, Point};

use crate::world::{MIB, World, assert_equal, consistent, promotion, superblock};

const SIZE: u64 = 16 * MIB;

/// Two commits, the first of which is a copy of all; the points.
async fn two_commits(world: &mut World) -> (Point, Point) {
    world.write(0, SIZE);
    let first = world.baseline().await;
    world.write(4 * MIB, 8 * MIB);
    let (second, ..) = world.delta(first).await;
    (first, second)
}

/// The image is at no point, can't be promoted, and is equal after the next cycle, which is a delta.
async fn is_compared(world: &mut World, second: Point) {
    assert_eq!(
        superblock(&world.west).await.image,
        ImageState::Inconsistent
    );
    let mut target = world.west.start(&world.west.volume(), false).await.unwrap();
    let promoted = target.driver.tell(promotion(&world.west, Epoch(2))).await;
    let why = format!("{:#}", promoted.unwrap_err());
    assert!(why.contains("no image to promote"), "{why}");
    target.stop().await.unwrap();
    world.write(MIB, 4096);
    let (third, ..) = world.delta(second).await;
    let report = superblock(&world.west).await;
    assert_eq!(consistent(&report), Some(third));
}

/// The standby's volume, for somebody else to write to.
fn west_volume(world: &World) -> std::fs::File {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).open(world.west.volume()).unwrap()
}

/// What the runbook had people do by hand: the volume alone goes back to an older cut.
#[tokio::test]
async fn a_volume_that_was_put_back_alone_is_compared() {
    let mut world = World::new(SIZE).await;
    let (first, second) = two_commits(&mut world).await;
    std::fs::copy(world.cut_file(first), world.west.volume()).unwrap();
    is_compared(&mut world, second).await;
}

#[tokio::test]
async fn a_volume_of_another_handle_is_compared_and_then_the_one_that_counts() {
    let mut world = World::new(SIZE).await;
    world.west.volume_id = Some("ebs.csi/vol-1".parse().unwrap());
    let (_, second) = two_commits(&mut world).await;
    assert_eq!(consistent(&superblock(&world.west).await), Some(second));
    world.west.volume_id = Some("ebs.csi/vol-2".parse().unwrap());
    // One block differs: no sample would find it.
    let volume = west_volume(&world);
    volume.write_all_at(&[0x5a; 512], 9 * MIB).unwrap();
    is_compared(&mut world, second).await;
    assert_equal(&world.east.volume(), &world.west.volume());
}

/// A volume that is shorter than the one with the image was is not that one.
#[tokio::test]
async fn a_volume_that_has_become_shorter_is_not_used() {
    let mut world = World::new(SIZE).await;
    let (_, second) = two_commits(&mut world).await;
    let volume = west_volume(&world);
    volume.set_len(SIZE / 2).unwrap();
    assert_eq!(
        superblock(&world.west).await.image,
        ImageState::Inconsistent
    );
    volume.set_len(SIZE).unwrap();
    is_compared(&mut world, second).await;
}

/// Digests that are damaged themselves say nothing about the volume.
#[tokio::test]
async fn damaged_digests_do_not_cast_doubt_on_a_good_volume() {
    let mut world = World::new(SIZE).await;
    let (first, second) = two_commits(&mut world).await;
    let old = std::fs::read(world.west.meta().join("digests")).unwrap();
    world.write(0, MIB);
    let (third, ..) = world.delta(second).await;
    std::fs::write(world.west.meta().join("digests"), old).unwrap();
    assert_eq!(consistent(&superblock(&world.west).await), Some(third));
    assert!(first < third);
}

/// "A foreign writer seen on it": what it has written no sample need find.
#[tokio::test]
async fn a_copy_that_somebody_else_has_used_is_compared_once() {
    let mut world = World::new(SIZE).await;
    let (_, second) = two_commits(&mut world).await;
    let volume = west_volume(&world);
    volume.write_all_at(&[0x5a; 512], 9 * MIB).unwrap();
    world.west.doubted = Some(second);
    is_compared(&mut world, second).await;
    assert_equal(&world.east.volume(), &world.west.volume());
}
