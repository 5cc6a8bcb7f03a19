//! The kept digests under crashes, bit flips and failing disks: unknown is allowed, wrong never.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::{Fault, Operation, SimDisk};
use mover_core::Rules;
use mover_core::digest_commit::commit_digests as keep;
use mover_core::state_files::StateFiles;
use protocol::changes::{BLOCK_BYTES, BlockDigest, CycleId, Region, RegionKind};
use protocol::units::{ChangeSource, Extent, Point};
use storage::journal::{DigestLog, DigestLogSpec, DigestStore, JournalError, Proof};
use storage::seam::Disk;

/// Three pages and a bit.
const BLOCKS: u64 = 800;

type Image = BTreeMap<u64, BlockDigest>;

fn digest(n: u8) -> BlockDigest {
    BlockDigest([n; 16])
}

/// Changes of a cycle: from a block, how many, and what they are now; 0 is zeros.
type Change = (u64, u64, u8);

fn sorted(changes: &[Change]) -> Vec<Change> {
    let mut out: Vec<Change> = Vec::new();
    let mut changes = changes.to_vec();
    changes.sort_unstable();
    for (first, count, value) in changes {
        let end = out.last().map_or(0, |c| c.0 + c.1);
        let count = (first + count).min(BLOCKS).saturating_sub(first.max(end));
        if count > 0 {
            out.push((first.max(end), count, value));
        }
    }
    out
}

fn write_log(
    disk: &SimDisk,
    from: Option<u64>,
    to: u64,
    changes: &[Change],
) -> Result<DigestLog, JournalError> {
    let spec = DigestLogSpec {
        id: CycleId {
            cycle: Point::new(1, to),
            from: from.map(|seq| Point::new(1, seq)),
        },
        size_bytes: BLOCKS * BLOCK_BYTES,
        change_source: ChangeSource::Delta,
    };
    let mut log = DigestLog::create(Arc::new(disk.clone()), spec)?;
    for (first, count, value) in sorted(changes) {
        let extent = Extent::new(first * BLOCK_BYTES, count * BLOCK_BYTES);
        let kind = match value {
            0 => RegionKind::Zero,
            _ => RegionKind::Data { crc: 1 },
        };
        let digests = match value {
            0 => Vec::new(),
            n => vec![digest(n); usize::try_from(count).unwrap()],
        };
        log.append(extent.end(), &[Region { extent, kind }], &digests)?;
    }
    log.seal()?;
    Ok(log)
}

fn change(image: &Image, changes: &[Change]) -> Image {
    let mut image = image.clone();
    for (first, count, value) in sorted(changes) {
        for block in first..first + count {
            image.insert(block, digest(value));
        }
    }
    image
}

/// Checks all digests against the image of their cut; how many are unknown.
fn unknown(store: &DigestStore, images: &BTreeMap<u64, Image>) -> usize {
    let Some(point) = store.point() else {
        return usize::MAX;
    };
    let mut found = vec![None; BLOCKS as usize + 3];
    store
        .reader(BLOCKS * BLOCK_BYTES)
        .unwrap()
        .unwrap()
        .read(0, &mut found)
        .unwrap();
    assert_eq!(found[BLOCKS as usize..], [None; 3], "past the end");
    let image = &images[&point.seq.0];
    for (block, digest) in (0..BLOCKS).zip(&found) {
        if let Some(digest) = digest {
            let true_one = image.get(&block).copied().unwrap_or(BlockDigest::ZERO);
            assert_eq!(*digest, true_one, "block {block} at {point}");
        }
    }
    found[..BLOCKS as usize]
        .iter()
        .filter(|d| d.is_none())
        .count()
}

fn open(disk: &SimDisk) -> DigestStore {
    DigestStore::open(Arc::new(disk.clone())).unwrap()
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (0..BLOCKS, prop_oneof![1_u64..4, 200..600_u64], 0_u8..4);
    proptest::collection::vec(change, 0..8)
}

