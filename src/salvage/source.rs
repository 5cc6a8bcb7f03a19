//! What is compared with what, and the reading of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::SalvageError;
use protocol::changes::{BLOCK_BYTES, BlockDigest};
use protocol::units::{Extent, Point};
use storage::journal::{DigestReader, DigestStore, Superblock, SuperblockStore};
use storage::seam::{BlockFile, Directory, DiskError, SystemClock};
use storage::volume;
use storage::volume::{Known, ReadBatch, Reader, ReaderConfig, digest_blocks, open_source};

/// Nothing read for this long ends the salvage with an error.
const STALL: Duration = Duration::from_secs(60);

/// A diverged volume, and what it is compared with.
pub struct Source {
    volume: Arc<dyn BlockFile>,
    known: Known,
    /// What the state volume says of the side, where it was given and can be read.
    pub superblock: Option<Superblock>,
    /// What the volume is compared with, as a clause for people.
    pub against: String,
    /// The cut that it is compared with, where that is known.
    pub point: Option<Point>,
}

impl Source {
    /// Opens the volume at `volume` for reading, and the best of what there is to compare it with:
    /// the device `base`, else the digests kept in the directory `meta`, else, where `whole` allows
    /// it, nothing, so that everything that is not zero counts.
    ///
    /// # Errors
    /// When something can't be opened, or there is nothing to compare with.
    pub fn open(
        volume: &Path,
        base: Option<&Path>,
        meta: Option<&Path>,
        whole: bool,
    ) -> Result<Source, SalvageError> {
        let device = open_source(volume)?;
        let kept = meta.map(kept).transpose()?;
        let superblock = kept.as_ref().and_then(|kept| kept.superblock.clone());
        let common = superblock.as_ref().and_then(|s| s.committed);
        let (known, against, point) = match (base, kept.and_then(|kept| kept.digests)) {
            (Some(path), _) => {
                let known = of_device(open_source(path)?);
                (known, format!("the image on {}", path.display()), common)
            }
            (None, Some((point, digests))) => {
                let against = format!("the digests kept of cut {point}");
                (of_digests(digests), against, Some(point))
            }
            (None, None) if whole => (
                of_zeros(),
                "nothing: everything that is not zero is exported".to_string(),
                None,
            ),
            (None, None) => {
                return Err(SalvageError::Refused(
                    "there is nothing to compare the volume with: no device with the common image was \
                     given, and no digests of it are kept. Everything that is not zero can be exported \
                     with --whole"
                        .into(),
                ));
            }
        };
        Ok(Source {
            volume: device,
            known,
            superblock,
            against,
            point,
        })
    }

    /// The volume's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.volume.size()
    }

    /// Reads the whole volume and hands what differs to `take`, in order of position.
    ///
    /// # Errors
    /// When the volume can't be read, or what `take` says.
    pub fn read(
        &self,
        mut take: impl FnMut(ReadBatch) -> Result<(), SalvageError>,
    ) -> Result<(), SalvageError> {
        let reader = Reader::start(
            self.volume.clone(),
            volume::allocated(self.volume.clone(), 0, self.size()),
            Some(self.known.clone()),
            ReaderConfig::default(),
            Arc::new(SystemClock::new()),
        );
        while let Some(batch) = reader.next(STALL)? {
            take(batch)?;
        }
        Ok(())
    }
}

/// What a state volume holds of use here.
struct Kept {
    superblock: Option<Superblock>,
    digests: Option<(Point, DigestReader)>,
}

fn kept(meta: &Path) -> Result<Kept, SalvageError> {
    let disk = Arc::new(Directory::read_only(meta).map_err(SalvageError::Write)?);
    Ok(Kept {
        superblock: SuperblockStore::peek(&*disk)?,
        digests: DigestStore::peek(&*disk)?,
    })
}

/// Digests computed of an image on another device, as it is read. What is past its end is unknown.
fn of_device(base: Arc<dyn BlockFile>) -> Known {
    Known::new(move |first, out| {
        let start = first * BLOCK_BYTES;
        let end = base.size().min(start + out.len() as u64 * BLOCK_BYTES);
        out.fill(None);
        if start >= end {
            return Ok(());
        }
        let digests = digest_blocks(&*base, Extent::new(start, end - start))?;
        for (slot, digest) in out.iter_mut().zip(digests) {
            *slot = Some(digest);
        }
        Ok(())
    })
}

fn of_digests(digests: DigestReader) -> Known {
    Known::new(move |first, out| {
        digests
            .read(first, out)
            .map_err(|error| DiskError::new("read", "kept digests", std::io::Error::other(error)))
    })
}

fn of_zeros() -> Known {
    Known::new(|_, out| {
        out.fill(Some(BlockDigest::ZERO));
        Ok(())
    })
}
