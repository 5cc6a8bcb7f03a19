//! The digests of the cut that is being scanned, gathered for the next cycle.

use std::sync::Arc;

use crate::translate;
use protocol::changes::{BlockDigest, CycleId, Region, RegionKind};
use protocol::pair::Refused;
use protocol::pair::change_plan::{Candidates, Plan};
use protocol::units::{Extent, Point};
use storage::journal::{DigestLog, DigestLogSpec};
use storage::seam::Disk;

/// Digests, and regions, that are gathered before they are appended to the log: 64 KiB of digests.
const HELD_MAX: usize = 4096;

/// What was found, on its way to the log.
pub struct Gathered {
    log: DigestLog,
    /// Whether the log names every block that is not zero, or only what has changed.
    pub whole: bool,
    regions: Vec<Region>,
    digests: Vec<BlockDigest>,
}

impl Gathered {
    /// Gathers into `log`. A `whole` log is given every block that is not zero, any other just what
    /// has changed.
    #[must_use]
    pub fn new(log: DigestLog, whole: bool) -> Gathered {
        Gathered {
            log,
            whole,
            regions: Vec::new(),
            digests: Vec::new(),
        }
    }

    /// Where the digests of the change set `id` go, if they are of use: a log that counts from the
    /// standby's point only where the digests of that point are `kept`; where all of the volume of
    /// `size` bytes is looked at, a whole log is.
    ///
    /// # Errors
    /// When the state volume fails or is full.
    pub fn of(
        disk: Arc<dyn Disk>,
        id: CycleId,
        plan: &Plan,
        kept: Option<Point>,
        size: u64,
    ) -> Result<Option<Gathered>, Refused> {
        let counts = id.from.is_some() && id.from == kept;
        let everything = !matches!(plan.candidates, Candidates::Delta | Candidates::Range(_));
        let (from, whole) = match (counts, everything) {
            (true, _) => (id.from, false),
            (false, true) => (None, true),
            (false, false) => return Ok(None),
        };
        let spec = DigestLogSpec {
            id: CycleId {
                cycle: id.cycle,
                from,
            },
            size_bytes: size,
            change_source: plan.change_source.source,
        };
        let log =
            DigestLog::create(disk, spec).map_err(|error| translate::journal_failed(&error))?;
        Ok(Some(Gathered::new(log, whole)))
    }

    /// Takes a block of data.
    ///
    /// # Errors
    /// When the state volume fails or is full.
    pub fn data(&mut self, at: Extent, digest: BlockDigest) -> Result<(), Refused> {
        self.digests.push(digest);
        // The data's own checksum is no business of the digests.
        self.add(at, RegionKind::Data { crc: 0 })
    }

    /// Takes a range of zeros.
    ///
    /// # Errors
    /// When the state volume fails or is full.
    pub fn zero(&mut self, at: Extent) -> Result<(), Refused> {
        self.add(at, RegionKind::Zero)
    }

    /// Ends the log; durable on return.
    ///
    /// # Errors
    /// When the state volume fails or is full.
    pub fn seal(mut self) -> Result<DigestLog, Refused> {
        self.append()?;
        self.log
            .seal()
            .map_err(|error| translate::journal_failed(&error))?;
        Ok(self.log)
    }

    fn add(&mut self, at: Extent, kind: RegionKind) -> Result<(), Refused> {
        match self.regions.last_mut() {
            Some(last) if last.kind == kind && last.extent.end() == at.offset => {
                last.extent.len += at.len;
            }
            _ => self.regions.push(Region { extent: at, kind }),
        }
        if self.digests.len().max(self.regions.len()) >= HELD_MAX {
            self.append()?;
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), Refused> {
        let Some(last) = self.regions.last() else {
            return Ok(());
        };
        self.log
            .append(last.extent.end(), &self.regions, &self.digests)
            .map_err(|error| translate::journal_failed(&error))?;
        self.regions.clear();
        self.digests.clear();
        Ok(())
    }
}
