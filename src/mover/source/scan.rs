//! Reading candidates, telling zeros from data and changed blocks from unchanged ones, and making
//! batches of what has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use bytes::Bytes;

use crate::journal::DigestLog;
use crate::mover::convert;
use crate::mover::source::candidates::Span;
use crate::mover::source::compare::Reference;
use crate::mover::source::gather::Gathered;
use crate::pair::{Cause, Refused};
use crate::seam::{AlignedBuf, BlockFile};
use crate::units::Extent;
use crate::wire::{
    BATCH_BYTES_MAX, BATCH_REGIONS_MAX, BLOCK_BYTES, BatchData, BlockDigest, CycleDigest, CycleSum,
    Region, RegionKind, WINDOW_BYTES,
};

/// The most that is read from the device at once, in bytes.
const READ_BYTES: usize = BATCH_BYTES_MAX;

/// Blocks of a range of zeros that are compared at a time.
const ZERO_BLOCKS: u64 = 16 * 1024;

/// What a shipment has found so far, in bytes; read by the loop while the scan goes on.
#[derive(Debug, Default)]
pub struct ShipCount {
    /// Read from the device.
    pub read: AtomicU64,
    /// Changed, and data now.
    pub data: AtomicU64,
    /// Changed, and zero now.
    pub zero: AtomicU64,
    /// Everything below this byte of the volume has been looked at.
    pub through: AtomicU64,
    /// Whether the scan is still wanted.
    pub stopped: AtomicBool,
}

/// A scan under way.
pub struct Scan {
    device: Arc<dyn BlockFile>,
    reference: Reference,
    digest: CycleDigest,
    gathered: Option<Gathered>,
    out: SyncSender<BatchData>,
    count: Arc<ShipCount>,
    buf: AlignedBuf,
    /// What ends at or before this byte is at the target already.
    resume_at: u64,
    /// What was found and not handed on yet.
    open: Open,
    /// Where the last batch ended.
    sent_through: u64,
}

/// A batch that is being filled, with the digests of its data.
#[derive(Default)]
struct Open {
    regions: Vec<Region>,
    data: Vec<u8>,
}

impl Scan {
    /// A scan of `device` that hands batches to `out`.
    #[must_use]
    pub fn new(
        device: Arc<dyn BlockFile>,
        reference: Reference,
        gathered: Option<Gathered>,
        out: SyncSender<BatchData>,
        count: Arc<ShipCount>,
        resume_at: u64,
    ) -> Scan {
        Scan {
            device,
            reference,
            digest: CycleDigest::new(),
            gathered,
            out,
            count,
            buf: AlignedBuf::zeroed(READ_BYTES),
            resume_at,
            open: Open::default(),
            sent_through: resume_at,
        }
    }

    /// Compares with something else from now on. Digests gathered so far are of no use unless they
    /// were gathered whole, because it is not known any more what was left out.
    pub fn compare_with(&mut self, reference: Reference) {
        self.reference = reference;
    }

    /// Looks at one range.
    ///
    /// # Errors
    /// When the device, the digests or the standby can't be read, or the cycle was stopped.
    pub fn span(&mut self, span: Span) -> Result<(), Refused> {
        match span {
            Span::Read(extent) => {
                let mut at = extent.offset;
                while at < extent.end() {
                    let len = (READ_BYTES as u64).min(extent.end() - at);
                    self.read(Extent::new(at, len))?;
                    at += len;
                }
            }
            Span::Zero(extent) => self.zeros(extent)?,
        }
        self.count.through.store(
            match span {
                Span::Read(extent) | Span::Zero(extent) => extent.end(),
            },
            Ordering::Relaxed,
        );
        Ok(())
    }

    /// Hands on what is left and says what all of it amounts to.
    ///
    /// # Errors
    /// When the digests can't be made durable, or the cycle was stopped.
    pub fn finish(mut self, size: u64) -> Result<(CycleSum, Option<DigestLog>), Refused> {
        if !self.open.regions.is_empty() {
            self.hand_on(size)?;
        }
        let log = match self.gathered.take() {
            Some(gathered) => Some(gathered.seal()?),
            None => None,
        };
        self.count.through.store(size, Ordering::Relaxed);
        Ok((self.digest.finish(), log))
    }

