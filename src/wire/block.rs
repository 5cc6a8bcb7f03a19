//! Blocks: the unit in which changes are tracked and hashed.

use serde::{Deserialize, Serialize};

use crate::units::Extent;

/// The unit of tracking, hashing and zero detection, in bytes. A volume's last block may be shorter.
pub const BLOCK_BYTES: u64 = 4096;

/// The first 128 bits of a block's BLAKE3 hash. A block that is all zeros has [`BlockDigest::ZERO`]
/// by definition, so that holes cost no hashing and no space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockDigest(pub [u8; BlockDigest::BYTES]);

impl BlockDigest {
    /// The length of a digest in bytes: 0.39 % of a block.
    pub const BYTES: usize = 16;

    /// The digest of a block of zeros.
    pub const ZERO: BlockDigest = BlockDigest([0; BlockDigest::BYTES]);

    /// The digest of a block that is known not to be all zeros.
    #[must_use]
    pub fn of_data(block: &[u8]) -> BlockDigest {
        let mut digest = [0; BlockDigest::BYTES];
        digest.copy_from_slice(&blake3::hash(block).as_bytes()[..BlockDigest::BYTES]);
        BlockDigest(digest)
    }

    /// Whether this is the digest of zeros.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == BlockDigest::ZERO
    }
}

/// The number of blocks that a volume of `size` bytes has.
#[must_use]
pub fn block_count(size: u64) -> u64 {
    size.div_ceil(BLOCK_BYTES)
}

/// The numbers of the blocks that `extent` touches.
#[must_use]
pub fn blocks_of(extent: Extent) -> std::ops::Range<u64> {
    extent.offset / BLOCK_BYTES..extent.end().div_ceil(BLOCK_BYTES)
}