proptest! {
    #[test]
    fn digests_are_those_of_their_cut_whatever_fails(
        cycles in proptest::collection::vec(changes(), 1..4),
        operation in prop::sample::select(vec![Operation::Write, Operation::Flush, Operation::Name]),
        after in 0_u64..60,
        seed in any::<u64>(),
        power in any::<bool>(),
    ) {
        let disk = SimDisk::new(1 << 30, seed);
        let mut images = BTreeMap::from([(0, Image::new())]);
        disk.fail(Fault::once(operation, after));
        let mut from = None;
        let mut failed = false;
        for (cycle, changes) in (1..).zip(&cycles) {
            let image = change(&images[&from.unwrap_or(0)], changes);
            images.insert(cycle, image);
            let run = || -> Result<(), JournalError> {
                let mut store = DigestStore::open(Arc::new(disk.clone()))?;
                store.commit(write_log(&disk, from, cycle, changes)?)
            };
            let done = run().is_ok();
            failed |= !done;
            if !done {
                disk.heal();
                if power { disk.crash() } else { disk.kill() }
            }
            let store = open(&disk);
            let lost = unknown(&store, &images);
            if done {
                prop_assert_eq!(store.point(), Some(Point::new(1, cycle)));
                prop_assert!(lost == 0 || failed, "{lost} lost without a failure");
            }
            from = store.point().map(|p| p.seq.0);
        }
    }

    /// D-1: a flipped bit is found before the digests are compared with, and makes none wrong that are
    /// read all the same; digests of all of the volume heal it.
    #[test]
    fn a_flipped_bit_is_found_and_makes_no_digest_wrong(
        byte in 0_u64..4 * 4096,
        first in changes(),
        second in changes(),
    ) {
        let disk = SimDisk::new(1 << 30, 1);
        let mut images = BTreeMap::new();
        images.insert(1, change(&Image::new(), &first));
        images.insert(2, change(&images[&1], &second));
        let all = [(0, BLOCKS, 3)];
        images.insert(3, change(&Image::new(), &all));
        let mut store = open(&disk);
        store.commit(write_log(&disk, None, 1, &first).unwrap()).unwrap();
        let flipped = disk.flip("digests", byte, 2);
        let lost = unknown(&open(&disk), &images);
        prop_assert!(lost <= 255 && (flipped || lost == 0), "{lost} unknown");
        prop_assert_eq!(is_proved(&store), !flipped);
        store.commit(write_log(&disk, Some(1), 2, &second).unwrap()).unwrap();
        prop_assert!(!flipped || !is_proved(&store));
        if store.point().is_some() {
            unknown(&store, &images);
        }
        store.commit(write_log(&disk, None, 3, &all).unwrap()).unwrap();
        prop_assert!(is_proved(&store));
        prop_assert_eq!(unknown(&open(&disk), &images), 0);
    }

    /// D-1: "kept digests are used only where they are proved complete and current". The oracle keeps
    /// every image in memory; writes are lost or land elsewhere without an error, pages are zeroed, the
    /// file is cut short, crashes interrupt commits. What is proved is true of every block.
    #[test]
    fn what_is_proved_is_true_of_every_block(
        cycles in proptest::collection::vec(changes(), 2..6),
        astray in 0_u64..30,
        shift in prop::option::of(1_u64..4),
        harm in 0_u8..4,
        interrupted in prop::option::of(0_u64..30),
        seed in any::<u64>(),
    ) {
        let disk = SimDisk::new(1 << 30, seed);
        let mut images = BTreeMap::from([(0, Image::new())]);
        let mut from = None;
        disk.mislead(astray, shift.map(|pages| pages * 4096));
        for (cycle, changes) in (1..).zip(&cycles) {
            let image = change(&images[&from.unwrap_or(0)], changes);
            images.insert(cycle, image);
            if let Some(after) = interrupted.filter(|_| cycle == 2) {
                disk.fail(Fault::once(Operation::Write, after));
            }
            // A log that was harmed is none.
            let run = || -> Result<(), JournalError> {
                let mut store = DigestStore::open(Arc::new(disk.clone()))?;
                store.commit(write_log(&disk, from, cycle, changes)?)
            };
            if run().is_err() {
                disk.heal();
                disk.crash();
            }
            if cycle == 2 {
                if interrupted.is_some() {
                    disk.heal();
                }
                hurt(&disk, harm);
            }
            let Ok(store) = DigestStore::open(Arc::new(disk.clone())) else {
                break;
            };
            if is_proved(&store) {
                // Pages may be stated to be unknown, where a crash has torn them.
                let lost = unknown(&store, &images);
                prop_assert!(lost == 0 || interrupted.is_some(), "{lost} lost");
            }
            from = store.point().map(|p| p.seq.0);
        }
    }
}

/// Whether the digests are proved.
fn is_proved(store: &DigestStore) -> bool {
    store.prove(&mut |_| {}).unwrap() == Proof::Proved
}

/// Harms the pages' file as a careless copy or a discard under it does.
fn hurt(disk: &SimDisk, harm: u8) {
    let Some(file) = disk.open("digests").unwrap() else {
        return;
    };
    let half = file.size() / 8192 * 4096;
    match harm {
        1 => file.set_size(half).unwrap(),
        2 => file.zero(Extent::new(half, 4096)).unwrap(),
        3 => disk.remove("digests").unwrap(),
        _ => {}
    }
}

