//! The superblock under torn writes, bit flips and failing disks.

use std::sync::Arc;

use uuid::Uuid;

use crate::{Fault, Operation, SimDisk};
use mover_core::translate::{record_of, superblock_of};
use protocol::pair::Record;
use protocol::pair::demote::{Demote, demoted};
use protocol::pair::promote::{Promote, promoted};
use protocol::units::{Epoch, Generation, ImageState, Lineage, PairId, Point, Role, Seq};
use storage::journal::{JournalError, Superblock, SuperblockStore};
use storage::seam::Disk;

fn superblock(epoch: u64) -> Superblock {
    Superblock {
        pair_id: PairId(Uuid::from_u128(7)),
        site: "east".parse().unwrap(),
        role: Role::Standby,
        epoch: Epoch(epoch),
        lineage: Lineage::starting(Epoch(1), Generation(Uuid::from_u128(1)), Seq(1)),
        committed: Some(Point::new(epoch, 9)),
        applied: None,
        image: ImageState::None,
        size_bytes: 1 << 30,
        volume: None,
        never_writable: true,
        diverged: false,
        requested_primary: "west".parse().unwrap(),
    }
}

fn open(disk: &SimDisk) -> Result<(SuperblockStore, Option<Superblock>), JournalError> {
    SuperblockStore::open(Arc::new(disk.clone()))
}

fn epoch_of(disk: &SimDisk) -> Option<u64> {
    open(disk).unwrap().1.map(|s| s.epoch.0)
}

#[test]
fn what_was_saved_is_read_and_a_blank_disk_is_blank() {
    let disk = SimDisk::new(1 << 20, 0);
    assert!(open(&disk).unwrap().1.is_none());
    for epoch in 1..5 {
        let (mut store, _) = open(&disk).unwrap();
        store.save(&superblock(epoch)).unwrap();
        store.save(&superblock(epoch + 1)).unwrap();
        assert_eq!(open(&disk).unwrap().1, Some(superblock(epoch + 1)));
    }
}

/// A crash or an error at every single operation of a save, in 40 different ways each.
#[test]
fn a_save_that_is_cut_short_leaves_the_old_or_the_new_and_stays_so() {
    for operation in [Operation::Write, Operation::Flush, Operation::Name] {
        for after in 0..3 {
            for seed in 0..40 {
                for fresh in [true, false] {
                    let disk = SimDisk::new(1 << 20, seed);
                    let (mut store, _) = open(&disk).unwrap();
                    if !fresh {
                        store.save(&superblock(1)).unwrap();
                    }
                    disk.fail(Fault::once(operation, after));
                    let result = store.save(&superblock(2));
                    if result.is_err() {
                        assert!(
                            store.save(&superblock(3)).is_err(),
                            "went on after a failure"
                        );
                    }
                    disk.heal();
                    disk.crash();
                    let found = epoch_of(&disk);
                    let old = (!fresh).then_some(1);
                    if result.is_ok() {
                        assert_eq!(found, Some(2));
                    } else {
                        assert!(found == Some(2) || found == old, "{found:?}");
                    }
                    // Once it was looked at it is decided: damage to either copy changes nothing.
                    for copy in 0..u64::from(found.is_some()) * 2 {
                        let hurt = disk.clone_durable(seed);
                        assert!(hurt.flip("superblock", copy * 4096 + seed * 97, 3));
                        assert_eq!(epoch_of(&hurt), found);
                    }
                }
            }
        }
    }
}

#[test]
fn no_single_flipped_bit_loses_or_changes_anything() {
    let disk = SimDisk::new(1 << 20, 1);
    let (mut store, _) = open(&disk).unwrap();
    store.save(&superblock(1)).unwrap();
    store.save(&superblock(2)).unwrap();
    for byte in (0..8192).step_by(7).chain(0..40) {
        let hurt = disk.clone_durable(1);
        assert!(hurt.flip("superblock", byte, 5));
        assert_eq!(open(&hurt).unwrap().1, Some(superblock(2)), "byte {byte}");
    }
}

