//! The redo log of one cycle: a standby's volume is touched only when the complete change set is
//! here, checked and durable (semantics 1.6).
//!
//! The log has a record for each batch, ascending by position in the volume, and at its end a seal
//! with the totals and digest of all. The seal alone makes it complete. The layout of the records is
//! in `record_log.rs`, their content in `formats/v1.rs`. Which log is used after a crash is decided by
//! a table ([`crate::journal::RecoveryRow`]).

use std::sync::Arc;

use crate::formats::{
    STAGING, decode_staged_batch, encode_log_header, encode_staged_batch, encode_sum,
};
use crate::journal::JournalError;
use crate::journal::record_log::{LogFormat, RecordLog, RecordScanner};
use crate::seam::{BlockFile, Disk};
use protocol::changes::{
    BatchData, BlockDigest, CycleDigest, CycleId, CycleSum, Region, RegionKind, blocks_of,
};
use protocol::units::ChangeSource;

pub(super) static FORMAT: LogFormat = LogFormat {
    file: "staging",
    magic: *b"FERRYSTG",
    format: STAGING,
};

pub(super) const BATCH: u8 = b'B';
pub(super) const SEAL: u8 = b'S';

/// Which change set a log holds. A cycle is resumed only from a log of the very same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagingSpec {
    /// The change set.
    pub id: CycleId,
    /// Size of the source's volume at the cut, in bytes.
    pub size_bytes: u64,
    /// The change source that the source began on.
    pub change_source: ChangeSource,
}

/// The redo log while it is written, and afterwards while it is applied.
pub struct Staging {
    pub(super) log: RecordLog,
    pub(super) spec: StagingSpec,
    pub(super) digest: CycleDigest,
    pub(super) through: u64,
    pub(super) sealed: Option<CycleSum>,
    pub(super) batches_end: (u64, u64),
}

/// A flush that is due; it may run in another thread while more is appended.
pub struct Checkpoint {
    file: Arc<dyn BlockFile>,
    through: u64,
}

impl Checkpoint {
    pub(super) fn new(file: Arc<dyn BlockFile>, through: u64) -> Checkpoint {
        Checkpoint { file, through }
    }

    /// Flushes. On return everything below the returned byte of the volume is durable in staging.
    ///
    /// # Errors
    /// When the flush fails; then the log is of no more use and has to be removed.
    pub fn run(self) -> Result<u64, JournalError> {
        self.file.flush()?;
        Ok(self.through)
    }
}

