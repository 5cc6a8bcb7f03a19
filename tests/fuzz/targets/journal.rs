//! What is stored on the state volume, as an earlier process, another version or a failing disk may
//! have left it.

use std::sync::Arc;

use protocol::changes::{
    BatchData, BlockDigest, CycleDigest, RegionKind, block_count, blocks_of, hash_blocks,
};
use protocol::units::Point;
use sim::SimDisk;
use storage::journal::{
    DigestLog, DigestStore, InPlaceMark, JournalError, Staging, StagingOutcome, SuperblockStore,
};
use storage::seam::Disk as _;

/// The disk that files are read from: what damage makes a decoder write has to end somewhere.
const CAPACITY: u64 = 512 * 1024;

/// The longest log that recovery goes on with.
const LIMIT: u64 = 256 * 1024;

/// The most blocks whose digests are read back.
const BLOCKS_READ_MAX: u64 = 1000;

fn disk(files: &[(&str, &[u8])]) -> SimDisk {
    let disk = SimDisk::new(CAPACITY, 0);
    for (name, content) in files {
        let file = disk.create(name).unwrap();
        // A file that does not fit on the disk can't be there.
        if !content.is_empty() && file.write_at(0, content).is_ok() {
            file.flush().unwrap();
        }
    }
    disk
}

/// The file `superblock`. What was read survives the loss of either slot, and a save.
pub fn superblock(bytes: &[u8]) -> bool {
    let disk = disk(&[("superblock", bytes)]);
    let open = || SuperblockStore::open(Arc::new(disk.clone()));
    let Ok((mut store, Some(superblock))) = open() else {
        return false;
    };
    for slot in 0..2 {
        let damaged = disk.clone_durable(0);
        assert!(damaged.flip("superblock", slot * 4096 + 20, 3));
        let (_, again) = SuperblockStore::open(Arc::new(damaged)).unwrap();
        assert_eq!(again.as_ref(), Some(&superblock), "without slot {slot}");
    }
    if store.save(&superblock).is_ok() {
        let saved = open().unwrap().1.unwrap();
        // Only what is beyond the limits of a slot may go.
        assert_eq!(saved.epoch, superblock.epoch);
        assert_eq!(saved.committed, superblock.committed);
        assert_eq!(saved.lineage.last(), superblock.lineage.last());
    }
    true
}

/// What recovery of `staging` finds, and the batches that it was shown.
fn recover(disk: &SimDisk) -> Result<(StagingOutcome, Vec<BatchData>), JournalError> {
    let mut kept = Vec::new();
    let outcome = Staging::recover(
        Arc::new(disk.clone()),
        LIMIT,
        None,
        &mut |batch, digests| {
            assert_eq!(digests, hash_blocks(batch));
            kept.push(batch.clone());
            Ok(())
        },
    )?;
    Ok((outcome, kept))
}

/// The totals and digest of `batches`, computed again.
fn sum(batches: &[BatchData]) -> protocol::changes::CycleSum {
    let mut digest = CycleDigest::new();
    for batch in batches {
        let mut digests = &hash_blocks(batch)[..];
        for region in &batch.regions {
            let blocks = blocks_of(region.extent);
            match region.kind {
                RegionKind::Zero => digest.zero(region.extent),
                RegionKind::Data { .. } => {
                    let own = usize::try_from(blocks.end - blocks.start).unwrap();
                    digest.data(region.extent, &digests[..own]);
                    digests = &digests[own..];
                }
            }
        }
    }
    digest.finish()
}

