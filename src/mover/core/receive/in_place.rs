//! The first copy: written straight to the volume, because there is no image yet that a staged set
//! would protect. A small file says how far it is durable, so that it can be taken up again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::journal::{DigestLog, DigestLogSpec};
use crate::mover::core::receive::apply;
use crate::mover::core::receive::checkpoint::Flush;
use crate::mover::core::ship::gather::Gathered;
use crate::mover::core::translate;
use crate::pair::{Cause, Refused};
use crate::seam::{BlockFile, Disk};
use crate::units::{Extent, Rung};
use crate::volume::{Applier, digest_blocks};
use crate::wire::{
    BATCH_BYTES_MAX, BLOCK_BYTES, BatchData, BlockDigest, CycleDigest, CycleId, CycleSum,
    RegionKind, blocks_of,
};

/// The file's name on the metadata volume.
const FILE: &str = "in-place";

/// The first bytes of the file: its magic and its format.
const MAGIC: [u8; 8] = *b"FERRYIP\x01";

/// How far a copy in place has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    id: CycleId,
    size: u64,
    through: u64,
}

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
    /// When the volume or the metadata volume fails.
    pub fn open(
        device: Arc<dyn BlockFile>,
        applier: Applier,
        disk: Arc<dyn Disk>,
        id: CycleId,
        size: u64,
        rung: Rung,
        read_back: &AtomicU64,
    ) -> Result<InPlace, Refused> {
        let spec = DigestLogSpec {
            id: CycleId { from: None, ..id },
            size_bytes: size,
            rung,
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
        match copy.read_mark()? {
            Some(mark) if mark.id == id && mark.size == size && mark.through <= size => {
                copy.read_back(mark.through, read_back)?;
                copy.through = mark.through;
            }
            _ => copy.mark().write(&*copy.disk)?,
        }
        Ok(copy)
    }

    /// Forgets how far any copy in place has come.
    ///
    /// # Errors
    /// When the metadata volume fails.
    pub fn forget(disk: &dyn Disk) -> Result<(), Refused> {
        disk.remove(FILE).map_err(on_metadata)
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
            mark.write(&*disk)?;
            Ok(mark.through)
        })
    }

    /// Checks that the whole copy amounts to `sum`, and flushes the volume.
    ///
    /// # Errors
    /// When it amounts to something else, or the volume fails.
    pub fn seal(&mut self, sum: CycleSum) -> Result<(), Refused> {
        let ours = self.digest.clone().finish();
        if ours != sum {
            // What is there can't be trusted: the next try begins at the beginning.
            InPlace::forget(&*self.disk)?;
            return Err(Refused::new(
                Cause::Corrupt,
                format!(
                    "the copy amounts to {}, but the source sent {}",
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
    /// When the metadata volume fails.
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

    fn read_mark(&self) -> Result<Option<Mark>, Refused> {
        let content = self.disk.read_small(FILE).map_err(on_metadata)?;
        // A mark that can't be read only means that the copy begins again.
        Ok(content.and_then(|bytes| {
            let (checksum, body) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<4>()?;
            let whole = u32::from_le_bytes(*checksum) == crc32c::crc32c(body);
            whole.then(|| postcard::from_bytes(body).ok()).flatten()
        }))
    }

    fn mark(&self) -> Mark {
        Mark {
            id: self.id,
            size: self.size,
            through: self.through,
        }
    }
}

impl Mark {
    fn write(&self, disk: &dyn Disk) -> Result<(), Refused> {
        let body = postcard::to_stdvec(self)
            .map_err(|error| Refused::new(Cause::Internal, error.to_string()))?;
        let mut content = MAGIC.to_vec();
        content.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        content.extend_from_slice(&body);
        disk.replace_small(FILE, &content).map_err(on_metadata)
    }
}

fn on_metadata(error: crate::seam::DiskError) -> Refused {
    translate::journal_failed(&error.into())
}
