//! How much goes into one batch, one request and one window: one definition, which the source splits
//! by and the target checks.

use crate::changes::{BATCH_BYTES_MAX, BATCH_REGIONS_MAX};

/// The limits that both ends of a cycle work by (D-7).
///
/// Movers use [`Limits::PRODUCT`]. Where they are made tiny, every split happens within a few blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most data in one batch, in bytes; more goes into the next batch. A multiple of a block.
    pub batch_bytes: usize,
    /// The most regions in one batch; more go into the next batch.
    pub batch_regions: usize,
    /// Batches with less data than this, in bytes, are joined: copying so little costs less than a
    /// frame.
    pub join_bytes: usize,
    /// The most reads that are done one after another. A job of many would let the batches after it
    /// wait, while the device could read for several jobs at once.
    pub job_reads: usize,
    /// The most bytes of known zeros in one job, where each block has to be looked up.
    pub job_zero_bytes: u64,
    /// Blocks in one request for digests of the standby's image.
    pub request_blocks: u64,
    /// One window, in bytes of the volume: a target makes what it has received durable, and says so,
    /// at least this often.
    pub window_bytes: u64,
    /// The most windows that a source has under way beyond what the target has reported durable; it
    /// waits at the limit. So a resumed cycle sends again less than this.
    pub windows_in_flight: u64,
}

impl Limits {
    /// What movers work by.
    pub const PRODUCT: Limits = Limits {
        batch_bytes: BATCH_BYTES_MAX,
        batch_regions: BATCH_REGIONS_MAX,
        join_bytes: 256 * 1024,
        job_reads: 64,
        job_zero_bytes: 1 << 30,
        // 16 MiB of the volume, 64 KiB of digests.
        request_blocks: 4096,
        window_bytes: 32 << 20,
        windows_in_flight: 2,
    };

    /// The most ranges in one job. A job of `n` blocks and ranges has at most as many regions as it
    /// has blocks and ranges together.
    #[must_use]
    pub fn job_ranges(&self) -> usize {
        (self.batch_regions / 2).max(1)
    }

    /// The most bytes of data that are sent beyond what the target has reported durable.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.window_bytes * self.windows_in_flight
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::PRODUCT
    }
}