/// The file `staging`. Recovering twice finds the same; a log that is open can be gone on with and
/// sealed; a whole one holds just what its seal says, within the volume.
pub fn staging(bytes: &[u8]) -> bool {
    let disk = disk(&[("staging", bytes)]);
    let Ok((outcome, kept)) = recover(&disk) else {
        assert_eq!(
            disk.durable("staging").unwrap(),
            bytes,
            "refused is left alone"
        );
        return false;
    };
    let mut staging = match outcome {
        StagingOutcome::Nothing => return false,
        StagingOutcome::Open(staging) | StagingOutcome::Complete(staging) => staging,
    };
    let size = staging.spec().size_bytes;
    let mut position = 0;
    for batch in &kept {
        for region in &batch.regions {
            assert!(region.extent.offset >= position && region.extent.end() <= size);
            position = region.extent.end();
        }
        assert!(position <= batch.through && batch.through <= size);
    }
    assert_eq!(staging.through(), kept.last().map_or(0, |b| b.through));
    assert_eq!(staging.sum(), sum(&kept));
    if staging.sealed().is_none() {
        let rest = BatchData {
            through: size,
            ..BatchData::default()
        };
        staging.append(&rest, &[]).unwrap();
        staging.seal(sum(&kept)).unwrap();
        drop(staging);
        let (outcome, again) = recover(&disk).unwrap();
        assert_eq!(again[..kept.len()], kept);
        assert!(matches!(outcome, StagingOutcome::Complete(_)));
    } else {
        let read: Vec<BatchData> = staging.read().unwrap().map(Result::unwrap).collect();
        assert_eq!(read, kept);
    }
    true
}

/// The file `digests.next`. A complete one is found again and taken over; of one without its seal no more
/// than its header is ever read.
pub fn digest_log(bytes: &[u8]) -> bool {
    let disk = disk(&[("digests.next", bytes)]);
    let recover = || DigestLog::recover(Arc::new(disk.clone()));
    let Ok(Some(spec)) = DigestLog::left(Arc::new(disk.clone())) else {
        return false;
    };
    let Some(log) = recover().unwrap() else {
        return true;
    };
    assert_eq!(log.spec(), spec);
    let again = recover().unwrap().unwrap();
    assert_eq!((again.spec(), again.sealed()), (spec, log.sealed()));
    let mut store = DigestStore::open(Arc::new(disk.clone())).unwrap();
    // Pages far out do not fit on the disk; that is the only thing that may go wrong.
    match store.commit(log) {
        Ok(()) => check(
            &disk,
            &store,
            spec.id.from.is_none().then_some(spec.id.cycle),
        ),
        Err(error) => assert!(error.is_full(), "{error}"),
    }
    true
}

/// The three files of the kept digests: `digests.state`, `digests` and `digests.next`, the first two
/// after their length as two bytes.
pub fn digest_store(bytes: &[u8]) -> bool {
    let Some((state, rest)) = counted(bytes) else {
        return false;
    };
    let Some((pages, next)) = counted(rest) else {
        return false;
    };
    let files = [
        ("digests.state", state),
        ("digests", pages),
        ("digests.next", next),
    ];
    let disk = disk(&files);
    let Ok(store) = DigestStore::open(Arc::new(disk.clone())) else {
        return false;
    };
    check(&disk, &store, store.point());
    store.point().is_some()
}

/// The file `in-place`. What was read is written and read again.
pub fn in_place(bytes: &[u8]) -> bool {
    let disk = disk(&[("in-place", bytes)]);
    let Ok(Some(mark)) = InPlaceMark::read(&disk) else {
        return false;
    };
    mark.write(&disk).unwrap();
    assert_eq!(InPlaceMark::read(&disk).unwrap(), Some(mark));
    InPlaceMark::remove(&disk).unwrap();
    assert_eq!(InPlaceMark::read(&disk).unwrap(), None);
    true
}

/// Bytes after their length, and what follows them.
pub fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))
}

/// Digests are of the cut that is expected, and are read without an error wherever they are stored.
fn check(disk: &SimDisk, store: &DigestStore, expected: Option<Point>) {
    assert_eq!(store.point(), expected);
    let again = DigestStore::open(Arc::new(disk.clone())).unwrap();
    assert_eq!(again.point(), expected, "what opening found stays so");
    let Ok(Some(reader)) = store.reader(u64::MAX) else {
        return;
    };
    for first in [0, 250, block_count(u64::MAX) - 300] {
        let mut digests: Vec<Option<BlockDigest>> = vec![None; 300];
        reader.read(first, &mut digests).unwrap();
    }
    let mut digests = vec![None; usize::try_from(BLOCKS_READ_MAX).unwrap()];
    reader.read(0, &mut digests).unwrap();
}
