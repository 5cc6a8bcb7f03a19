//! Where a cycle is written while it is received: staging, or the volume for a first copy.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::effect::{Discard, Work};
use crate::mutations::{Rule, Rules};
use crate::receive::checkpoint::Flush;
use crate::receive::in_place::InPlace;
use crate::receive::staging::{discard, staging_for};
use crate::translate;
use protocol::changes::{BatchData, BlockDigest, CycleSum};
use protocol::pair::Refused;
use protocol::units::Point;
use storage::journal::{DigestLog, Staging};
use storage::seam::{BlockFile, Disk};
use storage::volume::Applier;

/// Where batches are written.
pub enum Sink {
    /// In staging, with the digests for the next cycle where they are of use.
    Staging(Box<Staging>, Option<Box<DigestLog>>),
    /// On the volume.
    InPlace(Box<InPlace>),
}

impl Sink {
    /// Everything below this byte of the volume is here.
    #[must_use]
    pub fn through(&self) -> u64 {
        match self {
            Sink::Staging(staging, _) => staging.through(),
            Sink::InPlace(in_place) => in_place.through(),
        }
    }

    /// Takes a batch that was checked; `digests` has one for each block of its data regions.
    ///
    /// # Errors
    /// When a disk fails or is full.
    pub fn append(&mut self, batch: BatchData, digests: &[BlockDigest]) -> Result<(), Refused> {
        match self {
            Sink::Staging(staging, log) => {
                staging
                    .append(&batch, digests)
                    .map_err(|error| translate::journal_failed(&error))?;
                if let Some(log) = log {
                    log.append(batch.through, &batch.regions, digests)
                        .map_err(|error| translate::journal_failed(&error))?;
                }
                Ok(())
            }
            Sink::InPlace(in_place) => in_place.write(batch, digests),
        }
    }

    /// What has been taken comes to this, where it is staged.
    #[must_use]
    pub fn sum(&self) -> Option<CycleSum> {
        match self {
            Sink::Staging(staging, _) => Some(staging.sum()),
            Sink::InPlace(_) => None,
        }
    }

    /// The flush that makes durable what was taken so far.
    #[must_use]
    pub fn checkpoint(&self) -> Flush {
        match self {
            Sink::Staging(staging, _) => {
                let checkpoint = staging.checkpoint();
                Flush::new(move || {
                    checkpoint
                        .run()
                        .map_err(|error| translate::journal_failed(&error))
                })
            }
            Sink::InPlace(in_place) => in_place.checkpoint(),
        }
    }

    /// Ends it, if it comes to `sum`; durable on return.
    ///
    /// # Errors
    /// When it comes to something else, or a disk fails.
    pub fn seal(&mut self, sum: CycleSum) -> Result<(), Refused> {
        match self {
            Sink::Staging(staging, log) => {
                staging
                    .seal(sum)
                    .map_err(|error| translate::journal_failed(&error))?;
                if let Some(log) = log {
                    log.seal()
                        .map_err(|error| translate::journal_failed(&error))?;
                }
                Ok(())
            }
            Sink::InPlace(in_place) => in_place.seal(sum),
        }
    }
}

/// Opens the sink that `work` asks for; `None` where it asks for none. `kept` is the cut that the kept
/// digests are of; `applier` makes what writes to the volume. What is read back is counted.
///
/// # Errors
/// When the volume or the state volume fails or is full.
pub fn open_sink(
    work: &Work,
    device: Arc<dyn BlockFile>,
    disk: &Arc<dyn Disk>,
    kept: Option<Point>,
    applier: impl FnOnce(Arc<dyn BlockFile>) -> Applier,
    read_back: &AtomicU64,
    rules: Rules,
) -> Result<Option<Sink>, Refused> {
    if rules.breaks(Rule::BeginsFromScratch) {
        discard(Discard::All, None, &**disk)?;
    }
    Ok(match work {
        Work::Stage { spec, applied } => Some(staging_for(disk, *spec, *applied, kept, read_back)?),
        Work::Overwrite {
            id,
            size,
            change_source,
        } => {
            let applier = applier(device.clone());
            let disk = disk.clone();
            let in_place =
                InPlace::open(device, applier, disk, *id, *size, *change_source, read_back)?;
            Some(Sink::InPlace(Box::new(in_place)))
        }
        _ => None,
    })
}
