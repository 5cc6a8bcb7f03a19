//! Digests of the blocks that a volume holds, to compare two images without moving them.

use crate::seam::{BlockFile, DiskError};
use crate::volume::is_zero;
use buffers::AlignedBuf;
use protocol::changes::{BLOCK_BYTES, BlockDigest, BlockHasher};
use protocol::units::Extent;

/// Images are read in pieces of this many bytes.
const IMAGE_PIECE_BYTES: usize = 1 << 20;

/// The digests of the blocks of a range that starts at a block, in order.
///
/// # Errors
/// When the device can't be read.
pub fn digest_blocks(
    device: &dyn BlockFile,
    extent: Extent,
) -> Result<Vec<BlockDigest>, DiskError> {
    let mut digests = Vec::new();
    each_piece(device, extent, &mut |piece| {
        let mut hasher = BlockHasher::new(piece.len().div_ceil(BLOCK_BYTES as usize));
        hash_found(&mut hasher, piece);
        digests.extend(hasher.finish());
    })?;
    Ok(digests)
}

/// Adds blocks as they were read, of which each may be zeros.
pub(super) fn hash_found<'a>(hasher: &mut BlockHasher<'a>, bytes: &'a [u8]) {
    for block in bytes.chunks(BLOCK_BYTES as usize) {
        if is_zero(block) {
            hasher.zero();
        } else {
            hasher.data(block);
        }
    }
}

fn each_piece(
    device: &dyn BlockFile,
    extent: Extent,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), DiskError> {
    let mut buf = AlignedBuf::zeroed(IMAGE_PIECE_BYTES);
    let mut offset = extent.offset;
    while offset < extent.end() {
        let len = (extent.end() - offset).min(IMAGE_PIECE_BYTES as u64);
        let piece = &mut buf[..usize::try_from(len).unwrap_or(IMAGE_PIECE_BYTES)];
        device.read_at(offset, piece)?;
        each(piece);
        offset += len;
    }
    Ok(())
}
