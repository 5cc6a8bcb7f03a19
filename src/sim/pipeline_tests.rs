//! From one volume to another through everything on the way: reader, wire, staging, applier.
//! The statements of semantics C that concern the data path alone are proved here; those about
//! movers that are killed are proved through real movers.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::{Fault, Operation, SimDisk};
use protocol::changes::{
    BLOCK_BYTES, BatchData, BlockDigest, CycleDigest, CycleId, CycleSum, Limits, RegionKind,
    hash_blocks,
};
use protocol::units::{ChangeSource, Extent, Point};
use storage::journal::{Staging, StagingSpec};
use storage::seam::{BlockFile, Disk, DiskError, SystemClock};
use storage::volume::{
    Applier, Change, Changes, Known, ReadError, Reader, ReaderConfig, SLOT_BYTES, allocated,
    digest_blocks, everything, given,
};
use wire::control::Compression;
use wire::{Compressor, Frame, Message, decode, encode, pack, unpack};

const STALL: Duration = Duration::from_secs(20);
const CONFIG: ReaderConfig = ReaderConfig {
    threads: 3,
    budget_bytes: 8 << 20,
    limits: Limits::PRODUCT,
};

fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock::new())
}

fn volume(content: &[u8]) -> Arc<dyn BlockFile> {
    let file = SimDisk::new(1 << 30, 1).create("volume").unwrap();
    file.set_size(content.len() as u64).unwrap();
    file.write_at(0, content).unwrap();
    file.flush().unwrap();
    file
}

fn content(volume: &dyn BlockFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(volume.size()).unwrap()];
    volume.read_at(0, &mut bytes).unwrap();
    bytes
}

/// What a shipment moved.
#[derive(Debug, Default)]
struct Moved {
    data_bytes: u64,
    zero_bytes: u64,
    data_regions: usize,
}

/// A batch over the wire: packed, framed, and back again.
fn over_the_wire(batch: BatchData, index: u64, after: u64, size: u64) -> BatchData {
    let mut compressor = Compressor::new(Compression::Lz4, || 0);
    let packed = pack(Point::new(1, 2), index, batch, &mut compressor);
    let encoded = encode(Message::Batch(packed)).unwrap();
    let frame = Frame {
        kind: encoded.kind,
        payload: [&encoded.head[..], &encoded.bulk].concat().into(),
    };
    let Message::Batch(received) = decode(frame).unwrap() else {
        panic!("a batch became something else");
    };
    unpack(received, after, size).unwrap()
}

/// Ships `changes` from `source` to `target` through a staging log.
fn ship(
    source: &Arc<dyn BlockFile>,
    changes: Changes,
    known: Option<Known>,
    target: &Arc<dyn BlockFile>,
) -> Moved {
    let size = source.size();
    let spec = StagingSpec {
        id: CycleId {
            cycle: Point::new(1, 2),
            from: None,
        },
        size_bytes: size,
        change_source: ChangeSource::FullRead,
    };
    let disk = Arc::new(SimDisk::new(1 << 30, 1));
    let mut staging = Staging::create(disk, spec, 1 << 28).unwrap();
    let mut digest = CycleDigest::new();
    let mut moved = Moved::default();
    let reader = Reader::start(source.clone(), changes, known, CONFIG, clock());
    let (mut index, mut after) = (0, 0);
    while let Some(read) = reader.next(STALL).unwrap() {
        assert_eq!(read.digests, hash_blocks(&read.batch));
        add(&mut digest, &read.batch);
        let received = over_the_wire(read.batch, index, after, size);
        staging.append(&received, &hash_blocks(&received)).unwrap();
        after = received.through;
        index += 1;
        for region in &received.regions {
            match region.kind {
                RegionKind::Zero => moved.zero_bytes += region.extent.len,
                RegionKind::Data { .. } => {
                    moved.data_bytes += region.extent.len;
                    moved.data_regions += 1;
                }
            }
        }
    }
    let counters = reader.counters();
    assert_eq!(counters.started, counters.finished, "a slot leaked");
    let sum: CycleSum = digest.finish();
    staging.seal(sum).unwrap();
    let applier = Applier::start(target.clone(), 3);
    for batch in staging.read().unwrap() {
        applier.push(batch.unwrap()).unwrap();
    }
    let report = applier.flush().unwrap();
    assert_eq!(report.data_bytes, sum.data_bytes);
    assert_eq!(report.zero_bytes, sum.zero_bytes);
    moved
}

