//! The applier: writes batches to the volume with several writes under way, then flushes.
//!
//! Regions of a cycle are disjoint, so the order of writes does not matter, and doing it all again
//! after a crash gives the same image.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::seam::{BlockFile, DiskError};
use crate::volume::run::Run;
use buffers::{AlignedBuf, DIRECT_ALIGN};
use protocol::changes::{BATCH_BYTES_MAX, BatchData, RegionKind};
use protocol::units::Extent;

/// Batches that may wait to be written, for each thread. Beyond it the sender waits.
const QUEUE_PER_THREAD: usize = 2;

/// The most bytes of one write. Shorter ones leave the storage idle between them, longer ones keep
/// more memory busy.
const JOINED_BYTES_MAX: usize = 4 * BATCH_BYTES_MAX;

/// Threads beyond this bring nothing.
const THREADS_MAX: usize = 32;

/// Why applying ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// The volume could not be written or flushed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A region's data does not match its checksum.
    #[error("the region at byte {0} does not match its checksum: nothing of it was written")]
    Checksum(u64),
    /// The applier ended before everything was written.
    #[error("writing was stopped")]
    Stopped,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyReport {
    /// Bytes of data.
    pub data_bytes: u64,
    /// Bytes of zeros.
    pub zero_bytes: u64,
    /// Writes that the data took.
    pub writes: u64,
}

/// Writes batches in threads of its own, or where it was asked to on the caller's.
pub struct Applier {
    shared: Arc<Shared>,
    inline: bool,
}

struct Shared {
    device: Arc<dyn BlockFile>,
    queue: Mutex<Queue>,
    changed: Condvar,
    queue_max: usize,
    data_bytes: AtomicU64,
    zero_bytes: AtomicU64,
    writes: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<BatchData>,
    /// Batches handed over so far; they are numbered from 0.
    pushed: u64,
    /// The numbers of those that are being written.
    writing: Vec<u64>,
    error: Option<ApplyError>,
    ended: bool,
}

/// Everything that was handed to an applier up to a moment; more may be handed over meanwhile.
pub struct Written {
    shared: Arc<Shared>,
    /// Batches with lower numbers are meant.
    below: u64,
}

impl Applier {
    /// Starts an applier that writes to `device` with `threads` writes under way.
    #[must_use]
    pub fn start(device: Arc<dyn BlockFile>, threads: usize) -> Applier {
        let threads = threads.clamp(1, THREADS_MAX);
        let applier = Applier::with_queue(device, threads * QUEUE_PER_THREAD, false);
        for _ in 0..threads {
            let shared = applier.shared.clone();
            std::thread::spawn(move || shared.work());
        }
        applier
    }

    /// An applier without threads: a batch is written before [`Applier::push`] returns, so that runs
    /// can be repeated exactly.
    #[must_use]
    pub fn inline(device: Arc<dyn BlockFile>) -> Applier {
        Applier::with_queue(device, 1, true)
    }

    fn with_queue(device: Arc<dyn BlockFile>, queue_max: usize, inline: bool) -> Applier {
        let shared = Arc::new(Shared {
            device,
            queue: Mutex::default(),
            changed: Condvar::new(),
            queue_max,
            data_bytes: AtomicU64::new(0),
            zero_bytes: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        });
        Applier { shared, inline }
    }

