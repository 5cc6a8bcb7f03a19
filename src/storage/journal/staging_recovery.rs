//! What is done with a redo log after a crash.

use std::sync::Arc;

use crate::formats::{decode_log_header, decode_staged_batch, decode_sum};
use crate::journal::JournalError;
use crate::journal::record_log::{Opened, Record, RecordScanner};
use crate::journal::staging::{BATCH, FORMAT, SEAL, Staging, StagingSpec, add_to_digest};
use crate::seam::Disk;
use protocol::changes::{
    BatchData, BlockDigest, CycleDigest, CycleSum, check_regions, hash_blocks,
};
use protocol::units::Point;

/// What recovery looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryInput {
    /// A file is there.
    pub exists: bool,
    /// Its header is of a newer format.
    pub newer: bool,
    /// Its header matches its checksum.
    pub header_complete: bool,
    /// It is of a cut that the volume does not hold yet.
    pub ahead: bool,
    /// A seal follows the complete records.
    pub sealed: bool,
    /// The totals and digest of the records are those of the seal.
    pub sum_matches: bool,
}

/// The rows of the decision table, first match wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecoveryRow {
    /// No file: nothing to do.
    Nothing,
    /// A newer version wrote it: refuse, and leave it alone.
    Newer,
    /// The header never became complete, so nothing was ever durable: drop.
    NeverBegun,
    /// The volume holds that cut or a later one already: drop.
    Spent,
    /// No seal: go on after the last complete record.
    Open,
    /// Sealed, but not what the seal says: drop. Only damage that matches its checksums does this.
    Wrong,
    /// Sealed and right: finish applying it.
    Complete,
}

impl RecoveryRow {
    /// The row for what was found.
    #[must_use]
    pub fn of(input: RecoveryInput) -> RecoveryRow {
        let RecoveryInput {
            exists,
            newer,
            header_complete,
            ahead,
            sealed,
            sum_matches,
        } = input;
        match (exists, newer, header_complete, ahead, sealed, sum_matches) {
            (false, ..) => RecoveryRow::Nothing,
            (_, true, ..) => RecoveryRow::Newer,
            (_, _, false, ..) => RecoveryRow::NeverBegun,
            (_, _, _, false, ..) => RecoveryRow::Spent,
            (_, _, _, _, false, _) => RecoveryRow::Open,
            (_, _, _, _, _, false) => RecoveryRow::Wrong,
            (_, _, _, _, _, true) => RecoveryRow::Complete,
        }
    }
}

/// What recovery found.
pub enum StagingOutcome {
    /// No log, or one that was dropped because nothing could be made of it.
    Nothing,
    /// A log that goes on at [`Staging::through`].
    Open(Box<Staging>),
    /// A complete log that has to be applied.
    Complete(Box<Staging>),
}

struct Scanned {
    digest: CycleDigest,
    through: u64,
    sealed: Option<CycleSum>,
    batches_end: (u64, u64),
}

impl Staging {
    /// Finds what an earlier process has left, checking every byte against what the storage holds.
    /// `applied` is the newest cut that the volume holds. `each` is shown every batch that is kept,
    /// in order, with the digests of its blocks, so that the digest log can be made again.
    ///
    /// # Errors
    /// When the disk fails, or the log is of a newer format.
    pub fn recover(
        disk: Arc<dyn Disk>,
        limit: u64,
        applied: Option<Point>,
        each: &mut dyn FnMut(&BatchData, &[BlockDigest]) -> Result<(), JournalError>,
    ) -> Result<StagingOutcome, JournalError> {
        let mut input = RecoveryInput {
            exists: true,
            newer: false,
            header_complete: false,
            ahead: false,
            sealed: false,
            sum_matches: false,
        };
        let (mut scanner, spec) = match RecordScanner::open(disk.clone(), &FORMAT)? {
            Opened::Missing => return Ok(StagingOutcome::Nothing),
            Opened::Newer(found) => {
                return Err(JournalError::Newer {
                    file: FORMAT.file,
                    found,
                    known: FORMAT.format,
                });
            }
            Opened::Damaged(reason) => return dropped(&*disk, input, &reason),
            Opened::Log(scanner) => {
                match decode_log_header::<StagingSpec>(scanner.found(), scanner.content()) {
                    Some(spec) => (scanner, spec),
                    None => return dropped(&*disk, input, "what it is for can't be decoded"),
                }
            }
        };
        input.header_complete = true;
        input.ahead = applied.is_none_or(|applied| spec.id.cycle > applied);
        if !input.ahead {
            return dropped(&*disk, input, "the volume holds it already");
        }
        let scanned = scan(&mut scanner, spec.size_bytes, each)?;
        input.sealed = scanned.sealed.is_some();
        input.sum_matches = scanned.sealed == Some(scanned.digest.clone().finish());
        let row = RecoveryRow::of(input);
        let position = match row {
            RecoveryRow::Complete => scanner.position(),
            RecoveryRow::Open => scanned.batches_end,
            _ => return dropped(&*disk, input, "it is not what its seal says"),
        };
        let staging = Box::new(Staging {
            log: scanner.into_log(position, limit)?,
            spec,
            digest: scanned.digest,
            through: scanned.through,
            sealed: scanned.sealed,
            batches_end: scanned.batches_end,
        });
        let (through, bytes) = (staging.through, staging.len_bytes());
        tracing::info!(?row, cycle = %spec.id.cycle, through, bytes, "found staging");
        Ok(match row {
            RecoveryRow::Complete => StagingOutcome::Complete(staging),
            _ => StagingOutcome::Open(staging),
        })
    }
}

