//! Which ranges of a volume could not be written, and why (part R: exactly the failed ranges).

use crate::seam::DiskError;
use protocol::units::{Extent, FailedRange};

/// The ranges that could not be written: ascending, disjoint, and neighbours with the same error
/// number joined. There is always at least one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{first}; not written: {}", self.summary())]
pub struct FailedWrites {
    /// The failure at the lowest offset.
    first: DiskError,
    ranges: Vec<FailedRange>,
    /// Whether everything outside the ranges was written.
    complete: bool,
}

impl FailedWrites {
    /// The list with its first range, which failed with `error`.
    pub(super) fn new(range: FailedRange, error: DiskError) -> FailedWrites {
        FailedWrites {
            first: error,
            ranges: vec![range],
            complete: true,
        }
    }

    /// Adds a range that is in none of those added before.
    pub(super) fn add(&mut self, range: FailedRange, error: DiskError) {
        let at = self
            .ranges
            .partition_point(|other| other.extent < range.extent);
        if at == 0 {
            self.first = error;
        }
        self.ranges.insert(at, range);
        self.join(at);
        if at > 0 {
            self.join(at - 1);
        }
    }

    /// Joins the range at `index` with the one after it, where they belong together.
    fn join(&mut self, index: usize) {
        let Some(&[one, next]) = self.ranges.get(index..index + 2) else {
            return;
        };
        if one.extent.end() == next.extent.offset && one.errno == next.errno {
            self.ranges[index].extent.len += next.extent.len;
            self.ranges.remove(index + 1);
        }
    }

    /// Notes that writing was stopped before everything was attempted, so that more than these
    /// ranges lacks its data.
    pub(super) fn cut_short(&mut self) {
        self.complete = false;
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[FailedRange] {
        &self.ranges
    }

    /// Whether everything outside the ranges was written.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.extent.len).sum()
    }

    fn summary(&self) -> String {
        let mut text = String::new();
        if let [first, others @ ..] = &self.ranges[..] {
            let Extent { offset, len } = first.extent;
            text = format!("{len} bytes at byte {offset}");
            if !others.is_empty() {
                let (count, bytes) = (others.len(), self.bytes() - len);
                text += &format!(", and {count} other ranges with {bytes} bytes");
            }
        }
        if !self.complete {
            text += ", and what came after them: too many writes have failed";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn failure(offset: u64, errno: i32) -> DiskError {
        let source = std::io::Error::from_raw_os_error(errno);
        DiskError::new("write", format!("/dev/volume at byte {offset}"), source)
    }

    fn list(ranges: &[(u64, u64, i32)]) -> FailedWrites {
        let mut all = ranges.iter().map(|&(offset, len, errno)| {
            let extent = Extent::new(offset, len);
            (FailedRange { extent, errno }, failure(offset, errno))
        });
        let (range, error) = all.next().unwrap();
        let mut failed = FailedWrites::new(range, error);
        all.for_each(|(range, error)| failed.add(range, error));
        failed
    }

    #[test]
    fn the_message_names_the_first_range_and_counts_the_others() {
        let one = list(&[(8192, 4096, 5), (12288, 4096, 5)]);
        assert_eq!(
            one.to_string(),
            "failed to write /dev/volume at byte 8192: Input/output error (os error 5); \
             not written: 8192 bytes at byte 8192"
        );
        let mut more = list(&[(65536, 4096, 5), (0, 4096, 61), (4096, 512, 5)]);
        more.cut_short();
        assert_eq!(
            more.to_string(),
            "failed to write /dev/volume at byte 0: No data available (os error 61); \
             not written: 4096 bytes at byte 0, and 2 other ranges with 4608 bytes, \
             and what came after them: too many writes have failed"
        );
    }

    proptest! {
        /// errors that are scattered are joined where they touch, and none is lost. The oracle
        /// is the error number of each block.
        #[test]
        fn r_7_every_failed_block_is_in_the_list_with_its_error_and_no_other_is(
            blocks in proptest::collection::btree_map(0_u64..60, prop_oneof![Just(5), Just(61)], 1..40),
            shuffle in any::<u64>(),
        ) {
            let mut order: Vec<(u64, i32)> = blocks.clone().into_iter().collect();
            order.sort_by_key(|(block, _)| (block ^ shuffle).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let ranges: Vec<_> = order.iter().map(|&(block, errno)| (block * 4096, 4096, errno)).collect();
            let failed = list(&ranges);
            let mut listed = BTreeMap::new();
            for FailedRange { extent, errno } in failed.ranges() {
                for block in extent.offset / 4096..extent.end() / 4096 {
                    prop_assert_eq!(listed.insert(block, *errno), None);
                }
            }
            prop_assert_eq!(&listed, &blocks);
            for pair in failed.ranges().windows(2) {
                let touch = pair[0].extent.end() == pair[1].extent.offset;
                prop_assert!(pair[0].extent.end() <= pair[1].extent.offset);
                prop_assert!(!touch || pair[0].errno != pair[1].errno);
            }
            let (first, errno) = blocks.first_key_value().unwrap();
            let message = failure(first * 4096, *errno).to_string();
            prop_assert!(failed.to_string().starts_with(&message));
        }
    }
}
