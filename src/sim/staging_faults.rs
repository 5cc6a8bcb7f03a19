//! The redo log under crashes, kills, bit flips and failing disks.

use std::sync::Arc;

use proptest::prelude::*;

use crate::fault::ENOSPC;
use crate::{Fault, Operation, SimDisk};
use protocol::changes::{
    BLOCK_BYTES, BatchData, BlockDigest, CycleId, CycleSum, Region, RegionKind, hash_blocks,
};
use protocol::units::{ChangeSource, Extent, Point};
use storage::journal::{JournalError, Staging, StagingOutcome, StagingSpec};
use storage::seam::Disk;

const LIMIT: u64 = 8 << 20;
const CAPACITY: u64 = 1 << 30;

fn spec(seq: u64) -> StagingSpec {
    StagingSpec {
        id: CycleId {
            cycle: Point::new(1, seq),
            from: Some(Point::new(1, seq - 1)),
        },
        size_bytes: 1 << 20,
        change_source: ChangeSource::Delta,
    }
}

/// A batch of one block of data and one of zeros at its own place.
fn batch(number: u64, salt: u8) -> BatchData {
    let data: Vec<u8> = (0..BLOCK_BYTES)
        .map(|n| (n % 200) as u8 ^ salt ^ number.to_le_bytes()[0] | 1)
        .collect();
    let offset = number * 4 * BLOCK_BYTES;
    BatchData {
        through: offset + 3 * BLOCK_BYTES,
        regions: vec![
            Region {
                extent: Extent::new(offset, BLOCK_BYTES),
                kind: RegionKind::Data {
                    crc: crc32c::crc32c(&data),
                },
            },
            Region {
                extent: Extent::new(offset + 2 * BLOCK_BYTES, BLOCK_BYTES),
                kind: RegionKind::Zero,
            },
        ],
        data: data.into(),
    }
}

fn append(staging: &mut Staging, batch: &BatchData) -> Result<(), JournalError> {
    staging.append(batch, &hash_blocks(batch))
}

fn sum_of(batches: &[BatchData]) -> CycleSum {
    let disk = SimDisk::new(CAPACITY, 0);
    let mut staging = Staging::create(Arc::new(disk), spec(2), LIMIT).unwrap();
    for batch in batches {
        append(&mut staging, batch).unwrap();
    }
    staging.sum()
}

/// What recovery finds: where it goes on, whether it is whole, and the batches that it was shown.
fn recover(disk: &SimDisk) -> (Option<Box<Staging>>, bool, Vec<BatchData>) {
    let mut kept = Vec::new();
    let mut each = |batch: &BatchData, digests: &[BlockDigest]| {
        assert_eq!(digests, hash_blocks(batch));
        kept.push(batch.clone());
        Ok(())
    };
    let applied = Some(Point::new(1, 1));
    let disk = Arc::new(disk.clone());
    match Staging::recover(disk, LIMIT, applied, &mut each).unwrap() {
        StagingOutcome::Nothing => (None, false, kept),
        StagingOutcome::Open(staging) => (Some(staging), false, kept),
        StagingOutcome::Complete(staging) => (Some(staging), true, kept),
    }
}

/// Writes the cycle; how far it was promised durable, and whether it was promised whole.
fn write(disk: &SimDisk, batches: &[BatchData], flush_every: usize) -> (u64, bool) {
    let mut promised = 0;
    let mut run = || -> Result<(), JournalError> {
        let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT)?;
        for (n, batch) in batches.iter().enumerate() {
            append(&mut staging, batch)?;
            if n % flush_every == 0 {
                promised = staging.checkpoint().run()?;
            }
        }
        staging.seal(sum_of(batches))
    };
    let whole = run().is_ok();
    (promised, whole)
}

