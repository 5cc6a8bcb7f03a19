//! Ranges of a volume, in bytes.

use serde::{Deserialize, Serialize};

/// A non-empty range of a volume: `len` bytes from `offset`, both in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Extent {
    /// The first byte.
    pub offset: u64,
    /// The number of bytes; never zero.
    pub len: u64,
}

impl Extent {
    /// The range of `len` bytes from `offset`.
    #[must_use]
    pub fn new(offset: u64, len: u64) -> Extent {
        Extent { offset, len }
    }

    /// The byte after the last one.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.len
    }
}

/// Ranges that are sorted, disjoint and not touching: adding joins what it meets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExtentSet(Vec<Extent>);

impl ExtentSet {
    /// The union of `extents`, in any order, overlapping or not; empty ones are left out.
    #[must_use]
    pub fn union(extents: impl IntoIterator<Item = Extent>) -> ExtentSet {
        let mut sorted: Vec<Extent> = extents.into_iter().filter(|e| e.len > 0).collect();
        sorted.sort_unstable();
        let mut joined: Vec<Extent> = Vec::with_capacity(sorted.len());
        for extent in sorted {
            match joined.last_mut() {
                Some(last) if extent.offset <= last.end() => {
                    last.len = last.len.max(extent.end() - last.offset);
                }
                _ => joined.push(extent),
            }
        }
        ExtentSet(joined)
    }

    /// The set with every range widened to multiples of `granularity` bytes, cut off at `size`.
    #[must_use]
    pub fn aligned(&self, granularity: u64, size: u64) -> ExtentSet {
        ExtentSet::union(self.0.iter().filter(|e| e.offset < size).map(|extent| {
            let start = extent.offset / granularity * granularity;
            let end = extent
                .end()
                .div_ceil(granularity)
                .saturating_mul(granularity)
                .min(size);
            Extent::new(start, end - start)
        }))
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[Extent] {
        &self.0
    }

    /// The number of bytes covered.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|extent| extent.len).sum()
    }

    /// Whether nothing is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The oracle is a plain set of bytes.
        #[test]
        fn union_and_alignment_cover_exactly_what_they_should(
            ranges in proptest::collection::vec((0_u64..200, 0_u64..40), 0..20),
            granularity in 1_u64..16,
        ) {
            let extents: Vec<Extent> = ranges.iter().map(|&(o, l)| Extent::new(o, l)).collect();
            let bytes = |set: &ExtentSet| -> std::collections::BTreeSet<u64> {
                set.as_slice().iter().flat_map(|e| e.offset..e.end()).collect()
            };
            let expected: std::collections::BTreeSet<u64> =
                extents.iter().flat_map(|e| e.offset..e.end()).collect();
            let set = ExtentSet::union(extents);
            prop_assert_eq!(bytes(&set), expected.clone());
            for pair in set.as_slice().windows(2) {
                prop_assert!(pair[0].end() < pair[1].offset);
            }
            let size = 210;
            let widened: std::collections::BTreeSet<u64> = (0..size)
                .filter(|b| {
                    let block = b / granularity * granularity;
                    (block..block + granularity).any(|x| expected.contains(&x))
                })
                .collect();
            let in_size: std::collections::BTreeSet<u64> =
                expected.iter().copied().filter(|b| *b < size).collect();
            prop_assert!(in_size.is_subset(&bytes(&set.aligned(granularity, size))));
            prop_assert!(bytes(&set.aligned(granularity, size)).is_subset(&widened));
        }
    }
}
