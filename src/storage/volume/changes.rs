//! Which ranges of a volume have to be read.

use std::sync::Arc;

use crate::seam::{BlockFile, DiskError};
use protocol::changes::BLOCK_BYTES;
use protocol::units::{Extent, ExtentSet};

/// Large ranges are handed out in pieces of at most this many bytes, so that progress shows.
const PIECE_BYTES: u64 = 1 << 30;

/// A range that has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It may have changed: read it.
    Read(Extent),
    /// It may have changed, and it is zeros now: there is nothing to read.
    Zero(Extent),
}

impl Change {
    /// Where.
    #[must_use]
    pub fn extent(&self) -> Extent {
        match self {
            Change::Read(extent) | Change::Zero(extent) => *extent,
        }
    }

    pub(super) fn with(&self, extent: Extent) -> Change {
        match self {
            Change::Read(_) => Change::Read(extent),
            Change::Zero(_) => Change::Zero(extent),
        }
    }
}

/// A list of changes that can't be continued. The cycle fails; nothing was left out silently.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The list was abandoned, because the cycle was aborted.
    #[error("the list of changes was abandoned")]
    Abandoned,
    /// The next range is not known yet: ask again. Lists that are read by a [`crate::volume::Reader`]
    /// wait instead.
    #[error("the next change is not known yet")]
    NotYet,
    /// The list does not ascend, or leaves the volume.
    #[error("the list of changes is not usable: {0}")]
    Invalid(String),
    /// Finding allocated ranges failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Changes in ascending order, made of whole blocks (up to the volume's end), disjoint.
pub type Changes = Box<dyn Iterator<Item = Result<Change, ChangeError>> + Send>;

/// Exactly these ranges of a volume of `size` bytes, in any order, widened to whole blocks.
#[must_use]
pub fn given(extents: impl IntoIterator<Item = Extent>, size: u64) -> Changes {
    let set = ExtentSet::union(extents).aligned(BLOCK_BYTES, size);
    let extents: Vec<Extent> = set.as_slice().to_vec();
    Box::new(extents.into_iter().map(|extent| Ok(Change::Read(extent))))
}

/// All of a volume of `size` bytes from byte `from` (a multiple of a block).
#[must_use]
pub fn everything(from: u64, size: u64) -> Changes {
    let mut position = from;
    Box::new(std::iter::from_fn(move || {
        if position >= size {
            return None;
        }
        let extent = Extent::new(position, (size - position).min(PIECE_BYTES));
        position = extent.end();
        Some(Ok(Change::Read(extent)))
    }))
}

/// All of a volume of `size` bytes from byte `from`, with the holes that the file system knows of
/// as zeros. On storage that knows of none this is [`everything`].
#[must_use]
pub fn allocated(file: Arc<dyn BlockFile>, from: u64, size: u64) -> Changes {
    let mut position = from;
    let mut data: Option<Extent> = None;
    Box::new(std::iter::from_fn(move || {
        if position >= size {
            return None;
        }
        if data.is_none_or(|d| d.end() <= position) {
            data = match file.next_data(position) {
                Ok(found) => found.map(|extent| whole_blocks(extent, size)),
                Err(e) => {
                    position = size;
                    return Some(Err(e.into()));
                }
            };
        }
        let start = data.map_or(size, |d| d.offset.max(position));
        let change = if position < start {
            Change::Zero(Extent::new(position, start - position))
        } else {
            let end = data.map_or(size, |d| d.end()).min(position + PIECE_BYTES);
            Change::Read(Extent::new(position, end - position))
        };
        position = change.extent().end();
        Some(Ok(change))
    }))
}

fn whole_blocks(extent: Extent, size: u64) -> Extent {
    let start = extent.offset / BLOCK_BYTES * BLOCK_BYTES;
    let end = extent.end().next_multiple_of(BLOCK_BYTES).min(size);
    Extent::new(start, end - start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::{Access, OsFile};

    fn all(changes: Changes) -> Vec<Change> {
        changes.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn given_ranges_become_whole_blocks_and_end_with_the_volume() {
        let ranges = [Extent::new(9000, 10), Extent::new(100, 3000)];
        assert_eq!(
            all(given(ranges, 9005)),
            [
                Change::Read(Extent::new(0, 4096)),
                Change::Read(Extent::new(8192, 813))
            ]
        );
        assert_eq!(all(given([Extent::new(9005, 1)], 9005)), []);
    }

    #[test]
    fn everything_is_everything_once() {
        let size = PIECE_BYTES * 2 + 5;
        let changes = all(everything(4096, size));
        assert_eq!(changes.first().unwrap().extent().offset, 4096);
        assert_eq!(changes.last().unwrap().extent().end(), size);
        let bytes: u64 = changes.iter().map(|c| c.extent().len).sum();
        assert_eq!(bytes, size - 4096);
    }

    #[test]
    fn holes_are_zeros_without_reading() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::File::create(&path).unwrap();
        let file = OsFile::open(&path, Access::Write, false).unwrap();
        file.set_size(10 << 20).unwrap();
        file.write_at(3 << 20, &[1; 5000]).unwrap();
        file.flush().unwrap();
        let changes = all(allocated(Arc::new(file), 0, 10 << 20));
        let read: u64 = changes
            .iter()
            .filter(|c| matches!(c, Change::Read(_)))
            .map(|c| c.extent().len)
            .sum();
        assert!((8192..1 << 20).contains(&read), "{changes:?}");
        let mut position = 0;
        for change in &changes {
            assert_eq!(change.extent().offset, position);
            position = change.extent().end();
        }
        assert_eq!(position, 10 << 20);
    }
}
