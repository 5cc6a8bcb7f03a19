//! The reader: several reads under way, batches in order of position, a bounded number of both.
//!
//! It ends when the list of changes has ended and every slot was given back, and by nothing else: a
//! batch of zeros is a batch like any other (semantics C, steps 3 to 5).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::seam::{BlockFile, Clock, DiskError};
use crate::volume::jobs::{Job, Planner};
use crate::volume::scan::{Scanned, scan};
use crate::volume::slots::{Slot, Slots};
use crate::volume::{ChangeError, Changes, OpenSlot, SlotState};
use buffers::{BufferPool, HUGE_PAGE, PooledBuf};
use protocol::changes::{BATCH_BYTES_MAX, BatchData, BlockDigest, Limits};

/// Threads beyond this bring nothing.
const THREADS_MAX: usize = 32;

/// Memory that a slot takes: its buffer, in a huge page of its own, and what describes it.
pub const SLOT_BYTES: usize = HUGE_PAGE + 64 * 1024;

const _: () = assert!(BATCH_BYTES_MAX <= HUGE_PAGE);

/// How a reader works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderConfig {
    /// Reads under way at once.
    pub threads: usize,
    /// The most memory that open batches take together, in bytes. At least two batches are always
    /// open, whatever this says.
    pub budget_bytes: usize,
    /// How much goes into one batch.
    pub limits: Limits,
}

impl Default for ReaderConfig {
    fn default() -> ReaderConfig {
        ReaderConfig {
            threads: 16,
            budget_bytes: 16 * SLOT_BYTES,
            limits: Limits::PRODUCT,
        }
    }
}

/// Digests of what the target holds already: blocks that match them are left out.
#[derive(Clone)]
pub struct Known(Arc<KnownFn>);

type KnownFn = dyn Fn(u64, &mut [Option<BlockDigest>]) -> Result<(), DiskError> + Send + Sync;

impl Known {
    /// Looks digests up with `read`, which fills its slice with those of the blocks from the given
    /// one; `None` means unknown, so that the block is shipped. It is called from several threads.
    pub fn new(
        read: impl Fn(u64, &mut [Option<BlockDigest>]) -> Result<(), DiskError> + Send + Sync + 'static,
    ) -> Known {
        Known(Arc::new(read))
    }

    pub(super) fn lookup(
        &self,
        first: u64,
        count: usize,
    ) -> Result<Vec<Option<BlockDigest>>, DiskError> {
        let mut out = vec![None; count];
        (self.0)(first, &mut out)?;
        Ok(out)
    }
}

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The device, or the kept digests, could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The list of changes broke.
    #[error(transparent)]
    Changes(#[from] ChangeError),
    /// Nothing was ready in time. The open slots say what hangs.
    #[error("nothing was read for {waited_ms} ms; open slots: {slots:?}")]
    Stalled {
        /// How long it was waited, in milliseconds.
        waited_ms: u64,
        /// What was open.
        slots: Vec<OpenSlot>,
    },
    /// The reader was cancelled.
    #[error("reading was cancelled")]
    Cancelled,
}

/// A batch as it was read. Its slot is given back when its data is dropped, so hold it no longer
/// than it takes to send it.
pub struct ReadBatch {
    /// Regions and data.
    pub batch: BatchData,
    /// The digests of the data regions' blocks, in order.
    pub digests: Vec<BlockDigest>,
    /// Bytes of the volume that were read for this batch.
    pub scanned_bytes: u64,
    /// Bytes of those that are the same as before.
    pub same_bytes: u64,
    slot: Option<Arc<Slot>>,
}

impl ReadBatch {
    /// What came out of a job, with its data.
    pub(super) fn of(
        job: &Job,
        scanned: Scanned,
        data: Bytes,
        slot: Option<Arc<Slot>>,
    ) -> ReadBatch {
        ReadBatch {
            batch: BatchData {
                through: job.span().end(),
                regions: scanned.regions,
                data,
            },
            digests: scanned.digests,
            scanned_bytes: job.changes.iter().map(|c| c.extent().len).sum(),
            same_bytes: scanned.same_bytes,
            slot,
        }
    }
}

/// What a reader has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounters {
    /// Slots that were taken.
    pub started: u64,
    /// Slots that were given back.
    pub finished: u64,
    /// Bytes read from the device.
    pub read_bytes: u64,
}

/// Reads changes in threads of its own.
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    device: Arc<dyn BlockFile>,
    known: Option<Known>,
    planner: Mutex<Planner>,
    slots: Arc<Slots>,
    out: Mutex<Out>,
    ready: Condvar,
    buffers: Arc<BufferPool>,
    read_bytes: AtomicU64,
}

#[derive(Default)]
struct Out {
    done: BTreeMap<u64, Result<ReadBatch, ReadError>>,
    next: u64,
    /// How many jobs there are, once that is known.
    total: Option<u64>,
    cancelled: bool,
}