#[test]
fn two_damaged_copies_are_damage_and_not_a_blank_site() {
    let disk = SimDisk::new(1 << 20, 1);
    let (mut store, _) = open(&disk).unwrap();
    store.save(&superblock(1)).unwrap();
    assert!(disk.flip("superblock", 30, 0));
    assert!(disk.flip("superblock", 4096 + 30, 0));
    let error = open(&disk).err().unwrap();
    assert!(error.is_damage(), "{error}");
    let empty = SimDisk::new(1 << 20, 1);
    storage::seam::Disk::create(&empty, "superblock").unwrap();
    assert!(open(&empty).err().unwrap().is_damage());
}

#[test]
fn only_a_damaged_superblock_is_discarded_and_the_next_save_takes_its_place() {
    let disk = SimDisk::new(1 << 20, 1);
    let discard = |disk: &SimDisk| SuperblockStore::over_damage(Arc::new(disk.clone()));
    assert!(discard(&disk).is_err(), "there is none");
    let (mut store, _) = open(&disk).unwrap();
    store.save(&superblock(1)).unwrap();
    assert!(discard(&disk).is_err(), "it can be read");
    assert!(disk.flip("superblock", 30, 0));
    assert!(discard(&disk).is_err(), "one copy can be read");
    assert!(disk.flip("superblock", 4096 + 30, 0));
    let mut store = discard(&disk).unwrap();
    assert!(open(&disk).is_err(), "discarding alone changes nothing");
    store.save(&superblock(7)).unwrap();
    assert_eq!(epoch_of(&disk), Some(7));
}

#[test]
fn a_full_disk_is_said_and_a_copy_that_cannot_be_read_is_replaced() {
    let disk = SimDisk::new(100, 1);
    let (mut store, _) = open(&disk).unwrap();
    assert!(store.save(&superblock(1)).unwrap_err().is_full());
    disk.set_capacity(1 << 20);
    let (mut store, found) = open(&disk).unwrap();
    assert_eq!(found, None);
    store.save(&superblock(1)).unwrap();
    disk.fail(Fault::once(Operation::Read, 0));
    assert_eq!(epoch_of(&disk), Some(1));
}

#[test]
fn the_longest_superblock_fits_and_forgets_only_the_oldest() {
    let disk = SimDisk::new(1 << 20, 1);
    let (mut store, _) = open(&disk).unwrap();
    let mut long = superblock(300);
    for epoch in 2..300 {
        let generation = Generation(Uuid::from_u128(u128::MAX - u128::from(epoch)));
        let at = Point::new(epoch - 1, u64::MAX - 1000 + epoch);
        long.lineage = long.lineage.promoted(at, Epoch(epoch), generation);
    }
    long.site = "e".repeat(63).parse().unwrap();
    for (handle, kept) in [(500, true), (5000, false)] {
        long.volume = format!("ebs.csi/{}", "v".repeat(handle)).parse().ok();
        store.save(&long).unwrap();
        let found = open(&disk).unwrap().1.unwrap();
        assert_eq!(found.lineage.last(), long.lineage.last());
        assert!(found.lineage.0.len() >= 90);
        assert_eq!(found.volume, long.volume.clone().filter(|_| kept));
    }
}

/// What old versions have saved is read, stays as it is until something is saved, and is of the newest
/// format then. Their bytes are kept in the corpus.
#[test]
fn a_superblock_of_an_old_format_is_read_and_saved_in_the_newest() {
    for bytes in [
        &include_bytes!("../../fuzz/corpus/superblock/valid-v1-00")[..],
        &include_bytes!("../../fuzz/corpus/superblock/valid-v2-00")[..],
    ] {
        is_upgraded(bytes);
    }
}

