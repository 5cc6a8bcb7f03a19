//! The applier's queue: batches that wait, those that are being written, and what has failed.

use std::collections::VecDeque;
use std::ops::Range;

use crate::seam::DiskError;
use crate::volume::apply::ApplyError;
use crate::volume::failed_writes::{FailedRange, FailedWrites};
use crate::volume::isolate::Stop;
use protocol::changes::{BATCH_BYTES_MAX, BatchData, RegionKind};
use protocol::units::Extent;

/// The most bytes of one write. Shorter ones leave the storage idle between them, longer ones keep
/// more memory busy.
pub(super) const JOINED_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// What is handed over, and how far it is.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<BatchData>,
    /// Batches handed over so far; they are numbered from 0.
    pushed: u64,
    /// The numbers of those that are being written.
    writing: Vec<u64>,
    /// The ranges that could not be written; writing goes on beside them.
    failed: Option<FailedWrites>,
    /// Whether writing has stopped because of them.
    halted: bool,
    /// Another reason why nothing more is written.
    error: Option<ApplyError>,
    ended: bool,
}

impl Queue {
    /// Adds a batch at the end.
    pub(super) fn push(&mut self, batch: BatchData) {
        self.waiting.push_back(batch);
        self.pushed += 1;
    }

    /// How many batches wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The number of the batch that is pushed next.
    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The next batches, which are being written from now on: one, or several that are adjacent.
    pub(super) fn take(&mut self) -> Option<(Range<u64>, Vec<BatchData>)> {
        let first = self.first_waiting();
        let batches = self.joined();
        let numbers = first..self.first_waiting();
        self.writing.extend(numbers.clone());
        (!batches.is_empty()).then_some((numbers, batches))
    }

    /// Notes that nobody writes these batches any more.
    pub(super) fn taken_back(&mut self, numbers: &Range<u64>) {
        self.writing.retain(|number| !numbers.contains(number));
    }

    /// Whether no write is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.writing.is_empty()
    }

    /// Notes a range that could not be written.
    pub(super) fn add_failed(&mut self, extent: Extent, errno: i32, error: DiskError) {
        let range = FailedRange { extent, errno };
        match &mut self.failed {
            Some(failed) => failed.add(range, error),
            none => *none = Some(FailedWrites::new(range, error)),
        }
    }

    /// Stops for good: nothing more is written. The first reason stays.
    pub(super) fn stop(&mut self, reason: Stop) {
        self.waiting.clear();
        match reason {
            Stop::Error(error) => drop(self.error.get_or_insert(error)),
            Stop::Exhausted(error) => match &mut self.failed {
                Some(failed) => {
                    failed.cut_short();
                    self.halted = true;
                }
                None => drop(self.error.get_or_insert(error.into())),
            },
        }
    }

    /// Stops for good where ranges have failed; what waits is not written any more.
    pub(super) fn stop_at_failed(&mut self) {
        if self.failed.is_some() {
            self.halted = true;
            self.waiting.clear();
        }
    }

    /// Ends: nobody wants what waits any more.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.waiting.clear();
    }

    /// Whether nothing more is written.
    ///
    /// # Errors
    /// Why that is so.
    pub(super) fn check(&self) -> Result<(), ApplyError> {
        match (&self.error, &self.failed) {
            (Some(error), _) => Err(error.clone()),
            (None, Some(failed)) if self.halted => Err(failed.clone().into()),
            (None, _) if self.ended => Err(ApplyError::Stopped),
            (None, _) => Ok(()),
        }
    }

    /// The number of the batch that is written next.
    fn first_waiting(&self) -> u64 {
        self.pushed - self.waiting.len() as u64
    }

    /// Takes the next batch, and those after it that go on where it ends.
    fn joined(&mut self) -> Vec<BatchData> {
        let mut batches: Vec<BatchData> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            bytes += next.data.len();
            let goes_on = batches.last().is_none_or(|last| {
                bytes <= JOINED_BYTES_MAX
                    && data_end(last).is_some_and(|end| data_start(next) == Some(end))
            });
            if !goes_on {
                break;
            }
            batches.extend(self.waiting.pop_front());
        }
        batches
    }

    /// Whether all batches with lower numbers are written.
    pub(super) fn wrote(&self, below: u64) -> bool {
        self.first_waiting() >= below && self.writing.iter().all(|number| *number >= below)
    }
}

/// Where a batch that ends with data ends.
fn data_end(batch: &BatchData) -> Option<u64> {
    let last = batch.regions.last()?;
    matches!(last.kind, RegionKind::Data { .. }).then(|| last.extent.end())
}

/// Where a batch that begins with data begins.
fn data_start(batch: &BatchData) -> Option<u64> {
    let first = batch.regions.first()?;
    matches!(first.kind, RegionKind::Data { .. }).then_some(first.extent.offset)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use protocol::changes::Region;

    #[test]
    fn batches_that_go_on_where_another_ends_are_written_together() {
        let mib = BATCH_BYTES_MAX as u64;
        let data = RegionKind::Data { crc: 0 };
        let batch = |at: u64, kind| BatchData {
            through: (at + 1) * mib,
            regions: vec![Region {
                extent: Extent::new(at * mib, mib),
                kind,
            }],
            data: match kind {
                RegionKind::Zero => Bytes::new(),
                RegionKind::Data { .. } => Bytes::from(vec![0; BATCH_BYTES_MAX]),
            },
        };
        let mut queue = Queue::default();
        let all = [0, 1, 2, 3, 4, 5].map(|at| batch(at, data));
        all.into_iter().for_each(|batch| queue.push(batch));
        queue.push(batch(6, RegionKind::Zero));
        queue.push(batch(7, data));
        queue.push(batch(9, data));
        let mut taken = || queue.joined().len();
        assert_eq!(taken(), JOINED_BYTES_MAX / BATCH_BYTES_MAX);
        assert_eq!(
            [taken(), taken(), taken(), taken(), taken()],
            [2, 1, 1, 1, 0]
        );
    }
}