    /// Hands a batch over; waits while too many are waiting.
    ///
    /// # Errors
    /// When an earlier one has failed.
    pub fn push(&self, batch: BatchData) -> Result<(), ApplyError> {
        if self.inline {
            return self.write_now(&batch);
        }
        let mut queue = self.shared.lock();
        while queue.waiting.len() >= self.shared.queue_max && queue.error.is_none() {
            queue = self.shared.wait(queue);
        }
        queue.check()?;
        queue.waiting.push_back(batch);
        queue.pushed += 1;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until everything handed over is written, and makes it durable.
    ///
    /// # Errors
    /// When a write or the flush has failed.
    pub fn flush(&self) -> Result<ApplyReport, ApplyError> {
        self.so_far().flush()?;
        Ok(self.report())
    }

    /// Everything that was handed over so far.
    #[must_use]
    pub fn so_far(&self) -> Written {
        Written {
            below: self.shared.lock().pushed,
            shared: self.shared.clone(),
        }
    }

    fn write_now(&self, batch: &BatchData) -> Result<(), ApplyError> {
        self.shared.lock().check()?;
        let result = self
            .shared
            .write(std::slice::from_ref(batch), &mut AlignedBuf::zeroed(0));
        self.shared.lock().error = result.clone().err();
        result
    }

    /// What was written so far.
    #[must_use]
    pub fn report(&self) -> ApplyReport {
        ApplyReport {
            data_bytes: self.shared.data_bytes.load(Ordering::Relaxed),
            zero_bytes: self.shared.zero_bytes.load(Ordering::Relaxed),
            writes: self.shared.writes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Written {
    /// Waits until all of it is written, and makes it durable.
    ///
    /// # Errors
    /// When a write or the flush has failed, or the applier was dropped meanwhile.
    pub fn flush(self) -> Result<(), ApplyError> {
        let mut queue = self.shared.lock();
        while !queue.wrote(self.below) && !queue.ended && queue.error.is_none() {
            queue = self.shared.wait(queue);
        }
        queue.check()?;
        if !queue.wrote(self.below) {
            return Err(ApplyError::Stopped);
        }
        drop(queue);
        Ok(self.shared.device.flush()?)
    }
}

impl Queue {
    fn check(&self) -> Result<(), ApplyError> {
        self.error.clone().map_or(Ok(()), Err)
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
    fn wrote(&self, below: u64) -> bool {
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed
            .wait(queue)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut buf = AlignedBuf::zeroed(JOINED_BYTES_MAX);
        while let Some((numbers, batches)) = self.take() {
            let result = self.write(&batches, &mut buf);
            drop(batches);
            let mut queue = self.lock();
            queue.writing.retain(|number| !numbers.contains(number));
            if let Err(e) = result {
                queue.error.get_or_insert(e);
                queue.waiting.clear();
            }
            self.changed.notify_all();
        }
    }

    /// The next batches: one, or several that lie side by side.
    fn take(&self) -> Option<(Range<u64>, Vec<BatchData>)> {
        let mut queue = self.lock();
        loop {
            if queue.ended || queue.error.is_some() {
                return None;
            }
            let first = queue.first_waiting();
            let batches = queue.joined();
            if !batches.is_empty() {
                let numbers = first..queue.first_waiting();
                queue.writing.extend(numbers.clone());
                self.changed.notify_all();
                return Some((numbers, batches));
            }
            queue = self.wait(queue);
        }
    }

    fn write(&self, batches: &[BatchData], buf: &mut AlignedBuf) -> Result<(), ApplyError> {
        // All checks come before the first write.
        for (region, data) in batches.iter().flat_map(BatchData::iter) {
            if let RegionKind::Data { crc } = region.kind
                && (crc32c::crc32c(data) != crc || data.len() as u64 != region.extent.len)
            {
                return Err(ApplyError::Checksum(region.extent.offset));
            }
        }
        let mut run = Run::new(buf);
        for (region, data) in batches.iter().flat_map(BatchData::iter) {
            match region.kind {
                RegionKind::Zero => self.zero(region.extent)?,
                RegionKind::Data { .. } => {
                    if !run.join(region.extent.offset, data) {
                        self.data(&mut run)?;
                        run.join(region.extent.offset, data);
                    }
                }
            }
        }
        self.data(&mut run)
    }

    fn zero(&self, extent: Extent) -> Result<(), ApplyError> {
        self.device.zero(extent)?;
        self.zero_bytes.fetch_add(extent.len, Ordering::Relaxed);
        Ok(())
    }

    fn data(&self, run: &mut Run<'_, '_>) -> Result<(), ApplyError> {
        let (offset, data) = run.finish();
        if data.is_empty() {
            return Ok(());
        }
        let (head, tail) = data.split_at(data.len() / DIRECT_ALIGN * DIRECT_ALIGN);
        for (at, part) in [(offset, head), (offset + head.len() as u64, tail)] {
            if !part.is_empty() {
                self.device.write_at(at, part)?;
            }
        }
        self.data_bytes
            .fetch_add(data.len() as u64, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
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
        queue.waiting.extend(all);
        queue.waiting.push_back(batch(6, RegionKind::Zero));
        queue.waiting.push_back(batch(7, data));
        queue.waiting.push_back(batch(9, data));
        let mut taken = || queue.joined().len();
        assert_eq!(taken(), JOINED_BYTES_MAX / BATCH_BYTES_MAX);
        assert_eq!(
            [taken(), taken(), taken(), taken(), taken()],
            [2, 1, 1, 1, 0]
        );
    }
}