/// Finishes a cycle that recovery has found open, and checks that it comes out right.
fn finish(disk: &SimDisk, found: Option<Box<Staging>>, batches: &[BatchData]) {
    let mut staging = match found {
        Some(staging) => staging,
        None => Box::new(Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap()),
    };
    let from = staging.through();
    for batch in batches.iter().filter(|b| b.through > from) {
        append(&mut staging, batch).unwrap();
    }
    staging.seal(sum_of(batches)).unwrap();
    let read: Vec<BatchData> = staging.read().unwrap().map(Result::unwrap).collect();
    assert_eq!(read, batches);
}

proptest! {
    /// Whatever fails, and however the machine goes down: nothing that was promised durable is lost,
    /// nothing is made up, and the cycle can be finished from there.
    #[test]
    fn a_cycle_survives_any_one_failure(
        seed in any::<u64>(),
        count in 1_usize..12,
        flush_every in 1_usize..5,
        operation in prop::sample::select(vec![Operation::Write, Operation::Flush, Operation::Name]),
        after in 0_u64..40,
        power in any::<bool>(),
    ) {
        let batches: Vec<BatchData> = (0..count as u64).map(|n| batch(n, 3)).collect();
        let disk = SimDisk::new(CAPACITY, seed);
        // A log of an earlier cycle is below.
        write(&disk, &[batch(0, 9), batch(1, 9), batch(5, 9)], 1);
        disk.fail(Fault::once(operation, after));
        let (promised, whole) = write(&disk, &batches, flush_every);
        disk.heal();
        if power { disk.crash() } else { disk.kill() }
        let (found, sealed, kept) = recover(&disk);
        let through = found.as_ref().map_or(0, |s| s.through());
        if found.is_some() && kept.first() != Some(&batch(0, 9)) {
            prop_assert!(through >= promised);
            prop_assert!(batches.starts_with(&kept));
            prop_assert!(sealed || !whole);
        } else {
            // The new log never became durable, so nothing was promised.
            prop_assert!(promised == 0 && !whole);
        }
        if found.as_ref().is_some_and(|s| s.sealed().is_some()) {
            let staging = found.unwrap();
            let read: Vec<BatchData> = staging.read().unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(read, kept);
        } else if kept.first() != Some(&batch(0, 9)) {
            // What recovery found is on the storage: losing power now changes nothing.
            drop(found);
            disk.crash();
            let (found, _, kept_again) = recover(&disk);
            prop_assert_eq!(&kept_again, &kept);
            finish(&disk, found, &batches);
        }
    }

    /// A flipped bit costs the tail of the log, never a wrong byte.
    #[test]
    fn a_flipped_bit_is_never_believed(byte in 0_u64..40_000, bit in 0_u8..8) {
        let batches: Vec<BatchData> = (0..8).map(|n| batch(n, 3)).collect();
        let disk = SimDisk::new(CAPACITY, 1);
        write(&disk, &batches, 1);
        prop_assume!(disk.flip("staging", byte, bit));
        let (found, _, kept) = recover(&disk);
        prop_assert!(batches.starts_with(&kept));
        finish(&disk, found, &batches);
    }
}

#[test]
fn a_log_of_a_cut_that_the_volume_holds_is_dropped() {
    let disk = SimDisk::new(CAPACITY, 1);
    write(&disk, &[batch(0, 1)], 1);
    let shared = Arc::new(disk.clone());
    let outcome = Staging::recover(shared, LIMIT, Some(Point::new(1, 2)), &mut |_, _| Ok(()));
    assert!(matches!(outcome.unwrap(), StagingOutcome::Nothing));
    assert!(disk.durable("staging").is_none());
}

/// Each region of a batch has the digests of its own blocks, so the sum does not depend on the batches.
#[test]
fn a_log_has_the_same_digest_however_it_is_cut_into_batches() {
    let apart = [batch(1, 1), batch(2, 1)];
    let together = BatchData {
        through: apart[1].through,
        regions: apart.iter().flat_map(|b| b.regions.clone()).collect(),
        data: [&apart[0].data[..], &apart[1].data[..]].concat().into(),
    };
    assert_eq!(sum_of(&[together]), sum_of(&apart));
}

