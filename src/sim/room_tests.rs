//! D-11: how much room there is for staging, on a state volume of 64 MiB.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

use crate::SimDisk;
use mover_core::receive::open_sink::Sink;
use mover_core::receive::staging::staging_for;
use protocol::changes::{BatchData, CycleId, Region, RegionKind, hash_blocks};
use protocol::pair::{Cause, Refused};
use protocol::units::{ChangeSource, Extent, Point};
use storage::journal::StagingSpec;
use storage::seam::Disk;

const MIB: u64 = 1 << 20;

fn opened(disk: &Arc<dyn Disk>, seq: u64) -> Sink {
    let base = Some(Point::new(1, 1));
    let spec = StagingSpec {
        id: CycleId {
            cycle: Point::new(1, seq),
            from: base,
        },
        size_bytes: 1 << 30,
        change_source: ChangeSource::Digests,
    };
    staging_for(disk, spec, base, None, &AtomicU64::new(0)).unwrap()
}

/// Appends batches of 1 MiB from this one on; how many were taken, and what ended it.
fn fill(sink: &mut Sink, from: u64, batches: u64) -> (u64, Option<Refused>) {
    for number in from..from + batches {
        let extent = Extent::new(number * MIB, MIB);
        let data = vec![7; usize::try_from(MIB).unwrap()];
        let crc = crc32c::crc32c(&data);
        let batch = BatchData {
            through: extent.end(),
            regions: vec![Region {
                extent,
                kind: RegionKind::Data { crc },
            }],
            data: Bytes::from(data),
        };
        let digests = hash_blocks(&batch);
        if let Err(refused) = sink.append(batch, &digests) {
            return (number, Some(refused));
        }
    }
    sink.checkpoint().run().unwrap();
    (from + batches, None)
}

/// D-11: "room for staging is judged after the abandoned set is gone".
#[test]
fn what_another_cut_has_left_takes_no_room() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(64 * MIB, 1));
    assert_eq!(fill(&mut opened(&disk, 2), 0, 40), (40, None));
    assert_eq!(fill(&mut opened(&disk, 3), 0, 40), (40, None));
}

/// D-11: "limits hold for a resumed set too": whether a set is interrupted or not, it is refused at the
/// same batch, and what the superblock and the digests need stays free.
#[test]
fn a_set_that_is_resumed_has_the_limit_that_it_began_with() {
    let full = |interrupted_after: u64| {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(64 * MIB, 1));
        let mut sink = opened(&disk, 2);
        assert_eq!(fill(&mut sink, 0, interrupted_after).1, None);
        if interrupted_after > 0 {
            sink = opened(&disk, 2);
            assert_eq!(sink.through(), interrupted_after * MIB);
        }
        let (taken, refused) = fill(&mut sink, interrupted_after, 64);
        assert_eq!(refused.unwrap().cause, Cause::StagingTooSmall);
        assert!(disk.free_bytes().unwrap() >= 3 * MIB, "{taken} are taken");
        taken
    };
    let taken = full(0);
    for interrupted_after in [1, 30, taken - 1, taken] {
        assert_eq!(full(interrupted_after), taken, "after {interrupted_after}");
    }
}
