//! Regions, and batches of them with their data at hand.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::changes::{BLOCK_BYTES, BlockDigest, BlockHasher};
use crate::units::Extent;

/// The most uncompressed data in one batch, in bytes; more goes into the next batch.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// The most regions in one batch; more go into the next batch. As many as blocks fit, and as many
/// zero runs between them.
pub const BATCH_REGIONS_MAX: usize = 2 * BATCH_BYTES_MAX / BLOCK_BYTES as usize;

const _: () = assert!(BATCH_BYTES_MAX.is_multiple_of(BLOCK_BYTES as usize));

/// What a region holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegionKind {
    /// Data, with the CRC-32C of its bytes. It is checked on receipt and again before it is applied.
    Data {
        /// CRC-32C of the region's bytes, uncompressed.
        crc: u32,
    },
    /// Zeros. They are applied like data: what was there before must disappear.
    Zero,
}

/// A changed range of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Where; starts at a block, and ends at one or at the end of the volume.
    pub extent: Extent,
    /// What is there now.
    pub kind: RegionKind,
}

impl Region {
    /// Bytes of this region in a batch's data.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        match self.kind {
            RegionKind::Data { .. } => self.extent.len,
            RegionKind::Zero => 0,
        }
    }
}

/// A batch's regions with their data at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchData {
    /// Everything that changed below this byte of the volume is covered with this batch.
    pub through: u64,
    /// The regions, ascending and disjoint.
    pub regions: Vec<Region>,
    /// The data of the data regions, in order and without gaps.
    pub data: Bytes,
}

impl BatchData {
    /// Each region with its data; zero regions have none.
    pub fn iter(&self) -> impl Iterator<Item = (&Region, &[u8])> {
        let mut rest = &self.data[..];
        self.regions.iter().map(move |region| {
            let len = usize::try_from(region.data_len()).unwrap_or(usize::MAX);
            let (data, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            (region, data)
        })
    }
}

/// Regions that are not what the protocol allows, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRegions(pub &'static str);

/// Checks the regions of a batch for a volume of `size` bytes: from `after` to `through`, ascending,
/// disjoint, none empty, each of whole blocks. The answer is how many bytes of data they have.
///
/// # Errors
/// When they are anything else.
pub fn check_regions(
    regions: &[Region],
    after: u64,
    through: u64,
    size: u64,
) -> Result<u64, InvalidRegions> {
    let wrong = |reason: &'static str| Err(InvalidRegions(reason));
    let mut position = after;
    let mut data = 0_u64;
    for region in regions {
        let Extent { offset, len } = region.extent;
        let Some(end) = offset.checked_add(len).filter(|end| *end <= size) else {
            return wrong("a region ends past the end of the volume");
        };
        if len == 0 || offset < position {
            return wrong("its regions are not ascending");
        }
        if offset % BLOCK_BYTES != 0 || (end % BLOCK_BYTES != 0 && end != size) {
            return wrong("a region is not made of whole blocks");
        }
        position = end;
        data += region.data_len();
    }
    if through < position || through > size {
        return wrong("its end is not where its regions end");
    }
    Ok(data)
}

/// The digests of all blocks of the batch's data regions, in order.
#[must_use]
pub fn hash_blocks(batch: &BatchData) -> Vec<BlockDigest> {
    let mut hasher = BlockHasher::new(batch.data.len().div_ceil(BLOCK_BYTES as usize));
    for (_, data) in batch.iter() {
        for block in data.chunks(BLOCK_BYTES as usize) {
            hasher.data(block);
        }
    }
    hasher.finish()
}