#[test]
fn a_sum_that_differs_is_never_sealed() {
    let disk = SimDisk::new(CAPACITY, 1);
    let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
    append(&mut staging, &batch(0, 1)).unwrap();
    assert!(
        staging
            .seal(sum_of(&[batch(0, 2)]))
            .unwrap_err()
            .is_damage()
    );
    assert!(staging.read().is_err());
    assert!(append(&mut staging, &batch(0, 1)).is_err(), "it went back");
    staging.seal(sum_of(&[batch(0, 1)])).unwrap();
    staging.seal(sum_of(&[batch(0, 1)])).unwrap();
    assert!(append(&mut staging, &batch(7, 1)).is_err());
}

/// A set that was completed, and that was not reported, goes on where it stopped.
#[test]
fn a_log_whose_seal_is_taken_off_goes_on_behind_its_last_batch() {
    let disk = SimDisk::new(CAPACITY, 1);
    let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
    append(&mut staging, &batch(0, 1)).unwrap();
    let open = staging.len_bytes();
    staging.unseal().unwrap();
    assert_eq!(staging.len_bytes(), open, "there was no seal to take off");
    staging.seal(staging.sum()).unwrap();
    staging.unseal().unwrap();
    assert_eq!((staging.sealed(), staging.len_bytes()), (None, open));
    let batches = [batch(0, 1), batch(1, 1)];
    finish(&disk, Some(Box::new(staging)), &batches);
    let (found, whole, kept) = recover(&disk);
    assert!(whole && kept == batches, "{kept:?}");
    // The same after the mover was started again in between.
    let mut found = found.unwrap();
    found.unseal().unwrap();
    let longer = [batch(0, 1), batch(1, 1), batch(2, 1)];
    finish(&disk, Some(found), &longer);
    assert!(recover(&disk).1);
}

#[test]
fn too_small_and_full_are_reported_as_different() {
    let disk = SimDisk::new(CAPACITY, 1);
    let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), 16 * 1024).unwrap();
    let error = (0..9)
        .find_map(|n| append(&mut staging, &batch(n, 1)).err())
        .unwrap();
    assert!(
        matches!(error, JournalError::StagingTooSmall { limit: 16_384, .. }),
        "{error}"
    );
    let disk = SimDisk::new(16 * 1024, 1);
    let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
    let error = (0..9)
        .find_map(|n| append(&mut staging, &batch(n, 1)).err())
        .unwrap();
    assert!(error.is_full(), "{error}");
    // With room again the very same log goes on where it was.
    disk.set_capacity(CAPACITY);
    let batches: Vec<BatchData> = (0..9).map(|n| batch(n, 1)).collect();
    finish(&disk, Some(Box::new(staging)), &batches);
}

#[test]
fn damage_to_a_whole_log_is_noticed_while_it_is_applied() {
    let disk = SimDisk::new(CAPACITY, 1);
    let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
    append(&mut staging, &batch(0, 1)).unwrap();
    staging.seal(sum_of(&[batch(0, 1)])).unwrap();
    assert!(disk.flip("staging", 5000, 1));
    let error = staging.read().unwrap().find_map(Result::err).unwrap();
    assert!(error.is_damage(), "{error}");
}

/// What matches its checksums may still be wrong: it is not computed with, and not applied.
#[test]
fn a_batch_outside_the_volume_ends_the_log_before_it() {
    for extent in [
        Extent::new(1 << 20, BLOCK_BYTES),
        Extent::new(12 * BLOCK_BYTES, u64::MAX - 12 * BLOCK_BYTES),
        Extent::new(12 * BLOCK_BYTES + 1, BLOCK_BYTES),
        Extent::new(12 * BLOCK_BYTES, 0),
    ] {
        let disk = SimDisk::new(CAPACITY, 1);
        let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
        append(&mut staging, &batch(0, 1)).unwrap();
        let wild = BatchData {
            through: 1 << 20,
            regions: vec![Region {
                extent,
                kind: RegionKind::Zero,
            }],
            ..BatchData::default()
        };
        append(&mut staging, &wild).unwrap();
        staging.seal(staging.sum()).unwrap();
        let (found, sealed, kept) = recover(&disk);
        assert!(!sealed, "{extent:?} was believed");
        assert_eq!(kept, [batch(0, 1)]);
        finish(&disk, found, &[batch(0, 1), batch(2, 1)]);
    }
}

