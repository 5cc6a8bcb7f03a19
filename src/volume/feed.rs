//! A list of changes that arrives while it is read, and that may break.
//!
//! When it breaks, the reader goes on by itself with everything that the list has not covered yet:
//! down to the next rung, in the middle of the cycle, without losing a change.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::seam::BlockFile;
use crate::units::Extent;
use crate::volume::{Change, ChangeError, Changes, allocated};
use crate::wire::BLOCK_BYTES;

/// Parts of a list that may wait to be read. Beyond it the sender is told to come back.
pub const FEED_QUEUE: usize = 8;

enum Part {
    Extents(Vec<Extent>),
    End,
    Broken,
}

/// The sending end. Dropping it without [`Feeder::end`] or [`Feeder::broken`] fails the reader.
pub struct Feeder {
    parts: SyncSender<Part>,
}

impl Feeder {
    /// Adds ranges, ascending and disjoint, also across calls. Gives them back when the queue is
    /// full; then try again when the reader has come further.
    ///
    /// # Errors
    /// `None` when the reader has ended, `Some` with the ranges when it has not come far enough.
    pub fn push(&self, extents: Vec<Extent>) -> Result<(), Option<Vec<Extent>>> {
        match self.parts.try_send(Part::Extents(extents)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Part::Extents(extents))) => Err(Some(extents)),
            Err(_) => Err(None),
        }
    }

    /// Says that the list is complete. Blocks while the queue is full.
    pub fn end(self) {
        // Whether the reader is still there to hear it makes no difference.
        drop(self.parts.send(Part::End));
    }

    /// Says that the list broke. Blocks while the queue is full.
    pub fn broken(self) {
        drop(self.parts.send(Part::Broken));
    }
}

/// What the ranges of a list mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gaps {
    /// What the list does not name has not changed.
    Unchanged,
    /// What the list does not name is zeros now.
    Zero,
}

/// A list for a volume of `size` bytes that is still to come. With `rest_is_zero`, what the list does
/// not name is zeros (a list of what is allocated); otherwise it is unchanged (a list of changes).
#[must_use]
pub fn feed(device: Arc<dyn BlockFile>, size: u64, rest_is_zero: bool) -> (Feeder, Changes) {
    let (sender, parts) = sync_channel(FEED_QUEUE);
    let feed = Feed {
        device,
        size,
        gaps: if rest_is_zero {
            Gaps::Zero
        } else {
            Gaps::Unchanged
        },
        parts,
        ready: Vec::new().into_iter(),
        position: 0,
        rest: None,
        ended: false,
    };
    (Feeder { parts: sender }, Box::new(feed))
}

struct Feed {
    device: Arc<dyn BlockFile>,
    size: u64,
    gaps: Gaps,
    parts: Receiver<Part>,
    ready: std::vec::IntoIter<Extent>,
    /// Everything below has been handed out or lies between ranges.
    position: u64,
    /// A range that waits behind the zeros before it, or everything after the list broke.
    rest: Option<Changes>,
    ended: bool,
}

impl Iterator for Feed {
    type Item = Result<Change, ChangeError>;

    fn next(&mut self) -> Option<Result<Change, ChangeError>> {
        loop {
            if let Some(rest) = &mut self.rest {
                match rest.next() {
                    Some(change) => return Some(change),
                    None => self.rest = None,
                }
            }
            if self.ended {
                return None;
            }
            if let Some(extent) = self.ready.next() {
                match self.place(extent) {
                    Ok(Some(change)) => return Some(Ok(change)),
                    Ok(None) => continue,
                    Err(e) => return self.fail(e),
                }
            }
            match self.parts.recv() {
                Ok(Part::Extents(extents)) => self.ready = extents.into_iter(),
                Ok(Part::End) => self.finish(),
                Ok(Part::Broken) => {
                    self.ended = true;
                    let device = self.device.clone();
                    self.rest = Some(allocated(device, self.position, self.size));
                }
                Err(_) => return self.fail(ChangeError::Abandoned),
            }
        }
    }
}

impl Feed {
    fn fail(&mut self, e: ChangeError) -> Option<Result<Change, ChangeError>> {
        self.ended = true;
        self.ready = Vec::new().into_iter();
        Some(Err(e))
    }

    /// The next range in whole blocks; what was handed out already is left out.
    fn place(&mut self, extent: Extent) -> Result<Option<Change>, ChangeError> {
        let invalid = |what: &str| Err(ChangeError::Invalid(format!("{extent:?} {what}")));
        if extent.offset.checked_add(extent.len).is_none() {
            return invalid("overflows");
        }
        // Blocks of the driver may be larger than the tail of the volume.
        let end = extent.end().next_multiple_of(BLOCK_BYTES).min(self.size);
        if end.next_multiple_of(BLOCK_BYTES) < self.position {
            return invalid("does not ascend");
        }
        let start = (extent.offset / BLOCK_BYTES * BLOCK_BYTES).max(self.position);
        if start >= end {
            return Ok(None);
        }
        let read = Change::Read(Extent::new(start, end - start));
        let gap = Extent::new(self.position, start - self.position);
        self.position = end;
        if self.gaps == Gaps::Zero && gap.len > 0 {
            self.rest = Some(Box::new(std::iter::once(Ok(read))));
            return Ok(Some(Change::Zero(gap)));
        }
        Ok(Some(read))
    }

    fn finish(&mut self) {
        self.ended = true;
        if self.gaps == Gaps::Zero && self.position < self.size {
            let gap = Extent::new(self.position, self.size - self.position);
            self.rest = Some(Box::new(std::iter::once(Ok(Change::Zero(gap)))));
        }
    }
}
