//! Where a change set is staged: resumed where an earlier try left it, or begun from scratch. And
//! where all that is staged is discarded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::effect::Discard;
use crate::receive::in_place::InPlace;
use crate::receive::open_sink::Sink;
use crate::translate;
use protocol::pair::Refused;
use protocol::units::Point;
use storage::journal::{
    DigestLog, DigestLogSpec, JournalError, Staging, StagingOutcome, StagingSpec,
};
use storage::seam::Disk;

/// Space on the state volume that staging leaves free, in bytes: for the superblock, the digests
/// of this cycle and the file system's own needs.
const STAGING_LEAVES_FREE: u64 = 4 << 20;

/// Staging for this change set, resumed where it is durable, and its digests where they are of use.
/// `applied` is the cut that the image is at, `kept` the one that the kept digests are of; bytes that are
/// read back are added to `read_back`.
///
/// # Errors
/// When the state volume fails or is full.
pub fn staging_for(
    disk: &Arc<dyn Disk>,
    spec: StagingSpec,
    applied: Option<Point>,
    kept: Option<Point>,
    read_back: &AtomicU64,
) -> Result<Sink, Refused> {
    let failed = |error: JournalError| translate::journal_failed(&error);
    let log_spec = DigestLogSpec {
        id: spec.id,
        size_bytes: spec.size_bytes,
        change_source: spec.change_source,
    };
    let counts = spec.id.from.is_some() && spec.id.from == kept;
    let mut log = match counts {
        true => Some(DigestLog::create(disk.clone(), log_spec).map_err(failed)?),
        false => None,
    };
    let outcome = Staging::recover(disk.clone(), u64::MAX, applied, &mut |batch, digests| {
        read_back.fetch_add(batch.data.len() as u64, Ordering::Relaxed);
        match &mut log {
            Some(log) => log.append(batch.through, &batch.regions, digests),
            None => Ok(()),
        }
    })
    .map_err(failed)?;
    let found = match outcome {
        StagingOutcome::Nothing => None,
        StagingOutcome::Open(staging) | StagingOutcome::Complete(staging) => Some(staging),
    };
    if let Some(mut staging) = found
        && staging.spec() == spec
    {
        // One that was sealed when its attempt ended was never reported as complete.
        staging.unseal().map_err(failed)?;
        staging.set_limit(room_for(&**disk, staging.len_bytes())?);
        return Ok(Sink::Staging(staging, log.map(Box::new)));
    }
    // What another cut has left is of no more use, and its room counts as free only once it is gone.
    discard(Discard::Staged, None, &**disk)?;
    if counts {
        log = Some(DigestLog::create(disk.clone(), log_spec).map_err(failed)?);
    }
    let limit = room_for(&**disk, 0)?;
    let staging = Staging::create(disk.clone(), spec, limit).map_err(failed)?;
    Ok(Sink::Staging(Box::new(staging), log.map(Box::new)))
}

/// How large a log may become that has `len` bytes now.
fn room_for(disk: &dyn Disk, len: u64) -> Result<u64, Refused> {
    let free = disk
        .free_bytes()
        .map_err(|error| translate::journal_failed(&error.into()))?;
    Ok((len + free).saturating_sub(STAGING_LEAVES_FREE))
}

/// Discards what is staged, and how far a copy in place has come where all is discarded.
///
/// # Errors
/// When the state volume fails.
pub fn discard(
    what: Discard,
    staging: Option<Box<Staging>>,
    disk: &dyn Disk,
) -> Result<(), Refused> {
    match staging {
        Some(staging) => staging.remove(),
        None => disk.remove("staging").map_err(Into::into),
    }
    .map_err(|error| translate::journal_failed(&error))?;
    match what {
        Discard::Staged => Ok(()),
        Discard::All => InPlace::forget(disk),
    }
}
