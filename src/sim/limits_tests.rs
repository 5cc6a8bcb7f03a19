//! D-7: what a source sends is what a target takes, however small the limits are. The oracle is the
//! source's own content: whatever is split, the target ends with it.

use std::sync::Arc;

use proptest::prelude::*;

use crate::SimDisk;
use mover_core::Settings;
use mover_core::ship::count::ShipCount;
use mover_core::ship::scan::Scan;
use protocol::changes::{BLOCK_BYTES, BatchData, Limits};
use protocol::units::{Extent, Point};
use storage::seam::{BlockFile, Disk};
use storage::volume::{Applier, Change, Known, Step, StepReader, digest_blocks};
use wire::control::Compression;
use wire::{Compressor, pack, unpack_within};

fn limits() -> impl Strategy<Value = Limits> {
    (
        1_usize..4,
        1_usize..6,
        0_usize..3,
        1_usize..4,
        1_u64..40,
        1_u64..9,
    )
        .prop_map(|(batch, regions, join, reads, zeros, window)| Limits {
            batch_bytes: batch * BLOCK_BYTES as usize,
            batch_regions: regions,
            join_bytes: join * BLOCK_BYTES as usize,
            job_reads: reads,
            job_zero_bytes: zeros * BLOCK_BYTES,
            request_blocks: 4,
            window_bytes: window * BLOCK_BYTES,
            windows_in_flight: 2,
        })
}

/// A volume whose blocks are zeros or filled with a number, the last one `cut` bytes shorter.
fn volume(blocks: &[u8], cut: u64) -> Arc<dyn BlockFile> {
    let file = SimDisk::new(1 << 30, 1).create("volume").unwrap();
    let size = blocks.len() as u64 * BLOCK_BYTES - cut;
    file.set_size(size).unwrap();
    for (at, fill) in (0..).zip(blocks) {
        let offset = at * BLOCK_BYTES;
        let len = usize::try_from(BLOCK_BYTES.min(size - offset)).unwrap();
        file.write_at(offset, &vec![*fill; len]).unwrap();
    }
    file.flush().unwrap();
    file
}

/// The blocks as the list of a driver that knows which are zeros.
fn changes_of(blocks: &[u8], size: u64) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (at, fill) in (0..).zip(blocks) {
        let offset = at * BLOCK_BYTES;
        let len = BLOCK_BYTES.min(size - offset);
        match changes.last_mut() {
            Some(Change::Zero(last)) if *fill == 0 => last.len += len,
            _ if *fill == 0 => changes.push(Change::Zero(Extent::new(offset, len))),
            _ => changes.push(Change::Read(Extent::new(offset, len))),
        }
    }
    changes
}

proptest! {
    #[test]
    fn d_7_a_target_takes_every_batch_and_ends_with_the_sources_content(
        blocks in proptest::collection::vec((0_u8..3, 0_u8..3), 1..48),
        cut in 0..BLOCK_BYTES / 512,
        limits in limits(),
    ) {
        let (new, old): (Vec<u8>, Vec<u8>) = blocks.into_iter().unzip();
        let (source, target) = (volume(&new, cut * 512), volume(&old, cut * 512));
        let size = source.size();
        let known = digest_blocks(&*target, Extent::new(0, size)).unwrap();
        let known = Known::new(move |first, out| {
            for (block, digest) in (usize::try_from(first).unwrap()..).zip(out) {
                *digest = known.get(block).copied();
            }
            Ok(())
        });
        let changes = changes_of(&new, size).into_iter().map(Ok);
        let mut reader = StepReader::new(source.clone(), Box::new(changes), Some(known), limits);
        let settings = Settings { limits, ..Settings::default() };
        let mut scan = Scan::new(None, None, Arc::new(ShipCount::default()), 0, false, settings);
        let applier = Applier::inline(target.clone());
        let mut compressor = Compressor::new(Compression::Off, || 0);
        let (mut index, mut after) = (0, 0);
        let mut deliver = |batches: Vec<BatchData>| {
            for batch in batches {
                let packed = pack(Point::new(1, 1), index, batch, &mut compressor);
                let taken = unpack_within(packed, after, size, &limits).unwrap();
                (index, after) = (index + 1, taken.through);
                applier.push(taken).unwrap();
            }
        };
        loop {
            match reader.step().unwrap() {
                Step::Batch(read) => deliver(scan.take(*read).unwrap()),
                Step::End => break,
                Step::NotYet => panic!("everything is known"),
            }
        }
        deliver(scan.finish(size).unwrap().batches);
        applier.flush().unwrap();
        let content = |file: &dyn BlockFile| {
            let mut bytes = vec![0; usize::try_from(size).unwrap()];
            file.read_at(0, &mut bytes).unwrap();
            bytes
        };
        prop_assert!(content(&*source) == content(&*target));
    }
}
