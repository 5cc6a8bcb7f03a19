//! The applier on simulated disks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::pipeline_tests::Hanging;
use crate::{Fault, Operation, SimDisk};
use protocol::changes::{BatchData, Region, RegionKind};
use protocol::units::{Extent, ExtentSet};
use storage::seam::{BlockFile, Disk, DiskError};
use storage::volume::{Applier, ApplyError};

const MIB: usize = 1 << 20;
const BLOCK: usize = 4096;
const EIO: i32 = 5;

/// The size of the volumes below, in bytes.
const VOLUME: usize = 3 * MIB;

/// Applying again after a crash in the middle gives the same image (C-8, the disk's part).
#[test]
fn applying_twice_or_after_half_of_it_gives_the_same_image() {
    let zeros = Region {
        extent: Extent::new(MIB as u64, MIB as u64),
        kind: RegionKind::Zero,
    };
    let batches = [
        batch(0, 1),
        BatchData {
            through: zeros.extent.end(),
            regions: vec![zeros],
            data: Bytes::new(),
        },
        batch(2 * MIB as u64, 2),
    ];
    let image = [1, 0, 2, 9].map(|fill| vec![fill; MIB]).concat();
    for seed in 0..20 {
        let disk = SimDisk::new(1 << 30, seed);
        let file = disk.create("volume").unwrap();
        file.write_at(0, &vec![9; 4 * MIB]).unwrap();
        file.flush().unwrap();
        disk.fail(Fault::full(seed % 2));
        let applier = Applier::start(file, 1);
        let failed = batches.iter().any(|b| applier.push(b.clone()).is_err());
        assert!(failed || applier.flush().is_err());
        disk.heal();
        disk.crash();
        let again = disk.open("volume").unwrap().unwrap();
        let applier = Applier::start(again.clone(), 3);
        for batch in &batches {
            applier.push(batch.clone()).unwrap();
        }
        applier.flush().unwrap();
        assert!(disk.durable("volume").unwrap() == image);
    }
}

#[test]
fn a_failed_flush_is_never_repeated_as_if_it_had_worked() {
    let (disk, file) = volume();
    disk.fail(Fault::once(Operation::Flush, 0));
    let applier = Applier::start(file, 2);
    assert!(applier.flush().is_err());
    assert!(
        applier.flush().is_err(),
        "the second flush hid the first one's failure"
    );
}

/// A flush is of what was handed over when it was asked for: a write after that, which never ends,
/// does not keep it.
#[test]
fn a_flush_waits_for_what_was_handed_over_before_it_only() {
    let (disk, file) = volume();
    let device = Hanging::new(file, MIB as u64);
    let applier = Applier::start(device.clone(), 2);
    applier.push(batch(0, 7)).unwrap();
    let written = applier.so_far();
    applier.push(batch(2 * MIB as u64, 8)).unwrap();
    written.flush().unwrap();
    let durable = disk.durable("volume").unwrap();
    assert!(durable[..MIB] == vec![7; MIB]);
    assert!(durable[MIB..] == vec![0; 2 * MIB]);
    device.let_go();
}

/// A failed write fails everything after it: the batch that is pushed next, and a flush of what was
/// handed over, whoever of them comes first.
#[test]
fn everyone_hears_of_a_failed_write() {
    let (disk, file) = volume();
    disk.fail(Fault::full(0));
    let applier = Applier::start(file, 2);
    applier.push(batch(0, 7)).unwrap();
    let written = applier.so_far();
    assert!(matches!(written.flush(), Err(ApplyError::Disk(_))));
    assert!(matches!(
        applier.push(batch(MIB as u64, 8)),
        Err(ApplyError::Disk(_))
    ));
    assert!(matches!(applier.flush(), Err(ApplyError::Disk(_))));
}

/// D-6: a failure is reported once no write of the applier is under way, and so is the end of one
/// that was dropped.
#[test]
fn d_6_no_write_is_under_way_when_an_applier_has_failed_or_is_gone() {
    for full in [true, false] {
        let (disk, file) = volume();
        let device = Hanging::new(file, 2 * MIB as u64);
        let applier = Applier::start(device.clone(), 2);
        applier.push(batch(2 * MIB as u64, 8)).unwrap();
        device.wait_until_asked();
        let written = applier.so_far();
        let ended = if full {
            disk.fail(Fault::full(0));
            applier.push(batch(0, 7)).unwrap();
            std::thread::spawn(move || (applier.flush().err(), written.flush().err()))
        } else {
            std::thread::spawn(move || {
                let flushed = std::thread::spawn(|| written.flush().err());
                drop(applier);
                (None, flushed.join().unwrap())
            })
        };
        std::thread::sleep(Duration::from_millis(50));
        assert!(!ended.is_finished(), "reported while a write hangs");
        device.let_go();
        match ended.join().unwrap() {
            (Some(ApplyError::Disk(_)), Some(ApplyError::Disk(_))) if full => {}
            (None, Some(ApplyError::Stopped)) if !full => {}
            other => panic!("{other:?}"),
        }
        let writes = disk.count(Operation::Write);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(disk.count(Operation::Write), writes, "written afterwards");
    }
}

