//! Which blocks of a write that failed are the bad ones: it is repeated in ever smaller pieces.
//!
//! Writes are joined up to several MiB before they reach the storage, and one bad block fails all of
//! them. Halving finds it with a few repetitions, and everything beside it is written on the way.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::seam::{DiskError, DiskErrorKind};
use crate::volume::apply::ApplyError;
use protocol::changes::BLOCK_BYTES;
use protocol::units::Extent;

/// Failed repetitions after which the storage counts as gone. Finding one bad block in the longest
/// write takes 11 of them, so more than a thousand scattered ones are found, and so are some 30 MiB
/// in one piece.
pub(super) const FAILURES_MAX: u32 = 16 * 1024;

/// The failed repetitions that are left.
pub(super) struct Budget(AtomicU32);

/// Why nothing more is written.
#[derive(Debug)]
pub(super) enum Stop {
    /// A failure that is not of one range, such as a full storage.
    Error(ApplyError),
    /// Too many repetitions have failed; this is how the last one did.
    Exhausted(DiskError),
}

impl From<DiskError> for Stop {
    fn from(error: DiskError) -> Stop {
        Stop::Error(error.into())
    }
}

impl Budget {
    /// As many as `failures`.
    pub(super) fn new(failures: u32) -> Budget {
        Budget(AtomicU32::new(failures))
    }

    /// Takes one; false where none is left.
    fn spend(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        let spent = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        spent.is_ok()
    }
}

/// The error number of a failure that may be of a part of what was written only.
pub(super) fn errno_of_a_range(error: &DiskError) -> Option<i32> {
    match error.kind() {
        DiskErrorKind::Io => error.source.raw_os_error(),
        DiskErrorKind::Full | DiskErrorKind::Poisoned | DiskErrorKind::NotFound => None,
    }
}

/// Repeats what has failed for `extent`, first all of it, then what fails in halves, down to blocks.
/// `write` does one piece; `failed` hears of each block that still fails, ascending.
///
/// # Errors
/// When a piece fails for another reason than what is bad there, or when too many have failed: what
/// comes after it is not attempted.
pub(super) fn isolate(
    extent: Extent,
    budget: &Budget,
    write: &mut dyn FnMut(Extent) -> Result<(), DiskError>,
    failed: &mut dyn FnMut(Extent, i32, DiskError),
) -> Result<(), Stop> {
    let mut waiting = vec![extent];
    while let Some(piece) = waiting.pop() {
        let Err(error) = write(piece) else { continue };
        let Some(errno) = errno_of_a_range(&error) else {
            return Err(error.into());
        };
        let last = (!budget.spend()).then(|| error.clone());
        match halves(piece) {
            Some([low, high]) => waiting.extend([high, low]),
            None => failed(piece, errno, error),
        }
        if let Some(error) = last {
            return Err(Stop::Exhausted(error));
        }
    }
    Ok(())
}

/// Two pieces that meet at the border of a block; `None` for one within a single block.
fn halves(extent: Extent) -> Option<[Extent; 2]> {
    let middle = (extent.offset + extent.len / 2).next_multiple_of(BLOCK_BYTES);
    let border = if middle < extent.end() {
        middle
    } else {
        (extent.end() - 1) / BLOCK_BYTES * BLOCK_BYTES
    };
    (border > extent.offset).then(|| {
        [
            Extent::new(extent.offset, border - extent.offset),
            Extent::new(border, extent.end() - border),
        ]
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn failure(errno: i32) -> DiskError {
        DiskError::new("write", "volume", std::io::Error::from_raw_os_error(errno))
    }

    /// What became of each byte: whether it was written, or with what its block failed.
    #[derive(Debug, Default, PartialEq)]
    struct Bytes {
        written: BTreeSet<u64>,
        failed: BTreeMap<u64, i32>,
    }

    /// The device: a write that touches a bad byte fails, with the error number of the first.
    fn run(
        extent: Extent,
        bad: &BTreeMap<u64, i32>,
        budget: u32,
    ) -> (Bytes, u32, Result<(), Stop>) {
        let mut bytes = Bytes::default();
        let mut writes = 0;
        let mut write = |piece: Extent| {
            writes += 1;
            match bad.range(piece.offset..piece.end()).next() {
                Some((_, errno)) => Err(failure(*errno)),
                None => {
                    bytes.written.extend(piece.offset..piece.end());
                    Ok(())
                }
            }
        };
        let failed = &mut bytes.failed;
        let result = isolate(
            extent,
            &Budget::new(budget),
            &mut write,
            &mut |piece, errno, _| {
                failed.extend((piece.offset..piece.end()).map(|byte| (byte, errno)));
            },
        );
        (bytes, writes, result)
    }

    /// The oracle: block by block, each one that touches a bad byte has failed.
    fn block_by_block(extent: Extent, bad: &BTreeMap<u64, i32>) -> Bytes {
        let mut bytes = Bytes::default();
        for byte in extent.offset..extent.end() {
            let block = byte / BLOCK_BYTES * BLOCK_BYTES;
            let (from, to) = (
                block.max(extent.offset),
                (block + BLOCK_BYTES).min(extent.end()),
            );
            match bad.range(from..to).next() {
                Some((_, errno)) => drop(bytes.failed.insert(byte, *errno)),
                None => drop(bytes.written.insert(byte)),
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// exactly the blocks that touch a bad byte are named, and everything else is written.
        #[test]
        fn r_1_exactly_the_bad_blocks_are_named_and_the_rest_is_written(
            sector in 0_u64..64,
            sectors in 1_u64..160,
            bad in proptest::collection::btree_map(0_u64..(224 * 512), prop_oneof![Just(5), Just(61)], 0..6),
        ) {
            let extent = Extent::new(sector * 512, sectors * 512);
            let (bytes, writes, result) = run(extent, &bad, FAILURES_MAX);
            prop_assert!(result.is_ok());
            prop_assert_eq!(bytes, block_by_block(extent, &bad));
            let blocks = u32::try_from(extent.len.div_ceil(BLOCK_BYTES)).unwrap() + 1;
            prop_assert!(writes < 2 * blocks, "{writes} writes for {blocks} blocks");
        }
    }

    #[test]
    fn one_bad_block_of_the_longest_write_takes_few_repetitions() {
        let bad = BTreeMap::from([(1_000_000, 5)]);
        let (bytes, writes, result) = run(Extent::new(0, 4 << 20), &bad, 11);
        assert!(result.is_ok(), "more failures than were allowed");
        assert_eq!(bytes.failed.len() as u64, BLOCK_BYTES);
        assert_eq!(writes, 21);
    }

    #[test]
    fn an_error_that_went_away_fails_nothing() {
        let (bytes, writes, result) = run(Extent::new(0, 4 << 20), &BTreeMap::new(), 0);
        assert!(result.is_ok() && bytes.failed.is_empty());
        assert_eq!(writes, 1);
    }

    #[test]
    fn a_full_storage_is_not_asked_again_and_a_dead_one_not_for_ever() {
        let extent = Extent::new(0, 4 << 20);
        let (_, writes, result) = run(extent, &BTreeMap::from([(0, 28)]), FAILURES_MAX);
        assert!(
            matches!(result, Err(Stop::Error(ApplyError::Disk(e))) if e.kind() == DiskErrorKind::Full)
        );
        assert_eq!(writes, 1);
        let all: BTreeMap<u64, i32> = (0..extent.len).step_by(512).map(|at| (at, 5)).collect();
        let (_, writes, result) = run(extent, &all, 20);
        assert!(matches!(result, Err(Stop::Exhausted(_))));
        assert_eq!(writes, 21);
    }
}
