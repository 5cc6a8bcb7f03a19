//! Writing a staged set to the volume. Doing it twice is the same as doing it once, so a crash in
//! the middle is followed by doing it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::input::NotWritten;
use crate::mutations::{Rule, Rules};
use crate::receive::only::only;
use crate::translate;
use protocol::pair::{Cause, Refused};
use protocol::units::{Extent, FailedRange, Point};
use storage::journal::{Staging, StagingOutcome};
use storage::seam::Disk;
use storage::volume::{Applier, ApplyError};

/// Batches that are written at once where their regions are long: one to keep the storage busy while the
/// next is made ready. Of short ones the applier has more under way by itself.
pub const APPLY_THREADS: usize = 2;

/// The staged set of `cycle`: `staging` where it is at hand, else what is on the state volume.
///
/// # Errors
/// When that set is not there or not complete, or when a disk fails.
pub fn staged_set(
    staging: Option<Box<Staging>>,
    disk: Arc<dyn Disk>,
    cycle: Point,
    rules: Rules,
) -> Result<Box<Staging>, Refused> {
    let staging = match staging.filter(|held| held.spec().id.cycle == cycle) {
        Some(staging) => staging,
        None => match Staging::recover(disk, u64::MAX, None, &mut |_, _| Ok(())) {
            Ok(StagingOutcome::Complete(staging)) => staging,
            Ok(StagingOutcome::Open(mut staging)) if rules.breaks(Rule::PromotesUncommitted) => {
                let sum = staging.sum();
                staging
                    .seal(sum)
                    .map_err(|error| translate::journal_failed(&error))?;
                staging
            }
            Ok(_) => {
                return Err(Refused::new(
                    Cause::Corrupt,
                    format!("the staged set of cut {cycle} is not whole any more"),
                ));
            }
            Err(error) => return Err(translate::journal_failed(&error)),
        },
    };
    if staging.spec().id.cycle != cycle && !rules.breaks(Rule::PromotesUncommitted) {
        return Err(Refused::new(
            Cause::Corrupt,
            format!("cut {} is in staging, not {cycle}", staging.spec().id.cycle),
        ));
    }
    Ok(staging)
}

/// Writes a complete staged set, or `only` these ranges of it, and flushes the volume. `done` counts the
/// bytes of the volume that are covered so far; `found` is given the ranges that can't be written, all that
/// are known, whenever there are more.
///
/// # Errors
/// When staging can't be read or the volume can't be written.
pub fn apply(
    applier: &Applier,
    staging: &Staging,
    only_these: Option<&[Extent]>,
    done: &AtomicU64,
    found: &mut dyn FnMut(Vec<FailedRange>),
) -> Result<(), NotWritten> {
    let batches = staging
        .read()
        .map_err(|error| translate::journal_failed(&error))?;
    let end = only_these.map_or(u64::MAX, |these| these.last().map_or(0, Extent::end));
    let mut shown = 0;
    for batch in batches {
        let batch = batch.map_err(|error| translate::journal_failed(&error))?;
        if batch
            .regions
            .first()
            .is_some_and(|first| first.extent.offset >= end)
        {
            break;
        }
        let batch = match only_these {
            Some(these) => only(&batch, these).map_err(not_written)?,
            None => batch,
        };
        if batch.regions.is_empty() {
            continue;
        }
        applier.push(batch).map_err(not_written)?;
        let report = applier.report();
        done.store(report.data_bytes + report.zero_bytes, Ordering::Relaxed);
        if let Some(failed) = applier.failed_beyond(shown) {
            shown = failed.len();
            found(failed);
        }
    }
    let report = applier.flush().map_err(not_written)?;
    done.store(report.data_bytes + report.zero_bytes, Ordering::Relaxed);
    Ok(())
}

/// What a failed write means.
#[must_use]
pub fn failed(error: ApplyError) -> Refused {
    match &error {
        ApplyError::Disk(disk) => translate::disk_failed(disk, Cause::TargetWriteError),
        ApplyError::Checksum(_) => Refused::new(Cause::Corrupt, error.to_string()),
        ApplyError::Ranges(_) | ApplyError::Stopped => {
            Refused::new(Cause::TargetWriteError, error.to_string())
        }
    }
}

/// What it means to a staged set.
fn not_written(error: ApplyError) -> NotWritten {
    let (ranges, rest_is_written) = match &error {
        ApplyError::Ranges(failed) => (failed.ranges().to_vec(), failed.is_complete()),
        _ => (Vec::new(), false),
    };
    NotWritten {
        refused: failed(error),
        ranges,
        rest_is_written,
    }
}