/// after a flush, what can be written is on the volume, and exactly the blocks that can't be are
/// in the list. The oracle is a map of bytes.
#[test]
fn r_1_exactly_the_blocks_that_fail_are_listed_and_all_others_are_written() {
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..40 {
        let (_disk, file) = volume();
        file.write_at(0, &vec![9; VOLUME]).unwrap();
        let bad = Bad::random(&mut random, file.clone());
        let applier = Applier::start(Arc::new(bad.clone()), 2);
        let mut expected = vec![9; VOLUME];
        let mut lost = Vec::new();
        for at in (0..VOLUME).step_by(MIB) {
            let batch = scattered(&mut random, at as u64);
            for (region, data) in batch.iter() {
                let zeros = vec![0; usize::try_from(region.extent.len).unwrap()];
                let data = if data.is_empty() { &zeros } else { data };
                for (index, block) in data.chunks(BLOCK).enumerate() {
                    let at = usize::try_from(region.extent.offset).unwrap() + index * BLOCK;
                    if bad.touches(Extent::new(at as u64, block.len() as u64)) {
                        lost.push(Extent::new(at as u64, block.len() as u64));
                    } else {
                        expected[at..at + block.len()].copy_from_slice(block);
                    }
                }
            }
            applier.push(batch).unwrap();
        }
        let listed = match applier.flush() {
            Ok(_) => Vec::new(),
            Err(ApplyError::Ranges(failed)) => {
                assert!(!failed.to_string().contains("too many"), "{failed}");
                assert!(applier.push(batch(0, 1)).is_err());
                failed
                    .ranges()
                    .iter()
                    .map(|r| (r.extent, r.errno))
                    .collect()
            }
            Err(other) => panic!("{other}"),
        };
        let lost = ExtentSet::union(lost);
        let lost: Vec<_> = lost.as_slice().iter().map(|e| (*e, EIO)).collect();
        assert_eq!(listed, lost);
        let mut held = vec![1; VOLUME];
        file.read_at(0, &mut held).unwrap();
        assert!(held == expected, "what can be written was not");
    }
}

/// An error that does not come again fails nothing.
#[test]
fn a_write_that_works_when_it_is_repeated_has_not_failed() {
    let (disk, file) = volume();
    disk.fail(Fault::once(Operation::Write, 0));
    let applier = Applier::start(file, 2);
    applier.push(batch(MIB as u64, 7)).unwrap();
    let report = applier.flush().unwrap();
    assert_eq!(report.data_bytes, MIB as u64);
    assert!(disk.durable("volume").unwrap()[MIB..2 * MIB] == vec![7; MIB]);
}

/// A volume of which some ranges can't be written.
#[derive(Clone)]
struct Bad {
    inner: Arc<dyn BlockFile>,
    ranges: Vec<Extent>,
}

impl Bad {
    fn random(random: &mut StdRng, inner: Arc<dyn BlockFile>) -> Bad {
        let count = random.random_range(0..4);
        let range = |_| {
            let offset = random.random_range(0..VOLUME as u64);
            Extent::new(offset, random.random_range(1..100_000))
        };
        let ranges = (0..count).map(range).collect();
        Bad { inner, ranges }
    }

    fn touches(&self, extent: Extent) -> bool {
        let meets = |bad: &Extent| bad.offset < extent.end() && extent.offset < bad.end();
        self.ranges.iter().any(meets)
    }

    fn check(&self, operation: &'static str, extent: Extent) -> Result<(), DiskError> {
        if self.touches(extent) {
            let source = std::io::Error::from_raw_os_error(EIO);
            return Err(DiskError::new(operation, "volume", source));
        }
        Ok(())
    }
}

impl BlockFile for Bad {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.check("write", Extent::new(offset, data.len() as u64))?;
        self.inner.write_at(offset, data)
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.check("zero", range)?;
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

/// A batch for the MiB at `at`: zeros and data, side by side or with gaps between them.
fn scattered(random: &mut StdRng, at: u64) -> BatchData {
    let end = at + MIB as u64;
    let (mut regions, mut data) = (Vec::new(), Vec::new());
    let mut offset = at;
    while offset < end {
        let blocks = random.random_range(1..60) * BLOCK as u64;
        let extent = Extent::new(offset, blocks.min(end - offset));
        let bytes = vec![random.random(); usize::try_from(extent.len).unwrap()];
        let crc = crc32c::crc32c(&bytes);
        match random.random_range(0..4) {
            0 => {}
            1 => regions.push(Region {
                extent,
                kind: RegionKind::Zero,
            }),
            _ => {
                data.extend(bytes);
                let kind = RegionKind::Data { crc };
                regions.push(Region { extent, kind });
            }
        }
        offset = extent.end();
    }
    BatchData {
        through: end,
        regions,
        data: data.into(),
    }
}

/// A volume of zeros, of 3 MiB, and the disk that it is on.
fn volume() -> (SimDisk, Arc<dyn BlockFile>) {
    let disk = SimDisk::new(1 << 30, 1);
    let file = disk.create("volume").unwrap();
    file.set_size(3 * MIB as u64).unwrap();
    (disk, file)
}

fn batch(offset: u64, fill: u8) -> BatchData {
    let data = vec![fill; MIB];
    let extent = Extent::new(offset, MIB as u64);
    BatchData {
        through: extent.end(),
        regions: vec![Region {
            extent,
            kind: RegionKind::Data {
                crc: crc32c::crc32c(&data),
            },
        }],
        data: data.into(),
    }
}
