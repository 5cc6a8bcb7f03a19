//! Writing a staged set to the volume. Doing it twice is the same as doing it once, so a crash in
//! the middle is followed by doing it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::Staging;
use crate::mover::convert;
use crate::pair::{Cause, Refused};
use crate::seam::BlockFile;
use crate::wire::{BatchData, RegionKind};

/// Writes a whole staged set and flushes the volume. `done` counts the bytes of the volume that are
/// covered so far.
///
/// # Errors
/// When staging can't be read or the volume can't be written.
pub fn apply(
    device: &Arc<dyn BlockFile>,
    staging: &Staging,
    done: &AtomicU64,
) -> Result<(), Refused> {
    let batches = staging
        .read()
        .map_err(|error| convert::journal_failed(&error))?;
    for batch in batches {
        let batch = batch.map_err(|error| convert::journal_failed(&error))?;
        write(&**device, &batch)?;
        done.fetch_add(
            batch.regions.iter().map(|region| region.extent.len).sum(),
            Ordering::Relaxed,
        );
    }
    device
        .flush()
        .map_err(|error| convert::disk_failed(&error, Cause::TargetWriteError))
}

/// Writes one batch; nothing is durable before a flush.
///
/// # Errors
/// When the volume can't be written.
pub fn write(device: &dyn BlockFile, batch: &BatchData) -> Result<(), Refused> {
    for (region, data) in batch.iter() {
        let written = match region.kind {
            RegionKind::Data { .. } => device.write_at(region.extent.offset, data),
            RegionKind::Zero => device.zero(region.extent),
        };
        written.map_err(|error| convert::disk_failed(&error, Cause::TargetWriteError))?;
    }
    Ok(())
}
