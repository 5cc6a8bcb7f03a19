//! What one of the applier's threads does with the batches that it has taken: it checks them, joins
//! what is adjacent, and writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::seam::{BlockFile, DiskError};
use crate::volume::apply::{ApplyError, ApplyReport};
use crate::volume::coalesce::Run;
use crate::volume::isolate::{Budget, FAILURES_MAX, Stop, errno_of_a_range, isolate};
use buffers::{AlignedBuf, DIRECT_ALIGN};
use protocol::changes::{BatchData, RegionKind};
use protocol::units::Extent;

/// Ranges that could not be written, each with its error number and the failure.
pub(super) type Failed = Vec<(Extent, i32, DiskError)>;

/// The volume, and what was written to it.
pub(super) struct Writer {
    device: Arc<dyn BlockFile>,
    budget: Budget,
    data_bytes: AtomicU64,
    zero_bytes: AtomicU64,
    writes: AtomicU64,
}

impl Writer {
    /// Nothing is written yet.
    pub(super) fn new(device: Arc<dyn BlockFile>) -> Writer {
        Writer {
            device,
            budget: Budget::new(FAILURES_MAX),
            data_bytes: AtomicU64::new(0),
            zero_bytes: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    pub(super) fn report(&self) -> ApplyReport {
        ApplyReport {
            data_bytes: self.data_bytes.load(Ordering::Relaxed),
            zero_bytes: self.zero_bytes.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    /// Makes everything written so far durable.
    pub(super) fn flush(&self) -> Result<(), Stop> {
        Ok(self.device.flush()?)
    }

    /// Writes the batches; `buf` is where what is adjacent is joined. `failed` gets the ranges
    /// that can't be written.
    ///
    /// # Errors
    /// When a batch is damaged, or when nothing more can be written.
    pub(super) fn write(
        &self,
        batches: &[BatchData],
        buf: &mut AlignedBuf,
        failed: &mut Failed,
    ) -> Result<(), Stop> {
        // All checks come before the first write.
        batches.iter().try_for_each(check)?;
        let mut run = Run::new(buf);
        for (region, data) in batches.iter().flat_map(BatchData::iter) {
            match region.kind {
                RegionKind::Zero => self.zero(region.extent, failed)?,
                RegionKind::Data { .. } => {
                    if !run.join(region.extent.offset, data) {
                        self.data(&mut run, failed)?;
                        run.join(region.extent.offset, data);
                    }
                }
            }
        }
        self.data(&mut run, failed)
    }

    fn zero(&self, extent: Extent, failed: &mut Failed) -> Result<(), Stop> {
        let mut write = |piece| self.device.zero(piece);
        let bad = match write(extent) {
            Ok(()) => 0,
            Err(error) => self.repeat(extent, error, &mut write, failed)?,
        };
        self.zero_bytes
            .fetch_add(extent.len - bad, Ordering::Relaxed);
        Ok(())
    }

    fn data(&self, run: &mut Run<'_, '_>, failed: &mut Failed) -> Result<(), Stop> {
        let (offset, data) = run.finish();
        if data.is_empty() {
            return Ok(());
        }
        let (head, tail) = data.split_at(data.len() / DIRECT_ALIGN * DIRECT_ALIGN);
        let mut bad = 0;
        for (at, part) in [(offset, head), (offset + head.len() as u64, tail)] {
            if !part.is_empty()
                && let Err(error) = self.device.write_at(at, part)
            {
                bad += self.repeat_data(at, part, error, failed)?;
            }
        }
        self.data_bytes
            .fetch_add(data.len() as u64 - bad, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes again, in pieces, what has failed with `error`.
    fn repeat_data(
        &self,
        offset: u64,
        data: &[u8],
        error: DiskError,
        failed: &mut Failed,
    ) -> Result<u64, Stop> {
        let mut copy = AlignedBuf::zeroed(data.len());
        copy.copy_from_slice(data);
        let index = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
        let mut write = |piece: Extent| {
            let bytes = &copy[index(piece.offset)..index(piece.end())];
            self.device.write_at(piece.offset, bytes)
        };
        let extent = Extent::new(offset, data.len() as u64);
        self.repeat(extent, error, &mut write, failed)
    }

    /// Does again, in pieces, what has failed with `error`; how many bytes could not be written.
    fn repeat(
        &self,
        extent: Extent,
        error: DiskError,
        write: &mut dyn FnMut(Extent) -> Result<(), DiskError>,
        failed: &mut Failed,
    ) -> Result<u64, Stop> {
        if errno_of_a_range(&error).is_none() {
            return Err(error.into());
        }
        let mut bad = 0;
        isolate(extent, &self.budget, write, &mut |piece, errno, error| {
            bad += piece.len;
            failed.push((piece, errno, error));
        })?;
        Ok(bad)
    }
}

/// Checks that the data of a batch is what its checksums say.
fn check(batch: &BatchData) -> Result<(), Stop> {
    for (region, data) in batch.iter() {
        if let RegionKind::Data { crc } = region.kind
            && (crc32c::crc32c(data) != crc || data.len() as u64 != region.extent.len)
        {
            return Err(Stop::Error(ApplyError::Checksum(region.extent.offset)));
        }
    }
    Ok(())
}
