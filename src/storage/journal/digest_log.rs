//! What a running cycle will change in the kept digests.
//!
//! It is written beside the cycle and becomes part of the digests when the cycle is committed; a
//! cycle that fails leaves the digests as they were. How records lie in the file is said in
//! `record_log.rs`, what they hold in `formats/v1.rs`.

use std::sync::Arc;

use crate::formats::{
    DIGEST_LOG, decode_digest_batch, decode_log_header, decode_sum, encode_digest_batch,
    encode_log_header, encode_sum,
};
use crate::journal::JournalError;
use crate::journal::record_log::{LogFormat, Opened, Record, RecordLog, RecordScanner};
use crate::journal::staging::add_to_digest;
use crate::seam::Disk;
use protocol::changes::{
    BlockDigest, CycleDigest, CycleId, CycleSum, Region, RegionKind, blocks_of, check_regions,
};
use protocol::units::{ChangeSource, Extent, Point};

static FORMAT: LogFormat = LogFormat {
    file: "digests.next",
    magic: *b"FERRYDGL",
    format: DIGEST_LOG,
};

const BATCH: u8 = b'B';
const SEAL: u8 = b'S';

/// Which change set a digest log belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestLogSpec {
    /// The change set. Without a `from` the log covers the whole volume: what it does not name is
    /// zero.
    pub id: CycleId,
    /// Size of the volume at the cut, in bytes.
    pub size_bytes: u64,
    /// The change source that the source began on.
    pub change_source: ChangeSource,
}

/// The changes of one cycle to the kept digests.
pub struct DigestLog {
    log: RecordLog,
    spec: DigestLogSpec,
    digest: CycleDigest,
    sealed: Option<CycleSum>,
}

