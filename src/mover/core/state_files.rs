//! The open files of the state volume that one piece of work leaves for the next: kept digests,
//! staging, and digests that wait for their commit.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::digest_commit::commit_digests;
use crate::effect::{Discard, ShipWork};
use crate::input::{NotWritten, ShipEvent};
use crate::mutations::{Rule, Rules};
use crate::receive::apply::{apply, staged_set};
use crate::receive::open_sink::Sink;
use crate::receive::staging::discard;
use crate::translate::journal_failed;
use protocol::changes::BLOCK_BYTES;
use protocol::pair::change_plan::Compare;
use protocol::units::{Extent, FailedRange, Point};
use storage::journal::{DigestLog, DigestReader, DigestStore, JournalError, Proof, Staging};
use storage::seam::{BlockFile, Disk, DiskError};
use storage::volume::{Applier, digest_blocks};

/// A volume could not be compared with the digests that are kept of it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The digests can't be read.
    #[error(transparent)]
    Digests(#[from] JournalError),
    /// The volume can't be read.
    #[error(transparent)]
    Volume(#[from] DiskError),
}

/// The files. Work has them to itself, because only one piece is under way at a time.
pub struct StateFiles {
    disk: Arc<dyn Disk>,
    digests: Option<DigestStore>,
    staging: Option<Box<Staging>>,
    log: Option<DigestLog>,
    rules: Rules,
}

/// A volume of which more than one in so many sampled blocks differ is not the one that was committed.
const DOUBTFUL_ONE_IN: usize = 16;

impl StateFiles {
    /// Opens the kept digests; without any that can be used the next cycle reads more.
    #[must_use]
    pub fn open(disk: Arc<dyn Disk>, rules: Rules) -> StateFiles {
        let digests = open_digests(&disk);
        StateFiles {
            disk,
            digests,
            staging: None,
            log: None,
            rules,
        }
    }

    /// The state volume.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The cut that the kept digests are of.
    #[must_use]
    pub fn kept(&self) -> Option<Point> {
        self.digests.as_ref()?.point()
    }

    /// The kept digests of a volume of `size` bytes, and the cut that they are of.
    #[must_use]
    pub fn kept_reader(&self, size: u64) -> Option<(Point, DigestReader)> {
        let digests = self.digests.as_ref()?;
        Some((digests.point()?, digests.reader(size).ok().flatten()?))
    }

    /// The kept digests for a shipment by `work` of a volume of `size` bytes. Where it compares with them
    /// they are proved complete and current first (D-1); `count` is given the bytes that are read for it.
    ///
    /// # Errors
    /// [`ShipEvent::KeptLost`] when they are not: they are dropped then. Or the state volume fails.
    pub fn kept_for(
        &mut self,
        work: &ShipWork,
        size: u64,
        count: &mut dyn FnMut(u64),
    ) -> Result<Option<(Point, DigestReader)>, ShipEvent> {
        // A verification asks them whose copy is damaged.
        let used = work.plan.compare == Compare::Kept || work.kept == Some(work.id.cycle);
        let compares = used && work.kept == self.kept();
        if let Some(digests) = self.digests.as_mut().filter(|_| compares)
            && !self.rules.breaks(Rule::DigestsUnproved)
        {
            let failed = |error: JournalError| ShipEvent::Failed(journal_failed(&error));
            if let Proof::Broken(why) = digests.prove(count).map_err(failed)? {
                digests.forget().map_err(failed)?;
                return Err(ShipEvent::KeptLost(why));
            }
        }
        Ok(self.kept_reader(size))
    }

    /// Compares these blocks of a volume with the digests that are kept of `committed`; what does not
    /// match (D-3). A block here and there is damage, for a verification to repair: the image stays
    /// promotable, for this may be the day on which it is all there is. More than one in
    /// [`DOUBTFUL_ONE_IN`] is another volume. Digests that are damaged themselves say nothing. Nothing is
    /// changed.
    ///
    /// # Errors
    /// When a disk fails.
    pub fn probe(
        &self,
        device: &dyn BlockFile,
        committed: Point,
        blocks: &mut dyn Iterator<Item = u64>,
    ) -> Result<Option<String>, ProbeError> {
        let Some((_, kept)) = (self.kept_reader(device.size())).filter(|(p, _)| *p == committed)
        else {
            return Ok(None);
        };
        let (mut compared, mut differing) = (0, Vec::new());
        for block in blocks {
            let mut known = [None];
            kept.read(block, &mut known)?;
            let offset = block * BLOCK_BYTES;
            let len = BLOCK_BYTES.min(device.size().saturating_sub(offset));
            let ([Some(known)], true) = (known, len > 0) else {
                continue;
            };
            compared += 1;
            if digest_blocks(device, Extent::new(offset, len))? != [known] {
                differing.push(block);
            }
        }
        let Some(first) = differing.first() else {
            return Ok(None);
        };
        let digests = self.digests.as_ref();
        let proof = digests.map(|digests| digests.prove(&mut |_| ()));
        if let Some(Proof::Broken(why)) = proof.transpose()? {
            tracing::warn!(
                why,
                "the volume is not compared: the kept digests are damaged"
            );
            return Ok(None);
        }
        let found = format!(
            "{} of {compared} blocks of the volume, the first of them block {first}, are not what was \
             committed at {committed}",
            differing.len()
        );
        if differing.len() * DOUBTFUL_ONE_IN > compared {
            return Ok(Some(found));
        }
        tracing::warn!(found, "the volume is damaged: a verification repairs it");
        Ok(None)
    }

    /// Forgets what an earlier piece of work has left open; it stays on disk.
    pub fn close(&mut self) {
        self.staging = None;
        self.log = None;
    }

    /// Keeps what was received open for what follows.
    pub fn received(&mut self, sink: Sink) {
        match sink {
            Sink::Staging(staging, log) => {
                self.staging = Some(staging);
                self.log = log.map(|log| *log);
            }
            Sink::InPlace(mut in_place) => self.log = in_place.take_digests().ok().flatten(),
        }
    }

    /// Keeps the digests that a shipment has gathered.
    pub fn shipped(&mut self, log: Option<DigestLog>) {
        self.log = log;
    }

    /// Writes the staged set of `cycle`, or `only` these ranges of it, to the volume. `done` counts the bytes
    /// that are covered; `found` is given the ranges that can't be written, as [`apply`] finds them.
    ///
    /// # Errors
    /// When that set is not there or not complete, or when a disk fails.
    pub fn apply(
        &mut self,
        (cycle, only): (Point, Option<&[Extent]>),
        applier: &Applier,
        done: &AtomicU64,
        found: &mut dyn FnMut(Vec<FailedRange>),
    ) -> Result<(), NotWritten> {
        let (staging, disk) = (self.staging.take(), self.disk.clone());
        let staging = staged_set(staging, disk, cycle, self.rules)?;
        let applied = apply(applier, &staging, only, done, found);
        // Where it failed it is tried again.
        self.staging = Some(staging);
        applied
    }

    /// Discards what is staged. A failure is logged: what stays is of a cut that the superblock knows
    /// to be applied, or is overwritten by the next.
    pub fn discard(&mut self, what: Discard) {
        if self.rules.breaks(Rule::StagingStays) {
            return self.close();
        }
        if let Err(refused) = discard(what, self.staging.take(), &*self.disk) {
            tracing::warn!(%refused, "staging could not be removed");
        }
    }

    /// Commits the digests that were gathered for `cycle`; the cut that the kept ones are of then.
    pub fn commit_digests(&mut self, cycle: Point) -> Option<Point> {
        let (store, log) = (self.digests.take(), self.log.take());
        self.digests = commit_digests(store, log, self.disk.clone(), cycle)
            .or_else(|| open_digests(&self.disk));
        self.kept()
    }
}

/// The kept digests. A disk that fails is asked once more: without them the next cycle reads more, and
/// finds other blocks changed than the attempt before it has staged.
fn open_digests(disk: &Arc<dyn Disk>) -> Option<DigestStore> {
    let opened = DigestStore::open(disk.clone()).or_else(|error| match error {
        JournalError::Disk(_) => DigestStore::open(disk.clone()),
        error => Err(error),
    });
    opened
        .inspect_err(|error| tracing::warn!(%error, "no kept digests can be used"))
        .ok()
}