fn scan(
    scanner: &mut RecordScanner,
    size: u64,
    each: &mut dyn FnMut(&BatchData, &[BlockDigest]) -> Result<(), JournalError>,
) -> Result<Scanned, JournalError> {
    let mut scanned = Scanned {
        digest: CycleDigest::new(),
        through: 0,
        sealed: None,
        batches_end: scanner.position(),
    };
    let found = scanner.found();
    while let Some(record) = scanner.next()? {
        match record.kind {
            BATCH => {
                let Some(batch) = batch_in(found, record, scanned.through, size) else {
                    break;
                };
                let digests = hash_blocks(&batch);
                each(&batch, &digests)?;
                add_to_digest(&mut scanned.digest, &batch.regions, &digests);
                scanned.through = batch.through;
                scanned.batches_end = scanner.position();
            }
            SEAL => {
                scanned.sealed = decode_sum(found, &record.head);
                break;
            }
            _ => break,
        }
    }
    Ok(scanned)
}

/// The batch of a record; `None` when it is not what may follow `after` in a volume of `size` bytes.
/// A record that matches its checksum was once written so, but only what is checked is computed with.
fn batch_in(found: u16, record: Record, after: u64, size: u64) -> Option<BatchData> {
    let (through, regions) = decode_staged_batch(found, &record.head)?;
    let data = check_regions(&regions, after, through, size).ok()?;
    (data == record.data.len() as u64).then_some(BatchData {
        through,
        regions,
        data: record.data,
    })
}

fn dropped(
    disk: &dyn Disk,
    input: RecoveryInput,
    reason: &str,
) -> Result<StagingOutcome, JournalError> {
    tracing::info!(row = ?RecoveryRow::of(input), reason, "dropping staging");
    disk.remove(FORMAT.file)?;
    Ok(StagingOutcome::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as it is meant, independent of the order in which the code looks: exists, newer,
    /// header complete, ahead, sealed, sum matches.
    const TABLE: [(&str, RecoveryRow); 7] = [
        ("0*****", RecoveryRow::Nothing),
        ("11****", RecoveryRow::Newer),
        ("100***", RecoveryRow::NeverBegun),
        ("1010**", RecoveryRow::Spent),
        ("10110*", RecoveryRow::Open),
        ("101110", RecoveryRow::Wrong),
        ("101111", RecoveryRow::Complete),
    ];

    #[test]
    fn every_input_matches_exactly_one_row_and_every_row_is_reached() {
        let mut reached = std::collections::HashSet::new();
        for bits in 0..64_u8 {
            let bit = |n: u8| bits & (1 << n) != 0;
            let matching: Vec<RecoveryRow> = TABLE
                .iter()
                .filter(|(pattern, _)| {
                    (0..6).zip(pattern.bytes()).all(|(n, c)| match c {
                        b'*' => true,
                        c => bit(n) == (c == b'1'),
                    })
                })
                .map(|(_, row)| *row)
                .collect();
            let input = RecoveryInput {
                exists: bit(0),
                newer: bit(1),
                header_complete: bit(2),
                ahead: bit(3),
                sealed: bit(4),
                sum_matches: bit(5),
            };
            assert_eq!(matching, [RecoveryRow::of(input)], "{input:?}");
            reached.extend(matching);
        }
        assert_eq!(reached.len(), TABLE.len());
    }
}
