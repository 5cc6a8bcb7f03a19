//! The applier's queue: batches that wait, those that are being written, and what has failed.

use std::collections::VecDeque;
use std::ops::Range;

use crate::seam::DiskError;
use crate::volume::apply::ApplyError;
use crate::volume::failed_writes::FailedWrites;
use crate::volume::isolate::Stop;
use protocol::changes::{BATCH_BYTES_MAX, BatchData, Region, RegionKind};
use protocol::units::{Extent, FailedRange};

/// The most bytes of one write. Shorter ones leave the storage idle between them, longer ones keep
/// more memory busy.
pub(super) const JOINED_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// Regions of fewer bytes than this are short: the storage is as busy with one as with a long one, so more
/// of them are written at once.
const LONG_BYTES: u64 = 64 * 1024;

/// Short regions that one thread writes, one after the other: the rest of their batch goes to others, so
/// that as many writes are under way as there are threads.
const SHORT_REGIONS_MAX: usize = 16;

/// Batches that one thread writes.
pub(super) struct Taken {
    /// Their numbers.
    pub(super) numbers: Range<u64>,
    /// What they hold.
    pub(super) batches: Vec<BatchData>,
    /// Whether their writes are long.
    pub(super) long: bool,
}

/// What is handed over, and how far it is.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<BatchData>,
    /// Batches handed over so far; they are numbered from 0.
    pushed: u64,
    /// The numbers of those that are being written.
    writing: Vec<u64>,
    /// How many threads are at long writes.
    writing_long: usize,
    /// The ranges that could not be written; writing goes on beside them.
    failed: Option<FailedWrites>,
    /// Whether writing has stopped because of them.
    halted: bool,
    /// Another reason why nothing more is written.
    error: Option<ApplyError>,
    ended: bool,
}

impl Queue {
    /// Adds a batch at the end; one of many short regions in parts.
    pub(super) fn push(&mut self, batch: BatchData) {
        for part in parts(batch) {
            self.waiting.push_back(part);
            self.pushed += 1;
        }
    }

    /// How many batches wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The number of the batch that is pushed next.
    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The next batches, which are being written from now on: one, or several that are adjacent. Where they
    /// are long, `None` while `long_max` such are being written.
    pub(super) fn take(&mut self, long_max: usize) -> Option<Taken> {
        let long = self.waiting.front().is_some_and(is_long);
        let first = self.first_waiting();
        if long && self.writing_long >= long_max {
            return None;
        }
        let batches = self.joined();
        let numbers = first..self.first_waiting();
        if batches.is_empty() {
            return None;
        }
        self.writing.extend(numbers.clone());
        self.writing_long += usize::from(long);
        Some(Taken {
            numbers,
            batches,
            long,
        })
    }

    /// Notes that nobody writes these batches any more.
    pub(super) fn taken_back(&mut self, numbers: &Range<u64>, long: bool) {
        self.writing.retain(|number| !numbers.contains(number));
        self.writing_long -= usize::from(long);
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

    /// The ranges that could not be written.
    pub(super) fn failed(&self) -> Option<&[FailedRange]> {
        self.failed.as_ref().map(FailedWrites::ranges)
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

/// A batch of short regions in parts of [`SHORT_REGIONS_MAX`]; any other as it is.
fn parts(batch: BatchData) -> Vec<BatchData> {
    if batch.regions.len() <= SHORT_REGIONS_MAX || is_long(&batch) {
        return vec![batch];
    }
    let mut data = batch.data.clone();
    let part = |regions: &[Region]| {
        let bytes: u64 = regions.iter().map(Region::data_len).sum();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        BatchData {
            through: batch.through,
            regions: regions.to_vec(),
            data: data.split_to(bytes.min(data.len())),
        }
    };
    batch.regions.chunks(SHORT_REGIONS_MAX).map(part).collect()
}

/// Whether the writes of a batch are long on average. Zeros are: the storage makes them by itself.
fn is_long(batch: &BatchData) -> bool {
    let data = batch
        .regions
        .iter()
        .filter(|region| region.kind != RegionKind::Zero);
    batch.data.len() as u64 >= LONG_BYTES * data.count() as u64
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

    #[test]
    fn a_batch_of_short_regions_is_shared_out_and_nothing_of_it_is_lost() {
        let block = 4096;
        let region = |at: u64| Region {
            extent: Extent::new(at * 2 * block, block),
            kind: match at % 5 {
                0 => RegionKind::Zero,
                _ => RegionKind::Data { crc: 0 },
            },
        };
        let regions: Vec<Region> = (0..50).map(region).collect();
        let data: Vec<u8> = (0..40_u8)
            .flat_map(|at| vec![at; usize::try_from(block).unwrap()])
            .collect();
        let batch = BatchData {
            through: 7,
            regions,
            data: data.into(),
        };
        let all = parts(batch.clone());
        assert_eq!(all.len(), 50_usize.div_ceil(SHORT_REGIONS_MAX));
        let again: Vec<_> = all.iter().flat_map(BatchData::iter).collect();
        assert_eq!(again, batch.iter().collect::<Vec<_>>());
    }

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
