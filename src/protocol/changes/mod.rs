//! What a change set is made of: blocks, regions, batches, and the digest over all of it.

mod block;
mod block_hasher;
mod cycle_digest;
mod cycle_id;
mod limits;
mod region;

pub use block::{BLOCK_BYTES, BlockDigest, block_count, blocks_of};
pub use block_hasher::BlockHasher;
pub use cycle_digest::{CycleDigest, CycleSum};
pub use cycle_id::CycleId;
pub use limits::Limits;
pub use region::{
    BATCH_BYTES_MAX, BATCH_REGIONS_MAX, BatchData, InvalidRegions, Region, RegionKind,
    check_regions, hash_blocks,
};
