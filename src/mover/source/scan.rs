//! From what the volume's reader finds to batches: the cycle's digest, the digests kept for the next
//! cycle, small batches joined, and what the target has already left out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::source::compare::Reference;
use crate::source::gather::Gathered;
use protocol::changes::{
    BATCH_BYTES_MAX, BATCH_REGIONS_MAX, BLOCK_BYTES, BatchData, CycleDigest, CycleSum, Region,
    RegionKind, blocks_of,
};
use protocol::pair::{Cause, Refused};
use protocol::units::Extent;
use storage::journal::DigestLog;
use storage::volume::ReadBatch;
use wire::WINDOW_BYTES;
use wire::control::DIFFERING_MAX;

/// Batches with less data than this, in bytes, are joined: copying so little costs less than a frame.
const JOIN_BYTES: usize = 256 * 1024;

/// What a shipment has found so far, in bytes; read by the loop while the scan goes on.
#[derive(Debug, Default)]
pub struct ShipCount {
    /// Read from the device.
    pub read: AtomicU64,
    /// Looked at, read or not.
    pub looked: AtomicU64,
    /// Changed, and data now.
    pub data: AtomicU64,
    /// Changed, and zero now.
    pub zero: AtomicU64,
    /// Everything below this byte of the volume has been looked at.
    pub through: AtomicU64,
    /// Whether the scan is not wanted any more.
    pub stopped: Arc<AtomicBool>,
    /// The first ranges that differed, where a range is verified.
    differing: Mutex<Vec<Extent>>,
}

impl ShipCount {
    /// Notes what differs, in order of position.
    pub fn differs(&self, regions: &[Region]) {
        let mut known = self.differing();
        for Region { extent, .. } in regions {
            let room = known.len() < DIFFERING_MAX;
            match known.last_mut() {
                Some(last) if last.end() == extent.offset => last.len += extent.len,
                _ if room => known.push(*extent),
                _ => {}
            }
        }
    }

    /// The first ranges that differed.
    pub fn differing(&self) -> MutexGuard<'_, Vec<Extent>> {
        self.differing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scan under way.
pub struct Scan {
    digest: CycleDigest,
    gathered: Option<Gathered>,
    reference: Option<Arc<Reference>>,
    out: SyncSender<BatchData>,
    count: Arc<ShipCount>,
    /// What ends at or before this byte is at the target already.
    resume_at: u64,
    /// Small batches that wait to be joined.
    open: Vec<Region>,
    open_data: BytesMut,
    /// Everything below has been looked at.
    through: u64,
    /// Where the last batch that was handed on ended.
    sent_through: u64,
}

impl Scan {
    /// A scan that hands batches to `out`. `reference` is needed where digests are gathered whole
    /// while unchanged blocks are left out.
    #[must_use]
    pub fn new(
        reference: Option<Arc<Reference>>,
        gathered: Option<Gathered>,
        out: SyncSender<BatchData>,
        count: Arc<ShipCount>,
        resume_at: u64,
    ) -> Scan {
        Scan {
            digest: CycleDigest::new(),
            gathered,
            reference,
            out,
            count,
            resume_at,
            open: Vec::new(),
            open_data: BytesMut::new(),
            through: 0,
            sent_through: resume_at,
        }
    }

    /// Takes in what was read.
    ///
    /// # Errors
    /// When the metadata volume fails or the connection has ended.
    pub fn take(&mut self, read: ReadBatch) -> Result<(), Refused> {
        self.gather(&read)?;
        let mut digests = &read.digests[..];
        for region in &read.batch.regions {
            match region.kind {
                RegionKind::Zero => self.digest.zero(region.extent),
                RegionKind::Data { .. } => {
                    let blocks = blocks_of(region.extent);
                    let count = usize::try_from(blocks.end - blocks.start).unwrap_or(usize::MAX);
                    let (own, rest) = digests.split_at(count.min(digests.len()));
                    self.digest.data(region.extent, own);
                    digests = rest;
                }
            }
        }
        self.count
            .looked
            .fetch_add(read.scanned_bytes, Ordering::Relaxed);
        self.through = self.through.max(read.batch.through);
        self.count.through.store(self.through, Ordering::Relaxed);
        let batch = without(read.batch, self.resume_at);
        for region in &batch.regions {
            let counter = match region.kind {
                RegionKind::Zero => &self.count.zero,
                RegionKind::Data { .. } => &self.count.data,
            };
            counter.fetch_add(region.extent.len, Ordering::Relaxed);
        }
        self.send(batch)
    }