/// The log's own arithmetic: what fits exactly is taken, one byte less is not, and space is reserved
/// once and not with each record.
#[test]
fn a_log_takes_what_fits_to_the_last_byte_and_reserves_once() {
    let disk = SimDisk::new(CAPACITY, 1);
    let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
    let empty = staging.len_bytes();
    assert_eq!(empty, 4096);
    let before = disk.count(Operation::Write);
    append(&mut staging, &batch(0, 1)).unwrap();
    let one = staging.len_bytes() - empty;
    assert_eq!(one % 8, 0);
    assert!((BLOCK_BYTES + 32..BLOCK_BYTES + 100).contains(&one));
    append(&mut staging, &batch(1, 1)).unwrap();
    append(&mut staging, &batch(2, 1)).unwrap();
    assert_eq!(disk.count(Operation::Write) - before, 1 + 3 * 2);
    // The exact length, without what rounds it up to the next record.
    let fits = |limit| {
        let disk = Arc::new(SimDisk::new(CAPACITY, 1));
        let mut staging = Staging::create(disk, spec(2), limit).unwrap();
        append(&mut staging, &batch(0, 1)).is_ok()
    };
    let exact = (empty..=empty + one).find(|limit| fits(*limit)).unwrap();
    assert!(empty + one - exact < 8, "{exact}");
    assert!(!fits(exact - 1));
}

/// What is appended after recovery follows what was there, and a checkpoint says how far it is.
#[test]
fn a_checkpoint_says_how_far_the_log_is_durable() {
    let disk = SimDisk::new(CAPACITY, 1);
    let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
    assert_eq!(staging.checkpoint().run().unwrap(), 0);
    append(&mut staging, &batch(0, 1)).unwrap();
    assert_eq!(staging.checkpoint().run().unwrap(), batch(0, 1).through);
    let (found, _, _) = recover(&disk);
    let mut found = found.unwrap();
    assert_eq!(found.len_bytes(), staging.len_bytes());
    assert_eq!((found.spec(), found.sum()), (spec(2), staging.sum()));
    append(&mut found, &batch(1, 1)).unwrap();
    found.seal(found.sum()).unwrap();
    found.remove().unwrap();
    assert!(disk.durable("staging").is_none());
}

