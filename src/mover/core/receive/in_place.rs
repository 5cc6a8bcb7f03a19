//! The first copy: written straight to the volume, because there is no image yet that a staged set
//! would protect. A small file says how far it is durable, so that it can be resumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::receive::apply;
use crate::receive::checkpoint::Flush;
use crate::ship::gather::Gathered;
use crate::translate;
use protocol::changes::{
    BATCH_BYTES_MAX, BLOCK_BYTES, BatchData, BlockDigest, CycleDigest, CycleId, CycleSum,
    RegionKind, blocks_of,
};
use protocol::pair::{Cause, Refused};
use protocol::units::{ChangeSource, Extent};
use storage::journal::{DigestLog, DigestLogSpec, InPlaceMark, JournalError};
use storage::seam::{BlockFile, Disk};
use storage::volume::{Applier, digest_blocks};

/// A copy in place under way.
pub struct InPlace {
    device: Arc<dyn BlockFile>,
    disk: Arc<dyn Disk>,
    id: CycleId,
    size: u64,
    through: u64,
    digest: CycleDigest,
    applier: Applier,
    gathered: Option<Gathered>,
}

impl InPlace {
    /// Begins the copy of a cut of `size` bytes, or takes it up where it is durable; `applier` writes
    /// to `device`. What is durable is read back, so that the sum at the end is of what the volume
    /// really holds.
    ///
    /// # Errors
    /// When the volume or the state volume fails.
    pub fn open(
        device: Arc<dyn BlockFile>,
        applier: Applier,
        disk: Arc<dyn Disk>,
        id: CycleId,
        size: u64,
        change_source: ChangeSource,
        read_back: &AtomicU64,
    ) -> Result<InPlace, Refused> {
        let spec = DigestLogSpec {
            id: CycleId { from: None, ..id },
            size_bytes: size,
            change_source,
        };
        let log = DigestLog::create(disk.clone(), spec)
            .map_err(|error| translate::journal_failed(&error))?;
        let mut copy = InPlace {
            applier,
            gathered: Some(Gathered::new(log, true)),
            device,
            disk,
            id,
            size,
            through: 0,
            digest: CycleDigest::new(),
        };
        match InPlaceMark::read(&*copy.disk).map_err(on_metadata)? {
            Some(mark) if mark.id == id && mark.size_bytes == size && mark.through <= size => {
                copy.read_back(mark.through, read_back)?;
                copy.through = mark.through;
            }
            _ => copy.mark().write(&*copy.disk).map_err(on_metadata)?,
        }
        Ok(copy)
    }

    /// Forgets how far any copy in place has come.
    ///
    /// # Errors
    /// When the state volume fails.
    pub fn forget(disk: &dyn Disk) -> Result<(), Refused> {
        InPlaceMark::remove(disk).map_err(on_metadata)
    }

    /// Everything below this byte of the volume is written.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Writes a batch that was checked.
    ///
    /// # Errors
    /// When the volume fails.
    pub fn write(&mut self, batch: BatchData, digests: &[BlockDigest]) -> Result<(), Refused> {
        let mut rest = digests;
        for region in &batch.regions {
            match region.kind {
                RegionKind::Zero => self.digest.zero(region.extent),
                RegionKind::Data { .. } => {
                    let blocks = blocks_of(region.extent);
                    let count = usize::try_from(blocks.end - blocks.start).unwrap_or(rest.len());
                    let (own, after) = rest.split_at(count.min(rest.len()));
                    self.digest.data(region.extent, own);
                    self.gather(region.extent, own)?;
                    rest = after;
                }
            }
        }
        self.through = batch.through;
        self.applier.push(batch).map_err(apply::failed)
    }

    /// The flush that makes durable what was written so far, and then that it is.
    #[must_use]
    pub fn checkpoint(&self) -> Flush {
        let (written, disk, mark) = (self.applier.so_far(), self.disk.clone(), self.mark());
        Flush::new(move || {
            written.flush().map_err(apply::failed)?;
            mark.write(&*disk).map_err(on_metadata)?;
            Ok(mark.through)
        })
    }

    /// Checks that the copy's totals and digest are `sum`, and flushes the volume.
    ///
    /// # Errors
    /// When they differ, or the volume fails.
    pub fn seal(&mut self, sum: CycleSum) -> Result<(), Refused> {
        let ours = self.digest.clone().finish();
        if ours != sum {
            // What is there can't be trusted: the next try begins at the beginning.
            InPlace::forget(&*self.disk)?;
            return Err(Refused::new(
                Cause::Corrupt,
                format!(
                    "the copy holds {}, but the source sent {}",
                    ours.hex(),
                    sum.hex()
                ),
            ));
        }
        self.checkpoint().run().map(drop)
    }

    /// The digests of the copy, once it is sealed.
    ///
    /// # Errors
    /// When the state volume fails.
    pub fn take_digests(&mut self) -> Result<Option<DigestLog>, Refused> {
        self.gathered.take().map(Gathered::seal).transpose()
    }

    fn gather(&mut self, extent: Extent, digests: &[BlockDigest]) -> Result<(), Refused> {
        let Some(gathered) = &mut self.gathered else {
            return Ok(());
        };
        for (block, digest) in blocks_of(extent).zip(digests) {
            let offset = block * BLOCK_BYTES;
            let len = BLOCK_BYTES.min(extent.end() - offset);
            gathered.data(Extent::new(offset, len), *digest)?;
        }
        Ok(())
    }

    /// Adds what the volume holds below `through` to the digest. A first copy covers every byte, so
    /// what is zero now came as zeros.
    fn read_back(&mut self, through: u64, count: &AtomicU64) -> Result<(), Refused> {
        let mut at = 0;
        while at < through {
            let len = (BATCH_BYTES_MAX as u64).min(through - at);
            let piece = Extent::new(at, len);
            let digests = digest_blocks(&*self.device, piece)
                .map_err(|error| translate::disk_failed(&error, Cause::TargetWriteError))?;
            for (block, digest) in blocks_of(piece).zip(&digests) {
                let offset = block * BLOCK_BYTES;
                let extent = Extent::new(offset, BLOCK_BYTES.min(piece.end() - offset));
                if digest.is_zero() {
                    self.digest.zero(extent);
                } else {
                    self.digest.data(extent, &[*digest]);
                    self.gather(extent, &[*digest])?;
                }
            }
            at += len;
            count.fetch_add(len, Ordering::Relaxed);
        }
        Ok(())
    }

    fn mark(&self) -> InPlaceMark {
        InPlaceMark {
            id: self.id,
            size_bytes: self.size,
            through: self.through,
        }
    }
}

fn on_metadata(error: JournalError) -> Refused {
    translate::journal_failed(&error)
}