fn is_upgraded(bytes: &[u8]) {
    let disk = SimDisk::new(1 << 20, 1);
    let file = disk.create("superblock").unwrap();
    file.write_at(0, bytes).unwrap();
    file.flush().unwrap();
    let (mut store, found) = open(&disk).unwrap();
    let upgraded = Superblock {
        pair_id: PairId(Uuid::from_u128(9)),
        site: "west".parse().unwrap(),
        role: Role::Standby,
        epoch: Epoch(2),
        lineage: Lineage::starting(Epoch(1), Generation(Uuid::from_u128(1)), Seq(1)).promoted(
            Point::new(1, 300),
            Epoch(2),
            Generation(Uuid::from_u128(2)),
        ),
        committed: Some(Point::new(2, 308)),
        applied: Some(Point::new(2, 309)),
        image: ImageState::Consistent(Point::new(2, 309)),
        size_bytes: 1 << 30,
        volume: None,
        never_writable: true,
        diverged: false,
        requested_primary: "east".parse().unwrap(),
    };
    assert_eq!(found.as_ref(), Some(&upgraded));
    assert_eq!(disk.durable("superblock").unwrap(), bytes);
    store.save(&upgraded).unwrap();
    let saved = disk.durable("superblock").unwrap();
    assert_eq!([saved[8], saved[4096 + 8]], [3, 3]);
    assert_eq!(open(&disk).unwrap().1, Some(upgraded));
}

/// A newer format is refused, also in one slot only, and left alone; the error says what to do.
#[test]
fn a_superblock_of_a_newer_format_is_refused_and_left_alone() {
    for slot in 0..2 {
        let disk = SimDisk::new(1 << 20, 1);
        let (mut store, _) = open(&disk).unwrap();
        store.save(&superblock(1)).unwrap();
        let file = disk.open("superblock").unwrap().unwrap();
        let mut bytes = vec![0; 4096];
        file.read_at(slot * 4096, &mut bytes).unwrap();
        bytes[8] = 4;
        bytes[12..16].fill(0);
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        file.write_at(slot * 4096, &bytes).unwrap();
        file.flush().unwrap();
        let before = disk.durable("superblock");
        let error = open(&disk).err().unwrap().to_string();
        assert_eq!(
            error,
            "superblock has format 4, but this version reads up to 3: upgrade this site"
        );
        assert!(SuperblockStore::over_damage(Arc::new(disk.clone())).is_err());
        assert_eq!(disk.durable("superblock"), before);
    }
}

/// The record as the next process finds it.
fn saved(store: &mut SuperblockStore, disk: &SimDisk, record: &Record) -> Record {
    let site = "east".parse().unwrap();
    store
        .save(&superblock_of(None, &site, record, 1 << 30))
        .unwrap();
    record_of(&SuperblockStore::peek(disk).unwrap().unwrap())
}

/// D-9: "10,000 role changes: history is trimmed on disk and nobody is ever falsely diverged". Each has a
/// last cut that both sides hold, and each side reads its record back from disk.
#[test]
fn ten_thousand_role_changes_leave_nobody_diverged() {
    let disk = SimDisk::new(1 << 20, 1);
    let (mut store, _) = open(&disk).unwrap();
    let first = Point::new(1, 1);
    let mut primary = record_of(&Superblock {
        role: Role::Primary,
        never_writable: false,
        committed: Some(first),
        applied: Some(first),
        image: ImageState::Consistent(first),
        ..superblock(1)
    });
    for epoch in 2..10_002 {
        let point = Point::new(epoch - 1, primary.applied.unwrap().seq.0 + 1);
        let at_the_cut = Record {
            committed: Some(point),
            applied: Some(point),
            image: ImageState::Consistent(point),
            ..primary
        };
        let old = saved(&mut store, &disk, &at_the_cut);
        // The standby has taken the cut, and the primary's history with it.
        let standby = Record {
            role: Role::Standby,
            ..at_the_cut
        };
        let promote = Promote {
            epoch: Epoch(epoch),
            generation: Generation(Uuid::from_u128(u128::from(epoch))),
            peer_head: None,
            requested_primary: "west".parse().unwrap(),
        };
        let new = promoted(&saved(&mut store, &disk, &standby), &promote).unwrap();
        let new = saved(&mut store, &disk, &new);
        let demote = Demote {
            epoch: Epoch(epoch),
            lineage: new.lineage.clone(),
            clean_at: Some(point),
            requested_primary: "west".parse().unwrap(),
        };
        let left = saved(&mut store, &disk, &demoted(&old, &demote).unwrap());
        assert!(!left.diverged, "the change to epoch {epoch}");
        assert!(left.follows(&new.lineage), "the change to epoch {epoch}");
        primary = new;
    }
}