/// D-1: a short file, a missing one, a page that reads as zeros, an old page and one of another place,
/// each with a right checksum.
#[test]
fn digests_that_are_incomplete_or_old_are_not_proved() {
    let put = |disk: &SimDisk, number: u64, page: &[u8]| {
        let file = disk.open("digests").unwrap().unwrap();
        file.write_at(number * 4096, page).unwrap();
        file.flush().unwrap();
    };
    let page = |disk: &SimDisk, number: usize| {
        disk.durable("digests").unwrap()[number * 4096..(number + 1) * 4096].to_vec()
    };
    for harm in 0..6 {
        let disk = SimDisk::new(1 << 30, 1);
        let mut store = open(&disk);
        let log = write_log(&disk, None, 1, &[(0, 9, 1), (300, 9, 1), (600, 9, 1)]);
        store.commit(log.unwrap()).unwrap();
        let old = page(&disk, 1);
        let log = write_log(&disk, Some(1), 2, &[(300, 2, 2)]).unwrap();
        store.commit(log).unwrap();
        assert!(is_proved(&open(&disk)));
        match harm {
            0..=2 => hurt(&disk, harm + 1),
            3 => put(&disk, 1, &old),
            4 => put(&disk, 1, &page(&disk, 2)),
            // A commit of the same digests once more is another generation.
            _ => {
                let before = page(&disk, 1);
                let log = write_log(&disk, Some(2), 3, &[(300, 2, 2)]).unwrap();
                store.commit(log).unwrap();
                put(&disk, 1, &before);
            }
        }
        assert!(!is_proved(&open(&disk)), "{harm}");
    }
}

/// A disk that fails once costs no digests.
#[test]
fn one_failed_read_does_not_make_a_mover_forget_its_digests() {
    let disk = SimDisk::new(1 << 30, 1);
    let log = write_log(&disk, None, 1, &[(0, 9, 1)]).unwrap();
    open(&disk).commit(log).unwrap();
    disk.fail(Fault::once(Operation::Read, 0));
    let files = StateFiles::open(Arc::new(disk), Rules::default());
    assert_eq!(files.kept(), Some(Point::new(1, 1)));
}

#[test]
fn a_log_that_counts_from_another_cut_makes_the_digests_unknown() {
    let disk = SimDisk::new(1 << 30, 1);
    let mut store = open(&disk);
    store
        .commit(write_log(&disk, None, 1, &[(0, 9, 1)]).unwrap())
        .unwrap();
    store
        .commit(write_log(&disk, Some(7), 8, &[(0, 9, 2)]).unwrap())
        .unwrap();
    assert_eq!(open(&disk).point(), None);
    assert!(open(&disk).reader(0).unwrap().is_none());
    store
        .commit(write_log(&disk, None, 9, &[(0, 9, 3)]).unwrap())
        .unwrap();
    assert_eq!(open(&disk).point(), Some(Point::new(1, 9)));
}

/// A verification finds that a digest kept of the committed cut was wrong: it is replaced, and a
/// crash meanwhile leaves no other one wrong.
#[test]
fn a_log_from_a_cut_to_itself_corrects_the_digests() {
    let disk = SimDisk::new(1 << 30, 1);
    let mut store = open(&disk);
    store
        .commit(write_log(&disk, None, 1, &[(0, 9, 1)]).unwrap())
        .unwrap();
    let correction = [(2, 1, 3), (4, 1, 0)];
    let log = write_log(&disk, Some(1), 1, &correction).unwrap();
    disk.fail(Fault::once(Operation::Write, 1));
    assert!(store.commit(log).is_err());
    disk.heal();
    disk.crash();
    let image = change(&change(&Image::new(), &[(0, 9, 1)]), &correction);
    assert_eq!(unknown(&open(&disk), &BTreeMap::from([(1, image)])), 0);
}

