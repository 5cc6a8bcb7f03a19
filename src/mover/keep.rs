//! Taking over the digests of a cut once it is committed.

use std::sync::Arc;

use crate::journal::{DigestLog, DigestStore};
use crate::seam::Disk;
use crate::units::Point;

/// Takes the digests gathered for `cycle` over into the store: those `pending`, or those that an
/// earlier process has left. What was gathered for it or before it and is of no use is removed.
/// `None` when the store is of no more use, or there was none.
#[must_use]
pub fn keep(
    mut store: Option<DigestStore>,
    pending: Option<DigestLog>,
    disk: Arc<dyn Disk>,
    cycle: Point,
) -> Option<DigestStore> {
    let log = pending.or_else(|| DigestLog::recover(disk.clone()).ok().flatten());
    if let (Some(kept), Some(log)) = (&mut store, log) {
        // Only a verification corrects digests that are of this cut already.
        let news = kept.point() != Some(cycle) || log.spec().id.from == Some(cycle);
        if news && log.spec().id.cycle == cycle && log.sealed().is_some() {
            if let Err(error) = kept.commit(log) {
                tracing::warn!(%error, "the digests of this cut can't be kept");
                return None;
            }
            return store;
        }
    }
    if let Err(error) = DigestLog::clear(&disk, cycle) {
        // The next one would write over them.
        tracing::warn!(%error, "digests of no use could not be removed");
    }
    store
}
