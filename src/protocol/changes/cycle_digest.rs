//! One digest over everything that a cycle changes.
//!
//! It is taken over runs, not over batches, so that the two sides agree however the stream was cut
//! into batches, resumed or retried: neighbouring regions of one kind count as one run. A run of
//! data enters as its offset, the digests of its blocks and its length; a run of zeros as its offset
//! and length. So each byte is hashed once, and the block digests serve twice.

use serde::{Deserialize, Serialize};

use crate::changes::BlockDigest;
use crate::units::Extent;

const DATA: u8 = 1;
const ZERO: u8 = 0;

/// The totals and digest of a complete cycle; both sides compute it, and it must agree before anything is
/// applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleSum {
    /// The number of runs.
    pub count: u64,
    /// Bytes of data.
    pub data_bytes: u64,
    /// Bytes of zeros.
    pub zero_bytes: u64,
    /// BLAKE3 over the runs.
    pub digest: [u8; 32],
}

impl CycleSum {
    /// The digest in hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.digest).to_hex().to_string()
    }
}

/// Computes a [`CycleSum`] from regions in ascending command.
#[derive(Clone, Debug, Default)]
pub struct CycleDigest {
    hasher: blake3::Hasher,
    run: Option<(u8, Extent)>,
    sum: CycleSum,
}

impl CycleDigest {
    /// The digest of nothing yet.
    #[must_use]
    pub fn new() -> CycleDigest {
        CycleDigest::default()
    }

    /// Adds a region of data with the digests of its blocks, in order.
    pub fn data(&mut self, extent: Extent, digests: &[BlockDigest]) {
        self.enter(DATA, extent);
        self.sum.data_bytes += extent.len;
        for digest in digests {
            self.hasher.update(&digest.0);
        }
    }

    /// Adds a region of zeros.
    pub fn zero(&mut self, extent: Extent) {
        self.enter(ZERO, extent);
        self.sum.zero_bytes += extent.len;
    }

    /// The sum of everything added.
    #[must_use]
    pub fn finish(mut self) -> CycleSum {
        self.close();
        self.sum.digest = *self.hasher.finalize().as_bytes();
        self.sum
    }

    fn enter(&mut self, kind: u8, extent: Extent) {
        if let Some((open, run)) = &mut self.run
            && *open == kind
            && run.end() == extent.offset
        {
            run.len += extent.len;
            return;
        }
        self.close();
        self.hasher.update(&[kind]);
        self.hasher.update(&extent.offset.to_le_bytes());
        self.run = Some((kind, extent));
        self.sum.count += 1;
    }

    fn close(&mut self) {
        if let Some((_, run)) = self.run.take() {
            self.hasher.update(&run.len.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> BlockDigest {
        BlockDigest([n; 16])
    }

    #[test]
    fn the_sum_does_not_depend_on_how_regions_were_cut() {
        let mut whole = CycleDigest::new();
        whole.data(Extent::new(0, 8192), &[digest(1), digest(2)]);
        whole.zero(Extent::new(8192, 1 << 20));
        let mut cut = CycleDigest::new();
        cut.data(Extent::new(0, 4096), &[digest(1)]);
        cut.data(Extent::new(4096, 4096), &[digest(2)]);
        cut.zero(Extent::new(8192, 4096));
        cut.zero(Extent::new(12288, (1 << 20) - 4096));
        let sum = whole.finish();
        assert_eq!(sum, cut.finish());
        assert_eq!(
            (sum.count, sum.data_bytes, sum.zero_bytes),
            (2, 8192, 1 << 20)
        );
    }

    #[test]
    fn every_difference_shows() {
        let sum = |regions: &[(u64, u64, Option<u8>)]| {
            let mut cycle = CycleDigest::new();
            for &(offset, len, byte) in regions {
                match byte {
                    Some(b) => cycle.data(Extent::new(offset, len), &[digest(b)]),
                    None => cycle.zero(Extent::new(offset, len)),
                }
            }
            cycle.finish().digest
        };
        let all = [
            sum(&[]),
            sum(&[(0, 4096, Some(1))]),
            sum(&[(0, 4096, Some(2))]),
            sum(&[(4096, 4096, Some(1))]),
            sum(&[(0, 100, Some(1))]),
            sum(&[(0, 4096, None)]),
            sum(&[(0, 8192, None)]),
            sum(&[(0, 4096, None), (8192, 4096, None)]),
            sum(&[(0, 4096, Some(1)), (8192, 4096, Some(2))]),
            sum(&[(0, 4096, Some(1)), (12288, 4096, Some(2))]),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }
}