    fn read(&mut self, extent: Extent) -> Result<(), Refused> {
        self.check_stopped()?;
        let len = usize::try_from(extent.len).unwrap_or(READ_BYTES);
        self.device
            .read_at(extent.offset, &mut self.buf[..len])
            .map_err(|error| convert::disk_failed(&error, Cause::SourceReadError))?;
        self.count.read.fetch_add(extent.len, Ordering::Relaxed);
        let first = extent.offset / BLOCK_BYTES;
        let blocks = len.div_ceil(BLOCK_BYTES as usize);
        let mut known = vec![None; blocks];
        self.reference.read(first, &mut known, &self.count.stopped)?;
        let digests: Vec<BlockDigest> = self.buf[..len]
            .chunks(BLOCK_BYTES as usize)
            .map(|block| if is_zero(block) { BlockDigest::ZERO } else { BlockDigest::of_data(block) })
            .collect();
        if let Some(gathered) = self.gathered.as_mut().filter(|gathered| gathered.whole) {
            for (index, digest) in digests.iter().enumerate().filter(|(_, d)| !d.is_zero()) {
                let offset = extent.offset + index as u64 * BLOCK_BYTES;
                let len = BLOCK_BYTES.min(extent.end() - offset);
                gathered.data(Extent::new(offset, len), *digest)?;
            }
        }
        for (index, (digest, known)) in digests.iter().zip(&known).enumerate() {
            if *known != Some(*digest) {
                let start = index * BLOCK_BYTES as usize;
                let end = (start + BLOCK_BYTES as usize).min(len);
                let at = Extent::new(extent.offset + start as u64, (end - start) as u64);
                self.changed(at, *digest, start..end)?;
            }
        }
        // Where little changes the target still has to learn how far the scan has come.
        if extent.end() - self.sent_through.min(extent.end()) >= WINDOW_BYTES {
            self.hand_on(extent.end())?;
        }
        Ok(())
    }

    fn zeros(&mut self, extent: Extent) -> Result<(), Refused> {
        self.check_stopped()?;
        if matches!(self.reference, Reference::Nothing) {
            return self.changed_to_zero(extent);
        }
        let mut at = extent.offset;
        while at < extent.end() {
            self.check_stopped()?;
            let len = (ZERO_BLOCKS * BLOCK_BYTES).min(extent.end() - at);
            let mut known = vec![None; usize::try_from(len.div_ceil(BLOCK_BYTES)).unwrap_or(0)];
            self.reference.read(at / BLOCK_BYTES, &mut known, &self.count.stopped)?;
            for (index, known) in known.iter().enumerate() {
                if *known != Some(BlockDigest::ZERO) {
                    let offset = at + index as u64 * BLOCK_BYTES;
                    let len = BLOCK_BYTES.min(extent.end() - offset);
                    self.changed_to_zero(Extent::new(offset, len))?;
                }
            }
            at += len;
        }
        Ok(())
    }

    fn changed(
        &mut self,
        at: Extent,
        digest: BlockDigest,
        data: std::ops::Range<usize>,
    ) -> Result<(), Refused> {
        if digest.is_zero() {
            return self.changed_to_zero(at);
        }
        self.digest.data(at, &[digest]);
        if let Some(gathered) = self.gathered.as_mut().filter(|gathered| !gathered.whole) {
            gathered.data(at, digest)?;
        }
        if at.end() <= self.resume_at {
            return Ok(());
        }
        self.count.data.fetch_add(at.len, Ordering::Relaxed);
        if self.open.data.len() + data.len() > BATCH_BYTES_MAX
            || self.open.regions.len() >= BATCH_REGIONS_MAX
        {
            self.hand_on(at.offset)?;
        }
        let bytes = &self.buf[data];
        self.open.data.extend_from_slice(bytes);
        match self.open.regions.last_mut() {
            Some(Region { extent, kind: RegionKind::Data { crc } }) if extent.end() == at.offset => {
                extent.len += at.len;
                *crc = crc32c::crc32c_append(*crc, bytes);
            }
            _ => self.open.regions.push(Region {
                extent: at,
                kind: RegionKind::Data { crc: crc32c::crc32c(bytes) },
            }),
        }
        Ok(())
    }

    fn changed_to_zero(&mut self, at: Extent) -> Result<(), Refused> {
        self.digest.zero(at);
        if let Some(gathered) = self.gathered.as_mut().filter(|gathered| !gathered.whole) {
            gathered.zero(at)?;
        }
        if at.end() <= self.resume_at {
            return Ok(());
        }
        // A range that begins before the resumed position was cut there by the batches sent then.
        let start = at.offset.max(self.resume_at);
        let at = Extent::new(start, at.end() - start);
        self.count.zero.fetch_add(at.len, Ordering::Relaxed);
        if self.open.regions.len() >= BATCH_REGIONS_MAX {
            self.hand_on(at.offset)?;
        }
        match self.open.regions.last_mut() {
            Some(Region { extent, kind: RegionKind::Zero }) if extent.end() == at.offset => {
                extent.len += at.len;
            }
            _ => self.open.regions.push(Region { extent: at, kind: RegionKind::Zero }),
        }
        Ok(())
    }

    /// Hands on the open batch; everything below `through` is covered with it.
    fn hand_on(&mut self, through: u64) -> Result<(), Refused> {
        if through <= self.sent_through {
            return Ok(());
        }
        let open = std::mem::take(&mut self.open);
        self.sent_through = through;
        self.out
            .send(BatchData {
                through,
                regions: open.regions,
                data: Bytes::from(open.data),
            })
            .map_err(|_| {
                Refused::new(Cause::PeerUnreachable, "the connection to the target ended")
            })
    }

    fn check_stopped(&self) -> Result<(), Refused> {
        if self.count.stopped.load(Ordering::Acquire) {
            return Err(Refused::new(Cause::Aborted, "the cycle was stopped"));
        }
        Ok(())
    }
}

/// Whether all bytes are zero.
fn is_zero(block: &[u8]) -> bool {
    let (words, rest) = block.as_chunks::<8>();
    words.iter().all(|word| u64::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