    /// Hands on what is left and says what all of it amounts to, with the digests gathered.
    ///
    /// # Errors
    /// When the metadata volume fails or the connection has ended.
    pub fn finish(mut self, size: u64) -> Result<(CycleSum, Option<DigestLog>), Refused> {
        self.gather_same(size)?;
        self.hand_on_open(size)?;
        let log = match self.gathered.take() {
            Some(gathered) => Some(gathered.seal()?),
            None => None,
        };
        self.count.through.store(size, Ordering::Relaxed);
        Ok((self.digest.finish(), log))
    }

    fn send(&mut self, batch: BatchData) -> Result<(), Refused> {
        let before = batch
            .regions
            .first()
            .map_or(self.through, |region| region.extent.offset);
        if batch.data.len() >= JOIN_BYTES {
            self.hand_on_open(before)?;
            return self.hand_on(batch);
        }
        let full = self.open_data.len() + batch.data.len() > BATCH_BYTES_MAX
            || self.open.len() + batch.regions.len() > BATCH_REGIONS_MAX;
        if full {
            self.hand_on_open(before)?;
        }
        self.open_data.extend_from_slice(&batch.data);
        self.open.extend(batch.regions);
        // Where little changes the target still has to learn how far the scan has come.
        if self.through.saturating_sub(self.sent_through) >= WINDOW_BYTES {
            self.hand_on_open(self.through)?;
        }
        Ok(())
    }

    /// Hands on what is open; everything below `through` is covered with it.
    fn hand_on_open(&mut self, through: u64) -> Result<(), Refused> {
        let due = through.saturating_sub(self.sent_through) >= WINDOW_BYTES;
        if self.open.is_empty() && !due {
            return Ok(());
        }
        let regions = std::mem::take(&mut self.open);
        let data = self.open_data.split().freeze();
        self.hand_on(BatchData {
            through,
            regions,
            data,
        })
    }

    fn hand_on(&mut self, batch: BatchData) -> Result<(), Refused> {
        self.sent_through = batch.through;
        self.out
            .send(batch)
            .map_err(|_| Refused::new(Cause::PeerUnreachable, "the connection to the target ended"))
    }

    fn gather(&mut self, read: &ReadBatch) -> Result<(), Refused> {
        let mut digests = read.digests.iter();
        for region in &read.batch.regions {
            self.gather_same(region.extent.offset)?;
            if let Some(gathered) = &mut self.gathered {
                match region.kind {
                    RegionKind::Zero => gathered.zero(region.extent)?,
                    RegionKind::Data { .. } => {
                        for block in blocks_of(region.extent) {
                            let offset = block * BLOCK_BYTES;
                            let len = BLOCK_BYTES.min(region.extent.end() - offset);
                            if let Some(digest) = digests.next() {
                                gathered.data(Extent::new(offset, len), *digest)?;
                            }
                        }
                    }
                }
            }
            self.through = region.extent.end();
        }
        self.gather_same(read.batch.through)?;
        if let Some(reference) = &self.reference {
            reference.release(read.batch.through / BLOCK_BYTES);
        }
        Ok(())
    }

    /// What was left out up to byte `end` is the same as at the standby. A log of the whole volume
    /// has to name it.
    fn gather_same(&mut self, end: u64) -> Result<(), Refused> {
        let (Some(gathered), Some(reference)) = (&mut self.gathered, &self.reference) else {
            return Ok(());
        };
        if !gathered.whole || self.through >= end {
            return Ok(());
        }
        for block in blocks_of(Extent::new(self.through, end - self.through)) {
            let offset = block * BLOCK_BYTES;
            let len = BLOCK_BYTES.min(end - offset);
            if let Some(digest) = reference.standby_digest(block)
                && !digest.is_zero()
            {
                gathered.data(Extent::new(offset, len), digest)?;
            }
        }
        Ok(())
    }
}

/// The batch without what lies below `at`. Blocks are never cut: `at` is where a batch has ended.
fn without(batch: BatchData, at: u64) -> BatchData {
    if batch
        .regions
        .first()
        .is_none_or(|region| region.extent.offset >= at)
    {
        return batch;
    }
    let mut regions = Vec::new();
    let mut skipped = 0;
    for (region, data) in batch.iter() {
        let start = region.extent.offset.max(at);
        if start >= region.extent.end() {
            skipped += data.len();
            continue;
        }
        let cut = start - region.extent.offset;
        let extent = Extent::new(start, region.extent.len - cut);
        let kind = match region.kind {
            RegionKind::Zero => RegionKind::Zero,
            RegionKind::Data { .. } => {
                let cut = usize::try_from(cut).unwrap_or(data.len());
                skipped += cut;
                RegionKind::Data {
                    crc: crc32c::crc32c(&data[cut..]),
                }
            }
        };
        regions.push(Region { extent, kind });
    }
    let data: Bytes = batch.data.slice(skipped..);
    BatchData {
        through: batch.through,
        regions,
        data,
    }
}