/// What was read. Its buffer goes back to the pool, and then its slot.
struct Filled {
    buf: PooledBuf,
    _slot: Arc<Slot>,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buf
    }
}

impl Reader {
    /// Starts reading `changes` of `device`, leaving out what `known` shows to be the same.
    #[must_use]
    pub fn start(
        device: Arc<dyn BlockFile>,
        changes: Changes,
        known: Option<Known>,
        config: ReaderConfig,
        clock: Arc<dyn Clock>,
    ) -> Reader {
        let window = (config.budget_bytes / SLOT_BYTES).max(2);
        let shared = Arc::new(Shared {
            device,
            known,
            planner: Mutex::new(Planner::new(changes, config.limits)),
            slots: Slots::new(window, clock),
            out: Mutex::default(),
            ready: Condvar::new(),
            buffers: Arc::default(),
            read_bytes: AtomicU64::new(0),
        });
        for _ in 0..config.threads.clamp(1, THREADS_MAX).min(window) {
            let shared = shared.clone();
            std::thread::spawn(move || shared.work());
        }
        Reader { shared }
    }

    /// The next batch in order of position; `None` at the end. Waits at most `stall`.
    ///
    /// # Errors
    /// When reading failed, stalled or was cancelled. It stays so.
    pub fn next(&self, stall: Duration) -> Result<Option<ReadBatch>, ReadError> {
        let out = lock(&self.shared.out);
        let waiting = |out: &mut Out| {
            !out.cancelled && !out.done.contains_key(&out.next) && out.total != Some(out.next)
        };
        let (mut out, timeout) = self
            .shared
            .ready
            .wait_timeout_while(out, stall, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            drop(out);
            let slots = self.open_slots();
            self.cancel();
            return Err(ReadError::Stalled {
                waited_ms: u64::try_from(stall.as_millis()).unwrap_or(u64::MAX),
                slots,
            });
        }
        if out.cancelled {
            return Err(ReadError::Cancelled);
        }
        let next = out.next;
        let Some(result) = out.done.remove(&next) else {
            return Ok(None);
        };
        out.next += 1;
        drop(out);
        match result {
            Ok(batch) => {
                if let Some(slot) = &batch.slot {
                    slot.enter(SlotState::Sending, None);
                }
                Ok(Some(batch))
            }
            Err(e) => {
                self.cancel();
                Err(e)
            }
        }
    }

    /// Stops reading. Batches that were handed out keep their slots until they are dropped.
    pub fn cancel(&self) {
        let waiting = {
            let mut out = lock(&self.shared.out);
            out.cancelled = true;
            std::mem::take(&mut out.done)
        };
        drop(waiting);
        self.shared.slots.close();
        self.shared.ready.notify_all();
    }

    /// What is open now, oldest first.
    #[must_use]
    pub fn open_slots(&self) -> Vec<OpenSlot> {
        self.shared.slots.open()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> ReadCounters {
        let (started, finished) = self.shared.slots.started_finished();
        ReadCounters {
            started,
            finished,
            read_bytes: self.shared.read_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Shared {
    fn work(self: Arc<Shared>) {
        while let Some(slot) = self.slots.take() {
            // The slot comes first, so that the batch that everyone waits for always has one.
            let (index, job) = {
                let mut planner = lock(&self.planner);
                (planner.next_index(), planner.next_job())
            };
            let result = match job {
                Ok(Some(job)) => self.read(&job, slot),
                Ok(None) => {
                    self.finish(index);
                    return;
                }
                Err(e) => {
                    self.put(index, Err(e.into()));
                    self.finish(index + 1);
                    return;
                }
            };
            self.put(index, result);
        }
    }

    fn read(&self, job: &Job, slot: Slot) -> Result<ReadBatch, ReadError> {
        let span = job.span();
        slot.enter(SlotState::Reading, Some(span));
        let slot = Arc::new(slot);
        let mut buf = self.buffers.take(BATCH_BYTES_MAX);
        let scanned = scan(&*self.device, job, self.known.as_ref(), &mut buf)?;
        buf.truncate(scanned.data_len);
        let filled = Filled {
            buf,
            _slot: slot.clone(),
        };
        self.read_bytes
            .fetch_add(job.read_bytes as u64, Ordering::Relaxed);
        slot.enter(SlotState::Ready, None);
        Ok(ReadBatch::of(
            job,
            scanned,
            Bytes::from_owner(filled),
            Some(slot),
        ))
    }

    fn put(&self, index: u64, result: Result<ReadBatch, ReadError>) {
        let mut out = lock(&self.out);
        if out.cancelled {
            drop(out);
            drop(result);
            return;
        }
        out.done.insert(index, result);
        self.ready.notify_all();
    }

    fn finish(&self, total: u64) {
        let mut out = lock(&self.out);
        out.total = Some(out.total.map_or(total, |t| t.max(total)));
        self.ready.notify_all();
        drop(out);
        self.slots.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked left nothing half-done behind these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
