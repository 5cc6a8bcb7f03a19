//! The applier: writes batches to the volume with several writes under way, then flushes.
//!
//! Regions of a cycle are disjoint, so the order of writes does not matter, and doing it all again
//! after a crash gives the same image.
//!
//! A range that can't be written does not keep the others: they are written, and the flush fails with
//! the list of those that could not be. When an applier reports a failure, or is dropped, no write of
//! it is under way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::seam::{BlockFile, DiskError};
use crate::volume::apply_queue::{JOINED_BYTES_MAX, Queue};
use crate::volume::failed_writes::FailedWrites;
use crate::volume::writer::Writer;
use buffers::AlignedBuf;
use protocol::changes::BatchData;
use protocol::units::FailedRange;

/// Batches that may wait to be written, for each thread. Beyond it the sender waits.
const QUEUE_PER_THREAD: usize = 2;

/// Threads beyond this bring nothing.
const THREADS_MAX: usize = 32;

/// Short writes that are under way at once: none waits in a cache for others to be sorted and joined with
/// (D-14), so the storage is given many to choose from.
const SHORT_WRITES: usize = 16;

/// The most bytes of which short writes are joined from, in a buffer that costs little.
const SHORT_JOINED_BYTES: usize = 256 * 1024;

/// Why applying ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// The volume could not be written or flushed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Some ranges of the volume could not be written.
    #[error(transparent)]
    Ranges(#[from] FailedWrites),
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
    threads: Vec<JoinHandle<()>>,
    inline: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    queue_max: usize,
    /// Threads that write what is long.
    long_max: usize,
    writer: Writer,
}

/// Everything that was handed to an applier up to a moment; more may be handed over meanwhile.
pub struct Written {
    shared: Arc<Shared>,
    /// Batches with lower numbers are meant.
    below: u64,
}

impl Applier {
    /// Starts an applier that writes to `device` with `threads` writes under way; of short ones,
    /// [`SHORT_WRITES`].
    #[must_use]
    pub fn start(device: Arc<dyn BlockFile>, threads: usize) -> Applier {
        let threads = threads.clamp(1, THREADS_MAX);
        let mut applier = Applier::with_queue(device, threads, false);
        for _ in 0..threads.max(SHORT_WRITES) {
            let shared = applier.shared.clone();
            let thread = std::thread::spawn(move || shared.work());
            applier.threads.push(thread);
        }
        applier
    }

    /// An applier without threads: a batch is written before [`Applier::push`] returns, so that runs
    /// can be repeated exactly.
    #[must_use]
    pub fn inline(device: Arc<dyn BlockFile>) -> Applier {
        Applier::with_queue(device, 1, true)
    }

    fn with_queue(device: Arc<dyn BlockFile>, threads: usize, inline: bool) -> Applier {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            queue_max: threads * QUEUE_PER_THREAD,
            long_max: threads,
            writer: Writer::new(device),
        });
        Applier {
            shared,
            threads: Vec::new(),
            inline,
        }
    }

    /// Hands a batch over; waits while too many are waiting.
    ///
    /// # Errors
    /// When writing has stopped because of a failure. A range that can't be written is none until the
    /// next flush.
    pub fn push(&self, batch: BatchData) -> Result<(), ApplyError> {
        let mut queue = self.shared.lock();
        while queue.check().is_ok() && queue.len() >= self.shared.queue_max {
            queue = self.shared.wait(queue);
        }
        queue = self.shared.usable(queue)?;
        queue.push(batch);
        drop(queue);
        self.shared.changed.notify_all();
        if self.inline {
            self.shared
                .write_next(&mut [AlignedBuf::zeroed(0), AlignedBuf::zeroed(0)]);
            self.shared.lock().check()?;
        }
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
            below: self.shared.lock().pushed(),
            shared: self.shared.clone(),
        }
    }

    /// The ranges that could not be written so far, where they are more than `known`. What is known of the
    /// batches under way is among them.
    #[must_use]
    pub fn failed_beyond(&self, known: usize) -> Option<Vec<FailedRange>> {
        let queue = self.shared.lock();
        let failed = queue.failed().filter(|failed| failed.len() > known);
        failed.map(<[FailedRange]>::to_vec)
    }

    /// What was written so far.
    #[must_use]
    pub fn report(&self) -> ApplyReport {
        self.shared.writer.report()
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        self.shared.lock().end();
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // One that has panicked has no write under way either.
            drop(thread.join());
        }
    }
}

impl Written {
    /// Waits until all of it is written, and makes it durable.
    ///
    /// # Errors
    /// When a write or the flush has failed, or the applier was dropped meanwhile.
    pub fn flush(self) -> Result<(), ApplyError> {
        let shared = &self.shared;
        let mut queue = shared.lock();
        while queue.check().is_ok() && !queue.wrote(self.below) {
            queue = shared.wait(queue);
        }
        queue.stop_at_failed();
        drop(shared.usable(queue)?);
        shared.writer.flush().or_else(|error| {
            let mut queue = shared.lock();
            queue.stop(error);
            shared.usable(queue).map(drop)
        })
    }
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

    /// The queue, unless writing has stopped: then, once no write is under way, why (D-6).
    fn usable<'a>(
        &self,
        mut queue: MutexGuard<'a, Queue>,
    ) -> Result<MutexGuard<'a, Queue>, ApplyError> {
        if queue.check().is_ok() {
            return Ok(queue);
        }
        self.changed.notify_all();
        while !queue.is_idle() {
            queue = self.wait(queue);
        }
        queue.check().map(|()| queue)
    }

    fn work(&self) {
        // The memory of either is there once it is used.
        let mut bufs = [SHORT_JOINED_BYTES, JOINED_BYTES_MAX].map(AlignedBuf::zeroed);
        while self.write_next(&mut bufs) {}
    }

    /// Waits for the next batches and writes them; false once nothing more is written.
    fn write_next(&self, [short_buf, long_buf]: &mut [AlignedBuf; 2]) -> bool {
        let mut queue = self.lock();
        let taken = loop {
            if queue.check().is_err() {
                return false;
            }
            if let Some(taken) = queue.take(self.long_max) {
                break taken;
            }
            queue = self.wait(queue);
        };
        drop(queue);
        self.changed.notify_all();
        let mut failed = Vec::new();
        let buf = if taken.long { long_buf } else { short_buf };
        let result = self.writer.write(&taken.batches, buf, &mut failed);
        drop(taken.batches);
        let mut queue = self.lock();
        queue.taken_back(&taken.numbers, taken.long);
        for (extent, errno, error) in failed {
            queue.add_failed(extent, errno, error);
        }
        if let Err(stop) = result {
            queue.stop(stop);
        }
        drop(queue);
        self.changed.notify_all();
        true
    }
}
