//! Writing a staged set to the volume. Doing it twice is the same as doing it once, so a crash in
//! the middle is followed by doing it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutations::{Rule, Rules};
use crate::translate;
use protocol::pair::{Cause, Refused};
use protocol::units::Point;
use storage::journal::{Staging, StagingOutcome};
use storage::seam::Disk;
use storage::volume::{Applier, ApplyError};

/// Writes under way at once: one to keep the storage busy while the next is made ready.
pub const APPLY_THREADS: usize = 2;

/// Writes the staged set of `cycle` to the volume: `staging` where it is at hand, else what is on
/// the state volume.
///
/// # Errors
/// When that set is not there or not whole, or when a disk fails.
pub fn write_staged(
    staging: Option<Box<Staging>>,
    disk: Arc<dyn Disk>,
    applier: &Applier,
    cycle: Point,
    done: &AtomicU64,
    rules: Rules,
) -> Result<Box<Staging>, Refused> {
    let staging = match staging.filter(|held| held.spec().id.cycle == cycle) {
        Some(staging) => staging,
        None => match Staging::recover(disk, u64::MAX, None, &mut |_, _| Ok(())) {
            Ok(StagingOutcome::Complete(staging)) => {
                // An earlier attempt has failed or was interrupted: this one finds what is bad.
                applier.bypass_cache();
                staging
            }
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
    apply(applier, &staging, done)?;
    Ok(staging)
}

/// Writes a whole staged set and flushes the volume. `done` counts the bytes of the volume that are
/// covered so far.
///
/// # Errors
/// When staging can't be read or the volume can't be written.
pub fn apply(applier: &Applier, staging: &Staging, done: &AtomicU64) -> Result<(), Refused> {
    let batches = staging
        .read()
        .map_err(|error| translate::journal_failed(&error))?;
    for batch in batches {
        let batch = batch.map_err(|error| translate::journal_failed(&error))?;
        applier.push(batch).map_err(failed)?;
        let report = applier.report();
        done.store(report.data_bytes + report.zero_bytes, Ordering::Relaxed);
    }
    let report = applier.flush().map_err(failed)?;
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