/// A log is found again after a crash where its seal is durable, and only then.
#[test]
fn a_log_without_its_seal_is_of_no_use() {
    let disk = SimDisk::new(1 << 30, 1);
    let all = write_log(&disk, None, 1, &[(0, 9, 1), (20, 3, 0), (400, 2, 2)]).unwrap();
    let (spec, sum) = (all.spec(), all.sealed());
    drop(all);
    disk.crash();
    let found = DigestLog::recover(Arc::new(disk.clone())).unwrap().unwrap();
    assert_eq!((found.spec(), found.sealed()), (spec, sum));
    found.remove().unwrap();
    let mut open = DigestLog::create(Arc::new(disk.clone()), spec).unwrap();
    let region = Region {
        extent: Extent::new(0, BLOCK_BYTES),
        kind: RegionKind::Zero,
    };
    open.append(BLOCK_BYTES, &[region], &[]).unwrap();
    let file = disk.open("digests.next").unwrap().unwrap();
    file.flush().unwrap();
    disk.crash();
    assert!(
        DigestLog::recover(Arc::new(disk.clone()))
            .unwrap()
            .is_none()
    );
    assert_eq!(DigestLog::left(Arc::new(disk)).unwrap(), Some(spec));
}

/// The last block was cut off by the end of the volume, and the volume has grown since: nobody knows
/// what the peer holds after its old end.
#[test]
fn a_block_that_was_cut_off_is_unknown_once_the_volume_is_longer() {
    let disk = SimDisk::new(1 << 30, 1);
    let size = 2 * BLOCK_BYTES - 512;
    let spec = DigestLogSpec {
        id: CycleId {
            cycle: Point::new(1, 1),
            from: None,
        },
        size_bytes: size,
        change_source: ChangeSource::FullRead,
    };
    let mut log = DigestLog::create(Arc::new(disk.clone()), spec).unwrap();
    log.seal().unwrap();
    let mut store = open(&disk);
    store.commit(log).unwrap();
    let known = |size: u64| {
        let mut found = [None; 3];
        let reader = store.reader(size).unwrap().unwrap();
        reader.read(0, &mut found).unwrap();
        found.map(|digest| digest.is_some())
    };
    assert_eq!(known(size), [true, true, false]);
    assert_eq!(known(size + 512), [true, false, false]);
}

/// Whatever state an attempt that led to nothing has left its digests in, they go with the next commit;
/// those that are gathered for a later cut stay.
#[test]
fn digests_that_are_of_no_use_go_with_the_next_commit() {
    let point = |seq| Point::new(1, seq);
    let shared = |disk: &SimDisk| -> Arc<dyn Disk> { Arc::new(disk.clone()) };
    let left = |disk: &SimDisk| disk.names().unwrap().contains(&"digests.next".to_string());
    let damaged = |disk: &SimDisk| drop(disk.create("digests.next").unwrap());
    let gathered = |disk: &SimDisk, seq| drop(write_log(disk, None, seq, &[(0, 9, 1)]).unwrap());
    for (seq, stays) in [(4, false), (5, false), (6, true)] {
        let disk = SimDisk::new(1 << 30, 1);
        gathered(&disk, 5);
        let kept = keep(Some(open(&disk)), None, shared(&disk), point(5)).unwrap();
        assert!(!left(&disk) && kept.point() == Some(point(5)));
        gathered(&disk, seq);
        let kept = keep(Some(kept), None, shared(&disk), point(5));
        assert_eq!(
            left(&disk),
            stays,
            "a repeated commit of 5 with digests of {seq}"
        );
        damaged(&disk);
        let kept = keep(kept, None, shared(&disk), point(7));
        assert!(!left(&disk) && kept.unwrap().point() == Some(point(5)));
        gathered(&disk, 8);
        assert!(keep(None, None, shared(&disk), point(8)).is_none() && !left(&disk));
    }
}

#[test]
fn no_flipped_bit_of_the_state_passes_for_a_newer_format() {
    let disk = SimDisk::new(1 << 30, 1);
    let log = write_log(&disk, None, 5, &[(0, 9, 1)]).unwrap();
    open(&disk).commit(log).unwrap();
    let bytes = disk.durable("digests.state").unwrap().len() as u64;
    for byte in 0..bytes {
        for bit in 0..8 {
            let hurt = disk.clone_durable(1);
            assert!(hurt.flip("digests.state", byte, bit));
            assert_eq!(open(&hurt).point(), None, "bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn a_commit_that_is_repeated_reads_no_more_of_what_was_left_than_what_it_is() {
    let point = Point::new(1, 5);
    let disk = SimDisk::new(1 << 30, 1);
    let changes: Vec<Change> = (0..40).map(|n| (n * 4, 2, 1)).collect();
    let gathered = || drop(write_log(&disk, None, 5, &changes).unwrap());
    gathered();
    let kept = keep(Some(open(&disk)), None, Arc::new(disk.clone()), point);
    gathered();
    let before = disk.count(Operation::Read);
    assert!(keep(kept, None, Arc::new(disk.clone()), point).is_some());
    let header_twice = 2;
    assert_eq!(disk.count(Operation::Read) - before, header_twice);
}
