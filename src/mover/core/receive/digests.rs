//! Digests of this side's image, so that the source sends only what differs.

use crate::translate;
use protocol::changes::BLOCK_BYTES;
use protocol::pair::{Cause, Refused};
use storage::seam::BlockFile;
use storage::volume::digest_blocks;
use wire::{DIGESTS_PER_FRAME_MAX, DigestRequest};

/// Sees to it that digests are of what the storage holds for good: what only a cache has, written by
/// an attempt that failed or by somebody else, a loss of power would take back.
///
/// # Errors
/// When the device fails.
pub fn settle(device: &dyn BlockFile) -> Result<(), Refused> {
    let settled = device.flush().and_then(|()| device.drop_cache());
    settled.map_err(|error| translate::disk_failed(&error, Cause::TargetWriteError))
}

/// Reads the digests that the source asks for.
///
/// # Errors
/// When it asks for what is not there, or the device fails.
pub fn read_digests(
    device: &dyn BlockFile,
    request: DigestRequest,
) -> Result<wire::Digests, Refused> {
    let extent = request.extent;
    let size = device.size();
    let blocks = extent.len.div_ceil(BLOCK_BYTES);
    let fits = extent.offset.is_multiple_of(BLOCK_BYTES)
        && extent
            .offset
            .checked_add(extent.len)
            .is_some_and(|end| end <= size)
        && blocks <= DIGESTS_PER_FRAME_MAX as u64;
    if !fits {
        return Err(Refused::new(
            Cause::Internal,
            format!(
                "digests of {} bytes from {} were asked for",
                extent.len, extent.offset
            ),
        ));
    }
    let digests = digest_blocks(device, extent)
        .map_err(|error| translate::disk_failed(&error, Cause::TargetWriteError))?;
    Ok(wire::Digests { extent, digests })
}
