//! Taking over the digests of a cut once it is committed.

use std::sync::Arc;

use crate::journal::{DigestLog, DigestStore};
use crate::seam::Disk;
use crate::units::Point;

/// Takes the digests gathered for `cycle` over into the store: those `pending`, or those that an
/// earlier process has left. `None` when the store is of no more use.
#[must_use]
pub fn keep(
    mut store: DigestStore,
    pending: Option<DigestLog>,
    disk: Arc<dyn Disk>,
    cycle: Point,
) -> Option<DigestStore> {
    let log = match pending {
        Some(log) => Some(log),
        None => DigestLog::recover(disk).ok().flatten(),
    };
    // Only a verification corrects digests that are of this cut already.
    let corrects = log
        .as_ref()
        .is_some_and(|log| log.spec().id.from == Some(cycle));
    if store.point() == Some(cycle) && !corrects {
        return Some(store);
    }
    let Some(log) = log.filter(|log| log.spec().id.cycle <= cycle) else {
        return Some(store);
    };
    if log.spec().id.cycle == cycle && log.sealed().is_some() {
        if let Err(error) = store.commit(log) {
            tracing::warn!(%error, "the digests of this cut can't be kept");
            return None;
        }
    } else if let Err(error) = log.remove() {
        // Of an attempt that led to nothing; the next one would write over it.
        tracing::warn!(%error, "digests of no use could not be removed");
    }
    Some(store)
}
