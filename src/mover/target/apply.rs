//! Writing a staged set to the volume. Doing it twice is the same as doing it once, so a crash in
//! the middle is followed by doing it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::Staging;
use crate::mover::convert;
use crate::pair::{Cause, Refused};
use crate::seam::BlockFile;
use crate::volume::{Applier, ApplyError};

/// Writes under way at once.
pub const APPLY_THREADS: usize = 4;

/// Writes a whole staged set and flushes the volume. `done` counts the bytes of the volume that are
/// covered so far.
///
/// # Errors
/// When staging can't be read or the volume can't be written.
pub fn apply(
    device: Arc<dyn BlockFile>,
    staging: &Staging,
    done: &AtomicU64,
) -> Result<(), Refused> {
    let applier = Applier::start(device, APPLY_THREADS);
    let batches = staging
        .read()
        .map_err(|error| convert::journal_failed(&error))?;
    for batch in batches {
        let batch = batch.map_err(|error| convert::journal_failed(&error))?;
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
        ApplyError::Disk(disk) => convert::disk_failed(disk, Cause::TargetWriteError),
        ApplyError::Checksum(_) => Refused::new(Cause::Corrupt, error.to_string()),
        ApplyError::Failed => Refused::new(Cause::TargetWriteError, error.to_string()),
    }
}
