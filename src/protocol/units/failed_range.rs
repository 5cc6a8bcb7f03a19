//! Ranges of a volume that a device could not write.

use serde::{Deserialize, Serialize};

use crate::units::Extent;

/// A range that could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRange {
    /// Where it is, in bytes of the volume.
    pub extent: Extent,
    /// The system's error number, as in `errno(3)`.
    pub errno: i32,
}

impl FailedRange {
    /// At most `max` ranges, at least one, that cover all of `ranges`, which are ascending and disjoint: the
    /// nearest are joined, under the error number of the lower one, so that none is left out.
    #[must_use]
    pub fn at_most(ranges: &[FailedRange], max: usize) -> Vec<FailedRange> {
        let mut gaps: Vec<(u64, usize)> = (1..ranges.len())
            .map(|at| (ranges[at].extent.offset - ranges[at - 1].extent.end(), at))
            .collect();
        gaps.sort_unstable();
        let surplus = ranges.len().saturating_sub(max.max(1));
        let mut joins = vec![false; ranges.len()];
        for (_, at) in gaps.into_iter().take(surplus) {
            joins[at] = true;
        }
        let mut joined: Vec<FailedRange> = Vec::with_capacity(ranges.len() - surplus);
        for (range, joins) in ranges.iter().zip(joins) {
            match joined.last_mut() {
                Some(last) if joins => last.extent.len = range.extent.end() - last.extent.offset,
                _ => joined.push(*range),
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// however many errors are scattered, none is lost when they are joined to a few ranges.
        #[test]
        fn r_7_joining_to_a_few_ranges_loses_none(
            blocks in proptest::collection::btree_set(0_u64..3000, 1..400),
            max in 1_usize..40,
        ) {
            let of = |block: u64| FailedRange { extent: Extent::new(block * 4096, 4096), errno: 5 };
            let ranges: Vec<FailedRange> = blocks.iter().map(|block| of(*block)).collect();
            let joined = FailedRange::at_most(&ranges, max);
            prop_assert!(joined.len() <= max.max(1) && joined.len() <= ranges.len());
            prop_assert!(joined.windows(2).all(|two| two[0].extent.end() <= two[1].extent.offset));
            for range in &ranges {
                let holds = |by: &&FailedRange| by.extent.offset <= range.extent.offset && range.extent.end() <= by.extent.end();
                prop_assert_eq!(joined.iter().filter(holds).count(), 1);
            }
            let widest = |ranges: &[FailedRange]| {
                ranges.windows(2).map(|two| two[1].extent.offset - two[0].extent.end()).max()
            };
            if joined.len() > 1 {
                prop_assert_eq!(widest(&joined), widest(&ranges), "the nearest are joined");
            }
        }
    }
}