fn add(digest: &mut CycleDigest, batch: &BatchData) {
    for (region, data) in batch.iter() {
        match region.kind {
            RegionKind::Zero => digest.zero(region.extent),
            RegionKind::Data { .. } => {
                let digests: Vec<_> = data
                    .chunks(BLOCK_BYTES as usize)
                    .map(BlockDigest::of_data)
                    .collect();
                digest.data(region.extent, &digests);
            }
        }
    }
}

fn kept(volume: &Arc<dyn BlockFile>) -> Known {
    let size = volume.size();
    let digests = digest_blocks(&**volume, Extent::new(0, size)).unwrap();
    Known::new(move |first, out| {
        for (block, out) in (first..).zip(out) {
            *out = digests.get(usize::try_from(block).unwrap()).copied();
        }
        Ok(())
    })
}

/// Bytes of one value in one place.
type Write = (usize, usize, u8);

fn written(size: usize, writes: &[Write]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    apply(&mut bytes, writes);
    bytes
}

fn apply(bytes: &mut [u8], writes: &[Write]) {
    let size = bytes.len();
    for &(at, len, value) in writes {
        let at = at % size;
        bytes[at..(at + len).min(size)].fill(value);
    }
}

fn extents(size: usize, writes: &[Write]) -> Vec<Extent> {
    writes
        .iter()
        .map(|&(at, len, _)| {
            let at = at % size;
            Extent::new(at as u64, len.min(size - at) as u64)
        })
        .collect()
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let len = prop_oneof![1_usize..9000, 100_000..700_000_usize];
    let value = prop_oneof![Just(0_u8), 1..5_u8];
    proptest::collection::vec((0_usize..4_000_000, len, value), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// On every change source the target ends as the source, byte for byte, whatever was written.
    #[test]
    fn the_target_becomes_the_source_by_every_change_source(
        size in 1_usize..3_500_000,
        before in writes(),
        after in writes(),
    ) {
        let old = written(size, &before);
        let mut new = old.clone();
        apply(&mut new, &after);
        let source = volume(&new);
        let bytes = size as u64;
        let target = volume(&old);
        ship(&source, given(extents(size, &after), bytes), None, &target);
        prop_assert!(content(&*target) == new, "known extents");
        let target = volume(&old);
        let moved = ship(&source, everything(0, bytes), Some(kept(&target)), &target);
        prop_assert!(content(&*target) == new, "kept digests");
        let differing = old.chunks(4096).zip(new.chunks(4096)).filter(|(a, b)| a != b).count();
        prop_assert!(moved.data_bytes + moved.zero_bytes <= differing as u64 * 4096);
        let target = volume(&old);
        ship(&source, allocated(source.clone(), 0, bytes), Some(kept(&target)), &target);
        prop_assert!(content(&*target) == new, "holes and kept digests");
        let target = volume(&vec![9; size]);
        ship(&source, allocated(source.clone(), 0, bytes), None, &target);
        prop_assert!(content(&*target) == new, "full read");
    }
}

const MIB: usize = 1 << 20;

/// "C-1 sparse volume whose last object is a hole: cycle ends, sha256 equal."
#[test]
fn c_1_a_hole_at_the_end_ends_the_cycle_with_equal_images() {
    let image = written(9 * MIB, &[(0, 2 * MIB, 7), (3 * MIB, 5, 1)]);
    let (source, target) = (volume(&image), volume(&vec![3; 9 * MIB]));
    ship(&source, everything(0, 9 * MIB as u64), None, &target);
    assert!(content(&*target) == image);
}

/// "C-2 last object overwritten with real zeros after data: S has zeros there."
#[test]
fn c_2_zeros_overwrite_old_data() {
    let old = vec![8; 8 * MIB];
    let mut new = old.clone();
    new[4 * MIB..].fill(0);
    let (source, target) = (volume(&new), volume(&old));
    let extent = Extent::new(4 * MIB as u64, 4 * MIB as u64);
    let moved = ship(&source, given([extent], 8 * MIB as u64), None, &target);
    assert!(content(&*target) == new);
    assert_eq!((moved.data_bytes, moved.zero_bytes), (0, 4 * MIB as u64));
}

/// "C-3 zero object in the middle followed by data: nothing lost."
#[test]
fn c_3_zeros_in_the_middle_do_not_end_the_cycle() {
    let image = written(12 * MIB, &[(0, 4 * MIB, 1), (8 * MIB, 4 * MIB, 2)]);
    let (source, target) = (volume(&image), volume(&vec![5; 12 * MIB]));
    ship(&source, everything(0, 12 * MIB as u64), None, &target);
    assert!(content(&*target) == image);
}

/// "C-4 empty diff and all-zero diff: cycle commits in < 5 s with 0 DATA extents."
#[test]
fn c_4_an_empty_and_an_all_zero_diff_end_at_once_without_data() {
    let started = Instant::now();
    let image = written(4 * MIB, &[(0, MIB, 4)]);
    let (source, target) = (volume(&image), volume(&image));
    let size = image.len() as u64;
    let moved = ship(&source, given([], size), None, &target);
    assert_eq!((moved.data_regions, moved.zero_bytes), (0, 0));
    let zeros = Extent::new(2 * MIB as u64, MIB as u64);
    let moved = ship(&source, given([zeros], size), None, &target);
    assert_eq!((moved.data_regions, moved.zero_bytes), (0, MIB as u64));
    assert!(content(&*target) == image);
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// "C-5 size not a multiple of objectSize; discard of the last half object: equal."
#[test]
fn c_5_odd_sizes_and_a_discarded_tail_come_out_equal() {
    for size in [1, 4095, 4097, 5 * MIB + 513] {
        let image = vec![6; size];
        let (source, target) = (volume(&image), volume(&vec![1; size]));
        ship(&source, everything(0, size as u64), None, &target);
        assert!(content(&*target) == image, "{size} bytes");
        let half = size / 2;
        source
            .zero(Extent::new(half as u64, (size - half) as u64))
            .unwrap();
        let tail = Extent::new(half as u64, (size - half) as u64);
        ship(&source, given([tail], size as u64), None, &target);
        assert!(content(&*target) == content(&*source), "{size} bytes");
    }
}

/// "C-7 read error on one chunk: no slot leaked, retry resumes, bytes resent < 2 windows." The slots
/// are proved here; resuming is the movers' part.
#[test]
fn c_7_a_read_error_ends_the_attempt_without_a_leaked_slot() {
    let disk = SimDisk::new(1 << 30, 1);
    let file = disk.create("volume").unwrap();
    file.write_at(0, &vec![3; 12 * MIB]).unwrap();
    disk.fail(Fault::once(Operation::Read, 7));
    let size = 12 * MIB as u64;
    let reader = Reader::start(file.clone(), everything(0, size), None, CONFIG, clock());
    let mut good = 0;
    let error = loop {
        match reader.next(STALL) {
            Ok(Some(batch)) => {
                assert_eq!(batch.batch.regions[0].extent.offset, good * MIB as u64);
                good += 1;
            }
            Ok(None) => panic!("the error was lost"),
            Err(e) => break e,
        }
    };
    assert!(matches!(error, ReadError::Disk(_)), "{error}");
    assert!(good <= 7);
    eventually("all slots are back", || {
        let counters = reader.counters();
        counters.started == counters.finished
    });
    assert!(reader.open_slots().is_empty());
    let target = volume(&vec![0; 12 * MIB]);
    ship(&file, everything(0, size), None, &target);
    assert!(content(&*target) == vec![3; 12 * MIB]);
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < STALL, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A device whose end does not answer until it is let go.
pub(super) struct Hanging {
    inner: Arc<dyn BlockFile>,
    /// The first byte that neither reads nor writes come back from.
    from: u64,
    state: Mutex<HangingState>,
    changed: Condvar,
}

#[derive(Default)]
struct HangingState {
    asked: bool,
    let_go: bool,
}

impl Hanging {
    pub(super) fn new(inner: Arc<dyn BlockFile>, from: u64) -> Arc<Hanging> {
        Arc::new(Hanging {
            inner,
            from,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn answers(&self, offset: u64) {
        if offset >= self.from {
            self.state.lock().unwrap().asked = true;
            self.changed.notify_all();
            self.wait(|state| state.let_go);
        }
    }

    fn wait(&self, until: impl Fn(&HangingState) -> bool) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| !until(state)));
    }

    /// Waits until something hangs.
    pub(super) fn wait_until_asked(&self) {
        self.wait(|state| state.asked);
    }

    /// Lets everything that hangs go on, and hangs no more.
    pub(super) fn let_go(&self) {
        self.state.lock().unwrap().let_go = true;
        self.changed.notify_all();
    }
}

impl BlockFile for Hanging {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.answers(offset);
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.answers(offset);
        self.inner.write_at(offset, data)
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.inner.zero(range)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.inner.flush()
    }

    fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        self.inner.drop_cache()
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.inner.set_size(size)
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.inner.allocate(range)
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        self.inner.next_data(from)
    }
}

/// "C-10 a reader double that never completes the last chunk: attempt fails at stallTimeout, not a
/// hang."
#[test]
fn c_10_a_read_that_never_ends_fails_the_attempt_and_is_named() {
    let size = 3 * MIB as u64;
    let device = Hanging::new(volume(&vec![1; 3 * MIB]), 2 * MIB as u64);
    let reader = Reader::start(device, everything(0, size), None, CONFIG, clock());
    let stall = Duration::from_millis(300);
    for _ in 0..2 {
        assert!(reader.next(STALL).unwrap().is_some());
    }
    let started = Instant::now();
    let error = reader.next(stall).err().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    let ReadError::Stalled { slots, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(slots[0].span, Extent::new(2 * MIB as u64, MIB as u64));
    assert!(matches!(reader.next(stall), Err(ReadError::Cancelled)));
}

#[test]
fn the_window_bounds_what_is_open_and_a_cancelled_reader_gives_all_back() {
    let size = 64 * MIB as u64;
    let image = volume(&vec![1; 64 * MIB]);
    let reader = Reader::start(image, everything(0, size), None, CONFIG, clock());
    let window = (CONFIG.budget_bytes / SLOT_BYTES) as u64;
    let held: Vec<_> = (0..window)
        .map(|_| reader.next(STALL).unwrap().unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(reader.counters().started, window, "the window was overrun");
    let data: Vec<_> = held.into_iter().map(|read| read.batch.data).collect();
    assert_eq!(
        reader.open_slots().len() as u64,
        window,
        "data still in use"
    );
    reader.cancel();
    drop(data);
    eventually("all slots are back", || reader.open_slots().is_empty());
}

#[test]
fn a_list_that_does_not_ascend_fails_the_attempt() {
    let at = |block: u64| Ok(Change::Read(Extent::new(block * BLOCK_BYTES, BLOCK_BYTES)));
    let changes: Changes = Box::new(vec![at(5), at(4)].into_iter());
    let device = volume(&vec![1; MIB]);
    let reader = Reader::start(device, changes, None, CONFIG, clock());
    assert!(matches!(reader.next(STALL), Err(ReadError::Changes(_))));
}
