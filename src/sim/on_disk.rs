//! What a side's storage says of it, as a crash now would leave it: read slowly, and apart from the
//! processes that run there.

use std::sync::Arc;

use crate::SimDisk;
use crate::image::BLOCK;
use mover_core::translate;
use protocol::changes::RegionKind;
use protocol::pair::Record;
use protocol::units::Point;
use storage::journal::{Staging, StagingOutcome, SuperblockStore};
use storage::seam::{Disk, DiskError};

/// What a state volume says of its side.
pub(super) fn read_superblock(meta: &SimDisk) -> Option<Record> {
    let bytes = meta
        .durable("superblock")
        .filter(|bytes| !bytes.is_empty())?;
    let disk = disk_with("superblock", &bytes).ok()?;
    let (_, superblock) = SuperblockStore::open(Arc::new(disk)).ok()?;
    superblock.as_ref().map(translate::record_of)
}

/// The cut of which a set is staged completely.
pub(super) fn staged(meta: &SimDisk) -> Option<Point> {
    Some(complete(meta)?.spec().id.cycle)
}

fn complete(meta: &SimDisk) -> Option<Box<Staging>> {
    let staged = meta.durable("staging").filter(|bytes| !bytes.is_empty())?;
    let disk = Arc::new(disk_with("staging", &staged).ok()?);
    match Staging::recover(disk, u64::MAX, None, &mut |_, _| Ok(())) {
        Ok(StagingOutcome::Complete(staging)) => Some(staging),
        _ => None,
    }
}

/// What a volume holds once the set that is completely staged is written to it; `None` where there is no
/// such set.
pub(super) fn with_staged(meta: &SimDisk, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    for batch in complete(meta)?.read().ok()? {
        let batch = batch.ok()?;
        for (region, data) in batch.iter() {
            let from = usize::try_from(region.extent.offset).ok()?;
            let to = usize::try_from(region.extent.end()).ok()?;
            match region.kind {
                RegionKind::Zero => bytes[from..to].fill(0),
                RegionKind::Data { .. } => bytes[from..to].copy_from_slice(data),
            }
        }
    }
    Some(bytes)
}

fn disk_with(name: &str, bytes: &[u8]) -> Result<SimDisk, DiskError> {
    let disk = SimDisk::new(u64::MAX / 4, 0);
    let file = disk.create(name)?;
    file.write_at(0, bytes)?;
    file.flush()?;
    Ok(disk)
}

/// Blocks in a volume of so many bytes.
pub(super) fn blocks(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64)
}
