//! Committing the digests of a cut once the cut is committed.

use std::sync::Arc;

use protocol::units::Point;
use storage::journal::{DigestLog, DigestLogSpec, DigestStore};
use storage::seam::Disk;

/// Commits the digests gathered for `cycle` to the store: those `pending`, or those that an
/// earlier process has left. What was gathered for it or before it and is of no use is removed.
/// `None` when the store is of no more use, or there was none.
#[must_use]
pub fn commit_digests(
    mut store: Option<DigestStore>,
    pending: Option<DigestLog>,
    disk: Arc<dyn Disk>,
    cycle: Point,
) -> Option<DigestStore> {
    if let Some(kept) = &mut store
        && let Some(log) = pending
            .filter(|log| log.spec().id.cycle == cycle)
            .or_else(|| left_behind(kept, &disk, cycle))
        && log.sealed().is_some()
        && is_wanted(kept, log.spec(), cycle)
    {
        if let Err(error) = kept.commit(log) {
            tracing::warn!(%error, "the digests of this cut can't be kept");
            return None;
        }
        return store;
    }
    if let Err(error) = DigestLog::clear(&disk, cycle) {
        // The next one would write over them.
        tracing::warn!(%error, "digests of no use could not be removed");
    }
    store
}

/// The log that an earlier process has left, where it is wanted: a commit that is repeated finds none, or
/// one that it need not read.
fn left_behind(kept: &DigestStore, disk: &Arc<dyn Disk>, cycle: Point) -> Option<DigestLog> {
    let spec = DigestLog::left(disk.clone()).ok().flatten()?;
    if !is_wanted(kept, spec, cycle) {
        return None;
    }
    DigestLog::recover(disk.clone()).ok().flatten()
}

fn is_wanted(kept: &DigestStore, spec: DigestLogSpec, cycle: Point) -> bool {
    spec.id.cycle == cycle && kept.takes(spec)
}