/// Changes the header of the log that is there, and its checksum with it where `summed`.
fn change_header(disk: &SimDisk, summed: bool, change: impl Fn(&mut [u8])) {
    let mut header = disk.durable("staging").unwrap()[..4096].to_vec();
    change(&mut header);
    if summed {
        header[12..16].fill(0);
        let crc = crc32c::crc32c(&header);
        header[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    let file = Disk::open(disk, "staging").unwrap().unwrap();
    file.write_at(0, &header).unwrap();
    file.flush().unwrap();
}

/// Every part of the header counts by itself: each of these differs from one that passes in one thing.
#[test]
fn a_header_that_is_wrong_in_one_part_makes_no_log() {
    type Change = fn(&mut [u8]);
    let changes: [(&str, bool, Change, bool); 6] = [
        ("nothing", true, |_| {}, true),
        ("the magic", true, |header| header[0] ^= 1, false),
        ("the checksum", false, |header| header[12] ^= 1, false),
        ("what is not used", false, |header| header[4095] ^= 1, false),
        ("the length", true, |header| header[25] = 0xff, false),
        ("the content", true, |header| header[24] = 1, false),
    ];
    for (what, summed, change, whole) in changes {
        let disk = SimDisk::new(CAPACITY, 1);
        assert!(write(&disk, &[batch(0, 1)], 1).1);
        change_header(&disk, summed, change);
        assert_eq!(recover(&disk).1, whole, "{what}");
        assert_eq!(disk.durable("staging").is_some(), whole, "{what}");
    }
}

/// A whole record of an earlier log, in the very place where the next one of this log would be, is no
/// record of this log.
#[test]
fn a_record_of_another_log_is_not_taken_for_one_of_this() {
    let disk = SimDisk::new(CAPACITY, 1);
    let log_of = |count| {
        let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
        for number in 0..count {
            append(&mut staging, &batch(number, 1)).unwrap();
        }
        staging.checkpoint().run().unwrap();
        staging.len_bytes()
    };
    log_of(2);
    let earlier = disk.durable("staging").unwrap();
    let end = log_of(1);
    let file = Disk::open(&disk, "staging").unwrap().unwrap();
    file.write_at(end, &earlier[usize::try_from(end).unwrap()..])
        .unwrap();
    file.flush().unwrap();
    assert_eq!(recover(&disk).2, [batch(0, 1)]);
}

/// The first bytes of a record are not in its checksum: they are checked by themselves.
#[test]
fn a_record_without_its_mark_ends_the_log() {
    let disk = SimDisk::new(CAPACITY, 1);
    write(&disk, &[batch(0, 1), batch(1, 1)], 1);
    assert!(disk.flip("staging", 4096, 1));
    let (found, whole, kept) = recover(&disk);
    assert!(found.is_some() && !whole && kept.is_empty(), "{kept:?}");
}

/// Where there is no room for the reserve the record itself may still fit; any other failure is reported.
#[test]
fn a_reserve_that_does_not_fit_is_ignored_and_a_failing_disk_is_not() {
    for (errno, taken) in [(ENOSPC, true), (5, false)] {
        let disk = SimDisk::new(CAPACITY, 1);
        let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), LIMIT).unwrap();
        disk.fail(Fault {
            errno,
            ..Fault::once(Operation::Write, 0)
        });
        assert_eq!(append(&mut staging, &batch(0, 1)).is_ok(), taken);
    }
}

/// A flush need not record a new size with each batch, and other files still find room.
#[test]
fn an_eighth_of_what_is_free_is_reserved_ahead_and_never_past_the_limit() {
    let reserved = |capacity, limit| {
        let disk = SimDisk::new(capacity, 1);
        let mut staging = Staging::create(Arc::new(disk.clone()), spec(2), limit).unwrap();
        append(&mut staging, &batch(0, 1)).unwrap();
        let file = Disk::open(&disk, "staging").unwrap().unwrap();
        (file.size(), staging.len_bytes())
    };
    let (size, used) = reserved(80 << 10, LIMIT);
    let eighth = ((80 << 10) - 4096) / 8;
    assert!(
        (used + eighth - 8..=used + eighth).contains(&size),
        "{size}"
    );
    assert_eq!(reserved(CAPACITY, 20_000).0, 20_000, "past its limit");
}

/// A file that is shorter than a header, or of a version to come.
#[test]
fn what_is_no_log_is_dropped_and_what_is_newer_is_left_alone() {
    let disk = SimDisk::new(CAPACITY, 1);
    for len in [0, 1, 4095] {
        let file = Disk::create(&disk, "staging").unwrap();
        file.set_size(len).unwrap();
        file.flush().unwrap();
        assert!(recover(&disk).0.is_none());
        assert!(disk.durable("staging").is_none(), "{len} bytes were kept");
    }
    write(&disk, &[batch(0, 1)], 1);
    change_header(&disk, true, |header| header[8] += 1);
    let shared = Arc::new(disk.clone());
    let outcome = Staging::recover(shared, LIMIT, None, &mut |_, _| Ok(()));
    assert!(matches!(
        outcome,
        Err(JournalError::Newer {
            found: 2,
            known: 1,
            ..
        })
    ));
    assert!(disk.durable("staging").is_some());
}