impl DigestLog {
    /// Starts an empty log, in place of any that is there.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn create(disk: Arc<dyn Disk>, spec: DigestLogSpec) -> Result<DigestLog, JournalError> {
        let content = encode_log_header(spec)?;
        Ok(DigestLog {
            log: RecordLog::create(disk, &FORMAT, &content, u64::MAX)?,
            spec,
            digest: CycleDigest::new(),
            sealed: None,
        })
    }

    /// Which change set the log is of that an earlier process has left; `None` when there is none that
    /// can be used. What it holds is not read.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn left(disk: Arc<dyn Disk>) -> Result<Option<DigestLogSpec>, JournalError> {
        Ok(match RecordScanner::open(disk, &FORMAT)? {
            Opened::Log(scanner) => decode_log_header(scanner.found(), scanner.content()),
            Opened::Missing | Opened::Damaged(_) | Opened::Newer(_) => None,
        })
    }

    /// Opens the complete log that an earlier process has left; `None` when there is none. One without
    /// its seal is of no use: what it lacks is nowhere else.
    ///
    /// # Errors
    /// When the disk fails, or the log is of a newer format.
    pub fn recover(disk: Arc<dyn Disk>) -> Result<Option<DigestLog>, JournalError> {
        let mut scanner = match RecordScanner::open(disk, &FORMAT)? {
            Opened::Missing | Opened::Damaged(_) => return Ok(None),
            Opened::Newer(found) => {
                return Err(JournalError::Newer {
                    file: FORMAT.file,
                    found,
                    known: FORMAT.format,
                });
            }
            Opened::Log(scanner) => scanner,
        };
        let found = scanner.found();
        let Some(spec) = decode_log_header::<DigestLogSpec>(found, scanner.content()) else {
            return Ok(None);
        };
        let mut digest = CycleDigest::new();
        let mut through = 0;
        while let Some(record) = scanner.next()? {
            if record.kind == SEAL {
                let sealed = decode_sum(found, &record.head);
                if sealed.is_none() || sealed != Some(digest.clone().finish()) {
                    break;
                }
                let end = scanner.position();
                return Ok(Some(DigestLog {
                    log: scanner.into_log(end, u64::MAX)?,
                    spec,
                    digest,
                    sealed,
                }));
            }
            let batch = decode(found, &record, through, spec.size_bytes);
            let Some(batch) = batch.filter(|_| record.kind == BATCH) else {
                break;
            };
            add_to_digest(&mut digest, &batch.regions, &batch.digests);
            through = batch.through;
        }
        Ok(None)
    }

    /// Appends what a batch changes below byte `through`; `digests` has one for each block of its data
    /// regions.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn append(
        &mut self,
        through: u64,
        regions: &[Region],
        digests: &[BlockDigest],
    ) -> Result<(), JournalError> {
        if self.sealed.is_some() {
            return Err(JournalError::OutOfOrder(
                "the digest log is sealed already".into(),
            ));
        }
        let head = encode_digest_batch(through, regions)?;
        let data: Vec<u8> = digests.iter().flat_map(|d| d.0).collect();
        self.log.append(BATCH, &head, &data)?;
        add_to_digest(&mut self.digest, regions, digests);
        Ok(())
    }

    /// Ends the log; durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn seal(&mut self) -> Result<CycleSum, JournalError> {
        if let Some(sum) = self.sealed {
            return Ok(sum);
        }
        let sum = self.digest.clone().finish();
        self.log.append(SEAL, &encode_sum(sum)?, &[])?;
        self.log.file().flush()?;
        self.sealed = Some(sum);
        Ok(sum)
    }

    /// Which change set this is.
    #[must_use]
    pub fn spec(&self) -> DigestLogSpec {
        self.spec
    }

    /// The totals and digest of the log, once it is sealed.
    #[must_use]
    pub fn sealed(&self) -> Option<CycleSum> {
        self.sealed
    }

    /// Removes what is there unless it is of a cut after `through`: a log that can't be used too, but
    /// not one of a newer format. Durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn clear(disk: &Arc<dyn Disk>, through: Point) -> Result<(), JournalError> {
        let spent = match RecordScanner::open(disk.clone(), &FORMAT)? {
            Opened::Missing | Opened::Newer(_) => false,
            Opened::Damaged(_) => true,
            Opened::Log(scanner) => {
                let spec = decode_log_header::<DigestLogSpec>(scanner.found(), scanner.content());
                spec.is_none_or(|spec| spec.id.cycle <= through)
            }
        };
        if spent {
            disk.remove(FORMAT.file)?;
        }
        Ok(())
    }

    /// Removes the log; durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(self) -> Result<(), JournalError> {
        self.log.remove()
    }

    /// Shows each region in order, with the digests of its blocks (none for zeros).
    pub(super) fn for_each(
        &self,
        each: &mut dyn FnMut(Extent, &[BlockDigest]) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut scanner = self.log.scan();
        let mut through = 0;
        loop {
            let record = scanner
                .next()?
                .ok_or_else(|| JournalError::damaged(FORMAT.file, "a record is damaged"))?;
            if record.kind == SEAL {
                return Ok(());
            }
            let batch = decode(scanner.found(), &record, through, self.spec.size_bytes)
                .ok_or_else(|| JournalError::damaged(FORMAT.file, "a record is malformed"))?;
            through = batch.through;
            let mut digests = &batch.digests[..];
            for region in &batch.regions {
                let own = data_blocks(region);
                each(region.extent, &digests[..own])?;
                digests = &digests[own..];
            }
        }
    }
}

struct Decoded {
    through: u64,
    regions: Vec<Region>,
    digests: Vec<BlockDigest>,
}

/// The batch of a record; `None` when it is not what may follow `after` in a volume of `size` bytes.
fn decode(found: u16, record: &Record, after: u64, size: u64) -> Option<Decoded> {
    let (through, regions) = decode_digest_batch(found, &record.head)?;
    check_regions(&regions, after, through, size).ok()?;
    let digests: Vec<BlockDigest> = record
        .data
        .chunks_exact(BlockDigest::BYTES)
        .filter_map(|chunk| chunk.try_into().ok().map(BlockDigest))
        .collect();
    let expected: usize = regions.iter().map(data_blocks).sum();
    (expected == digests.len()).then_some(Decoded {
        through,
        regions,
        digests,
    })
}

fn data_blocks(region: &Region) -> usize {
    match region.kind {
        RegionKind::Zero => 0,
        RegionKind::Data { .. } => {
            let blocks = blocks_of(region.extent);
            usize::try_from(blocks.end - blocks.start).unwrap_or(usize::MAX)
        }
    }
}
