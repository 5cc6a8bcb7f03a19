//! What one worker does with one job: read, find zeros, hash, leave out what is the same.

use crate::seam::{BlockFile, DiskError};
use crate::volume::compare::hash_found;
use crate::volume::jobs::Job;
use crate::volume::{Change, Known};
use protocol::changes::{BLOCK_BYTES, BlockDigest, BlockHasher, Region, RegionKind, blocks_of};
use protocol::units::Extent;

const BLOCK: usize = BLOCK_BYTES as usize;

/// Kept digests are read for this many blocks at a time.
const LOOKUP_BLOCKS: u64 = 16 * 1024;

/// The output of a job; the data is packed at the beginning of the job's buffer.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) regions: Vec<Region>,
    pub(super) digests: Vec<BlockDigest>,
    pub(super) data_len: usize,
    pub(super) zero_bytes: u64,
    pub(super) same_bytes: u64,
}

/// Reads a job into `buf` and finds out what of it has to be shipped.
pub(super) fn scan(
    device: &dyn BlockFile,
    job: &Job,
    known: Option<&Known>,
    buf: &mut [u8],
) -> Result<Scanned, DiskError> {
    let mut out = Scanned::default();
    let mut from = 0;
    for change in &job.changes {
        let len = usize::try_from(change.extent().len).unwrap_or(usize::MAX);
        if let Change::Read(extent) = change {
            device.read_at(extent.offset, &mut buf[from..from + len])?;
            from += len;
        }
    }
    let digests = hash_read(job, &buf[..from]);
    let mut found = Found {
        digests: &digests,
        buf,
        at: 0,
    };
    for change in &job.changes {
        match change {
            Change::Read(extent) => out.read(*extent, known, &mut found)?,
            Change::Zero(extent) => out.zeros(*extent, known)?,
        }
    }
    out.checksum(buf);
    Ok(out)
}

/// What was read and is still to be sorted out.
struct Found<'a> {
    /// Of the blocks from `at`.
    digests: &'a [BlockDigest],
    buf: &'a mut [u8],
    /// Where the next range's bytes are.
    at: usize,
}

/// The digests of everything that was read. Ranges are hashed together: alone, one of a single block
/// would fill a quarter of the processor's lanes.
fn hash_read(job: &Job, mut bytes: &[u8]) -> Vec<BlockDigest> {
    let mut hasher = BlockHasher::new(bytes.len().div_ceil(BLOCK));
    for change in &job.changes {
        if let Change::Read(extent) = change {
            let len = usize::try_from(extent.len).unwrap_or(usize::MAX);
            let (range, rest) = bytes.split_at(len);
            hash_found(&mut hasher, range);
            bytes = rest;
        }
    }
    hasher.finish()
}

impl Scanned {
    /// Sorts out the next range that was read.
    fn read(
        &mut self,
        extent: Extent,
        known: Option<&Known>,
        found: &mut Found<'_>,
    ) -> Result<(), DiskError> {
        let blocks = blocks_of(extent);
        let count = usize::try_from(blocks.end - blocks.start).unwrap_or(usize::MAX);
        let old = match known {
            Some(known) => known.lookup(blocks.start, count)?,
            None => Vec::new(),
        };
        let (digests, rest) = found.digests.split_at(count);
        found.digests = rest;
        let len = usize::try_from(extent.len).unwrap_or(usize::MAX);
        for ((index, digest), start) in digests.iter().enumerate().zip((0..len).step_by(BLOCK)) {
            let block_len = BLOCK.min(len - start);
            let here = Extent::new(extent.offset + start as u64, block_len as u64);
            if old.get(index) == Some(&Some(*digest)) {
                self.same_bytes += here.len;
            } else if digest.is_zero() {
                self.push(here, RegionKind::Zero);
                self.zero_bytes += here.len;
            } else {
                // Packed data never overtakes what is still to be read.
                let (from, to) = (found.at + start, self.data_len);
                if to != from {
                    found.buf.copy_within(from..from + block_len, to);
                }
                self.data_len += block_len;
                self.digests.push(*digest);
                self.push(here, RegionKind::Data { crc: 0 });
            }
        }
        found.at += len;
        Ok(())
    }

    /// Sorts out a range that is known to be zeros.
    fn zeros(&mut self, extent: Extent, known: Option<&Known>) -> Result<(), DiskError> {
        let Some(known) = known else {
            self.push(extent, RegionKind::Zero);
            self.zero_bytes += extent.len;
            return Ok(());
        };
        let blocks = blocks_of(extent);
        let mut first = blocks.start;
        while first < blocks.end {
            let count = (blocks.end - first).min(LOOKUP_BLOCKS);
            let old = known.lookup(first, usize::try_from(count).unwrap_or(0))?;
            for (block, old) in (first..).zip(old) {
                let start = block * BLOCK_BYTES;
                let here = Extent::new(start, BLOCK_BYTES.min(extent.end() - start));
                if old == Some(BlockDigest::ZERO) {
                    self.same_bytes += here.len;
                } else {
                    self.push(here, RegionKind::Zero);
                    self.zero_bytes += here.len;
                }
            }
            first += count;
        }
        Ok(())
    }

    fn push(&mut self, extent: Extent, kind: RegionKind) {
        if let Some(last) = self.regions.last_mut()
            && last.extent.end() == extent.offset
            && last.kind == kind
        {
            last.extent.len += extent.len;
            return;
        }
        self.regions.push(Region { extent, kind });
    }

    fn checksum(&mut self, buf: &[u8]) {
        let mut at = 0;
        for region in &mut self.regions {
            if let RegionKind::Data { crc } = &mut region.kind {
                let len = usize::try_from(region.extent.len).unwrap_or(usize::MAX);
                *crc = crc32c::crc32c(&buf[at..at + len]);
                at += len;
            }
        }
    }
}
