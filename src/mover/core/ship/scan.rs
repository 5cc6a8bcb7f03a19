//! From what the volume's reader finds to batches: the cycle's digest, the digests kept for the next
//! cycle, small batches joined, and what the target has already left out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};

use crate::mutations::{Rule, Settings};
use crate::ship::arbitrate::Arbiter;
use crate::ship::compare::Reference;
use crate::ship::count::ShipCount;
use crate::ship::gather::Gathered;
use protocol::changes::{
    BLOCK_BYTES, BatchData, CycleDigest, CycleSum, Limits, Region, RegionKind, blocks_of,
};
use protocol::pair::Refused;
use protocol::units::Extent;
use storage::journal::DigestLog;
use storage::volume::ReadBatch;

/// How a scan has ended.
pub struct Finished {
    /// What is left to be sent.
    pub batches: Vec<BatchData>,
    /// What the complete set comes to.
    pub sum: CycleSum,
    /// The digests gathered, where they are of use.
    pub log: Option<DigestLog>,
}

/// A scan under way.
pub struct Scan {
    digest: CycleDigest,
    gathered: Option<Gathered>,
    reference: Option<Arc<Reference>>,
    /// Says whose copy is damaged, where a range is verified.
    arbiter: Option<Arbiter>,
    /// Batches that are ready to be handed on.
    out: Vec<BatchData>,
    count: Arc<ShipCount>,
    /// What ends at or before this byte is at the target already.
    resume_at: u64,
    names: bool,
    settings: Settings,
    /// Small batches that wait to be joined.
    open: Vec<Region>,
    open_data: BytesMut,
    /// Everything below has been looked at.
    through: u64,
    /// Where the last batch that was handed on ended.
    sent_through: u64,
}

impl Scan {
    /// A scan. `reference` is needed where the digests of everything are gathered while unchanged
    /// blocks are left out. `names` says whether the ranges that differ are noted.
    #[must_use]
    pub fn new(
        reference: Option<Arc<Reference>>,
        gathered: Option<Gathered>,
        count: Arc<ShipCount>,
        resume_at: u64,
        names: bool,
        settings: Settings,
    ) -> Scan {
        Scan {
            digest: CycleDigest::new(),
            gathered,
            reference,
            arbiter: None,
            out: Vec::new(),
            count,
            resume_at,
            names,
            settings,
            open: Vec::new(),
            open_data: BytesMut::new(),
            through: 0,
            sent_through: resume_at,
        }
    }

    /// The same with an arbiter over what differs.
    #[must_use]
    pub fn judged_by(self, arbiter: Option<Arbiter>) -> Scan {
        Scan { arbiter, ..self }
    }

    /// Takes in what was read; what is to be sent now.
    ///
    /// # Errors
    /// When the state volume fails.
    pub fn take(&mut self, mut read: ReadBatch) -> Result<Vec<BatchData>, Refused> {
        if self.names {
            self.count.differs(&read.batch.regions);
        }
        if let (Some(arbiter), Some(reference)) = (&mut self.arbiter, &self.reference) {
            arbiter.judge(&read, reference)?;
        }
        self.gather(&read)?;
        self.mutate(&mut read);
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
        let split = !self.settings.rules.breaks(Rule::BatchesUnsplit);
        match split {
            true => split_by(self.settings.limits, batch)
                .into_iter()
                .for_each(|batch| self.send(batch)),
            false => self.send(batch),
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// What is left to be sent, what all of it comes to, and the digests gathered.
    ///
    /// # Errors
    /// When the state volume fails, or what differed is damage of this side.
    pub fn finish(mut self, size: u64) -> Result<Finished, Refused> {
        if let Some(arbiter) = &self.arbiter {
            arbiter.verdict()?;
        }
        self.gather_same(size)?;
        self.hand_on_open(size);
        let log = match self.gathered.take() {
            Some(gathered) => Some(gathered.seal()?),
            None => None,
        };
        self.count.through.store(size, Ordering::Relaxed);
        Ok(Finished {
            batches: self.out,
            sum: self.digest.finish(),
            log,
        })
    }

    /// Leaves out what a broken rule leaves out.
    fn mutate(&self, read: &mut ReadBatch) {
        let rules = self.settings.rules;
        if rules.breaks(Rule::ZerosSkipped) {
            read.batch.regions.retain(|region| region.data_len() > 0);
        }
        if rules.breaks(Rule::ResumesTooFar) && self.resume_at > 0 {
            let before = read.batch.data.len();
            let batch = std::mem::take(&mut read.batch);
            read.batch = without(batch, self.resume_at + 4 * BLOCK_BYTES);
            let left_out = (before - read.batch.data.len()).div_ceil(BLOCK_BYTES as usize);
            read.digests.drain(..left_out);
        }
    }

    fn send(&mut self, batch: BatchData) {
        let before = batch
            .regions
            .first()
            .map_or(batch.through, |region| region.extent.offset);
        // Where a batch was split, what comes after this part is not covered yet.
        let through = batch.through;
        if batch.data.len() >= self.settings.limits.join_bytes {
            self.hand_on_open(before);
            return self.hand_on(batch);
        }
        let limits = &self.settings.limits;
        let full = self.open_data.len() + batch.data.len() > limits.batch_bytes
            || self.open.len() + batch.regions.len() > limits.batch_regions;
        if full {
            self.hand_on_open(before);
        }
        self.open_data.extend_from_slice(&batch.data);
        self.open.extend(batch.regions);
        // Where little changes the target still has to learn how far the scan has come.
        if through.saturating_sub(self.sent_through) >= self.settings.limits.window_bytes {
            self.hand_on_open(through);
        }
    }

    /// Hands on what is open; everything below `through` is covered with it.
    fn hand_on_open(&mut self, through: u64) {
        let due = through.saturating_sub(self.sent_through) >= self.settings.limits.window_bytes;
        if self.open.is_empty() && !due {
            return;
        }
        let regions = std::mem::take(&mut self.open);
        let data = self.open_data.split().freeze();
        self.hand_on(BatchData {
            through,
            regions,
            data,
        });
    }

    fn hand_on(&mut self, batch: BatchData) {
        self.sent_through = batch.through;
        self.out.push(batch);
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

/// The batch in parts that each keep the limits on regions and data, in order.
fn split_by(limits: Limits, batch: BatchData) -> Vec<BatchData> {
    let mut parts: Vec<BatchData> = Vec::new();
    let (mut from, mut to) = (0, 0);
    let mut regions = Vec::new();
    for region in &batch.regions {
        let len = usize::try_from(region.data_len()).unwrap_or(usize::MAX);
        let full = regions.len() >= limits.batch_regions || to - from + len > limits.batch_bytes;
        if full && !regions.is_empty() {
            parts.push(part(
                std::mem::take(&mut regions),
                batch.data.slice(from..to),
            ));
            from = to;
        }
        regions.push(*region);
        to += len;
    }
    parts.push(BatchData {
        through: batch.through,
        ..part(regions, batch.data.slice(from..to))
    });
    parts
}

fn part(regions: Vec<Region>, data: Bytes) -> BatchData {
    BatchData {
        through: regions.last().map_or(0, |region| region.extent.end()),
        regions,
        data,
    }
}

/// The batch without what is below `at`. Blocks are never cut: `at` is where a batch has ended.
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
