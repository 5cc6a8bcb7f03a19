//! The applier on simulated disks.

use std::sync::Arc;

use bytes::Bytes;

use crate::pipeline_tests::Hanging;
use crate::{Fault, Operation, SimDisk};
use protocol::changes::{BatchData, Region, RegionKind};
use protocol::units::Extent;
use storage::seam::{BlockFile, Disk};
use storage::volume::{Applier, ApplyError};

const MIB: usize = 1 << 20;

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
        disk.fail(Fault::once(Operation::Write, seed % 2));
        let applier = Applier::start(file, 1);
        let failed = batches.iter().any(|b| applier.push(b.clone()).is_err());
        assert!(failed || applier.flush().is_err());
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
    let device = Arc::new(Hanging {
        inner: file,
        from: MIB as u64,
    });
    let applier = Applier::start(device, 2);
    applier.push(batch(0, 7)).unwrap();
    let written = applier.so_far();
    applier.push(batch(2 * MIB as u64, 8)).unwrap();
    written.flush().unwrap();
    let durable = disk.durable("volume").unwrap();
    assert!(durable[..MIB] == vec![7; MIB]);
    assert!(durable[MIB..] == vec![0; 2 * MIB]);
}

/// A failed write fails everything after it: the batch that is pushed next, and a flush of what was
/// handed over, whoever of them comes first.
#[test]
fn a_failed_write_is_told_to_everyone() {
    let (disk, file) = volume();
    disk.fail(Fault::once(Operation::Write, 0));
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

/// Nobody waits for an applier that is gone.
#[test]
fn a_flush_of_an_applier_that_was_dropped_ends() {
    let (_disk, file) = volume();
    let device = Arc::new(Hanging {
        inner: file,
        from: 0,
    });
    let applier = Applier::start(device, 1);
    applier.push(batch(0, 7)).unwrap();
    let written = applier.so_far();
    drop(applier);
    assert!(matches!(written.flush(), Err(ApplyError::Stopped)));
}

/// A volume of zeros, of 3 MiB, and the disk that it lies on.
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