impl Staging {
    /// Starts an empty log of at most `limit` bytes, in place of any that is there.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn create(
        disk: Arc<dyn Disk>,
        spec: StagingSpec,
        limit: u64,
    ) -> Result<Staging, JournalError> {
        let content = encode_log_header(spec)?;
        let log = RecordLog::create(disk, &FORMAT, &content, limit)?;
        Ok(Staging {
            batches_end: log.position(),
            log,
            spec,
            digest: CycleDigest::new(),
            through: 0,
            sealed: None,
        })
    }

    /// Appends a batch that was unpacked and checked; `digests` has one for each block of its data
    /// regions, in order. It is durable only after a later [`Checkpoint`].
    ///
    /// # Errors
    /// When it does not follow the batch before, does not fit the limit, or the disk fails.
    pub fn append(
        &mut self,
        batch: &BatchData,
        digests: &[BlockDigest],
    ) -> Result<(), JournalError> {
        if self.sealed.is_some() {
            return Err(JournalError::OutOfOrder(
                "the staging is sealed already".into(),
            ));
        }
        let ascending = batch.through >= self.through
            && batch
                .regions
                .first()
                .is_none_or(|r| r.extent.offset >= self.through);
        if !ascending {
            return Err(JournalError::OutOfOrder(
                "a batch does not follow the one before it".into(),
            ));
        }
        let head = encode_staged_batch(batch.through, &batch.regions)?;
        self.log.append(BATCH, &head, &batch.data)?;
        add_to_digest(&mut self.digest, &batch.regions, digests);
        self.through = batch.through;
        self.batches_end = self.log.position();
        Ok(())
    }

    /// Takes the seal off, so that the cycle can be resumed where it stopped. Only where it was not yet
    /// reported that the set is complete.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn unseal(&mut self) -> Result<(), JournalError> {
        if self.sealed.take().is_some() {
            self.log.cut_back(self.batches_end)?;
        }
        Ok(())
    }

    /// From now on the log is to hold at most `limit` bytes.
    pub fn set_limit(&mut self, limit: u64) {
        self.log.set_limit(limit);
    }

    /// The flush that would make everything appended so far durable.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(self.log.file(), self.through)
    }

    /// Ends the log if its totals and digest are those of the source; durable on return.
    ///
    /// # Errors
    /// When they differ, or the disk fails. Then the log is of no use.
    pub fn seal(&mut self, claimed: CycleSum) -> Result<(), JournalError> {
        if self.sealed == Some(claimed) {
            return Ok(());
        }
        let sum = self.digest.clone().finish();
        if sum != claimed {
            return Err(JournalError::damaged(
                FORMAT.file,
                format!("it holds {sum:?}, but the source sent {claimed:?}"),
            ));
        }
        self.log.append(SEAL, &encode_sum(sum)?, &[])?;
        self.log.file().flush()?;
        self.sealed = Some(sum);
        Ok(())
    }

    /// Which change set this is.
    #[must_use]
    pub fn spec(&self) -> StagingSpec {
        self.spec
    }

    /// Everything that changed below this byte of the volume is in the log.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// The totals and digest of everything appended so far.
    #[must_use]
    pub fn sum(&self) -> CycleSum {
        self.digest.clone().finish()
    }

    /// The totals and digest of the log, once it is sealed.
    #[must_use]
    pub fn sealed(&self) -> Option<CycleSum> {
        self.sealed
    }

    /// The size of the log in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.log.len()
    }

    /// Reads a whole log from its beginning, in order of position.
    ///
    /// # Errors
    /// When the log is not whole.
    pub fn read(&self) -> Result<StagingReader, JournalError> {
        if self.sealed.is_none() {
            return Err(JournalError::OutOfOrder("the staging is not whole".into()));
        }
        Ok(StagingReader {
            records: self.log.scan(),
            ended: false,
        })
    }

    /// Removes the log; durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(self) -> Result<(), JournalError> {
        self.log.remove()
    }
}

/// Reads a whole log, checking every byte once more.
pub struct StagingReader {
    records: RecordScanner,
    ended: bool,
}

impl Iterator for StagingReader {
    type Item = Result<BatchData, JournalError>;

    fn next(&mut self) -> Option<Result<BatchData, JournalError>> {
        if self.ended {
            return None;
        }
        let result = self.read_next();
        self.ended = !matches!(result, Ok(Some(_)));
        result.transpose()
    }
}

impl StagingReader {
    fn read_next(&mut self) -> Result<Option<BatchData>, JournalError> {
        let torn = || JournalError::damaged(FORMAT.file, "a record of a whole log is damaged");
        let record = self.records.next()?.ok_or_else(torn)?;
        if record.kind == SEAL {
            return Ok(None);
        }
        let found = self.records.found();
        let (through, regions) = decode_staged_batch(found, &record.head).ok_or_else(torn)?;
        Ok(Some(BatchData {
            through,
            regions,
            data: record.data,
        }))
    }
}

/// Adds a batch's regions to a cycle's digest.
pub(super) fn add_to_digest(
    digest: &mut CycleDigest,
    regions: &[Region],
    mut digests: &[BlockDigest],
) {
    for region in regions {
        match region.kind {
            RegionKind::Zero => digest.zero(region.extent),
            RegionKind::Data { .. } => {
                let blocks = blocks_of(region.extent);
                let count = usize::try_from(blocks.end - blocks.start).unwrap_or(usize::MAX);
                let (own, rest) = digests.split_at(count.min(digests.len()));
                digest.data(region.extent, own);
                digests = rest;
            }
        }
    }
}
