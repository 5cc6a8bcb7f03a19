//! Taking in one cycle: a thread that checks batches, stages them (or writes them in place) and
//! makes them durable window by window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::journal::{DigestLog, Staging};
use crate::mover::convert;
use crate::mover::run::Input;
use crate::mover::target::in_place::InPlace;
use crate::pair::{Cause, Refused};
use crate::seam::Clock;
use crate::wire::{Batch, BatchData, BlockDigest, CycleSum, WINDOW_BYTES, hash_blocks, unpack};

/// Batches that wait to be checked, each up to about 1 MiB. Beyond it the link is not read.
const RECEIVED_MAX: usize = 4;

/// What was received is made durable at least this often, in milliseconds, so that little has to be
/// sent again over a slow link.
const CHECKPOINT_MS: u64 = 2000;

/// How long to wait for a batch before looking whether the cycle was stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What goes to the thread.
#[derive(Debug)]
pub enum Item {
    /// A batch.
    Batch(Batch),
    /// That was all, and this is what it must amount to.
    End(CycleSum),
}

/// What the thread reports to the loop.
#[derive(Debug)]
pub enum ReceiveEvent {
    /// Everything below this byte of the volume is durable.
    Durable(u64),
    /// The set is whole, checked and durable.
    Sealed(CycleSum),
    /// It can't go on.
    Failed(Refused),
}

/// How far it has come, in bytes; read by the loop meanwhile.
#[derive(Debug, Default)]
pub struct ReceiveCount {
    /// Bytes of data.
    pub data: AtomicU64,
    /// Bytes of zeros.
    pub zero: AtomicU64,
    /// Everything below this byte of the volume has been received.
    pub through: AtomicU64,
    /// Whether the cycle is still wanted.
    pub stopped: AtomicBool,
}

/// Where batches land.
pub enum Landing {
    /// In staging, with the digests for the next cycle where they are of use.
    Staging(Box<Staging>, Option<Box<DigestLog>>),
    /// On the volume.
    InPlace(Box<InPlace>),
}

/// A cycle that is being received, as the loop sees it. Dropping it stops it.
#[derive(Debug)]
pub struct Receiving {
    /// Tells it from earlier ones.
    pub number: u64,
    /// How far it has come.
    pub count: Arc<ReceiveCount>,
    /// Where the link puts batches.
    pub sink: mpsc::Sender<Item>,
    thread: Option<std::thread::JoinHandle<Landing>>,
}

struct Worker {
    number: u64,
    size: u64,
    through: u64,
    /// Batches of this run that have come.
    batches: u64,
    landing: Landing,
    items: mpsc::Receiver<Item>,
    inputs: mpsc::Sender<Input>,
    count: Arc<ReceiveCount>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    /// Bytes of data since the last checkpoint, and when that was.
    unflushed: u64,
    flushed_at: u64,
    flushed_through: u64,
}

impl Receiving {
    /// Starts to take in a cycle for a cut of `size` bytes.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(
        number: u64,
        size: u64,
        landing: Landing,
        inputs: mpsc::Sender<Input>,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Result<Receiving, Refused> {
        let (sink, items) = mpsc::channel(RECEIVED_MAX);
        let count = Arc::new(ReceiveCount::default());
        let through = landing.through();
        count.through.store(through, Ordering::Relaxed);
        let worker = Worker {
            number,
            size,
            through,
            batches: 0,
            landing,
            items,
            inputs,
            count: count.clone(),
            flushed_at: clock.monotonic_ms(),
            clock,
            runtime,
            unflushed: 0,
            flushed_through: through,
        };
        let thread = std::thread::Builder::new()
            .name("ferry-receive".into())
            .spawn(move || worker.run())
            .map_err(|error| {
                Refused::new(
                    Cause::Internal,
                    format!("failed to start a thread: {error}"),
                )
            })?;
        Ok(Receiving {
            number,
            count,
            sink,
            thread: Some(thread),
        })
    }

    /// Stops, waits for the thread to end, and hands back where the batches have landed. The wait
    /// is for one disk operation at most.
    #[must_use]
    pub fn stop(mut self) -> Option<Landing> {
        self.count.stopped.store(true, Ordering::Release);
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.count.stopped.store(true, Ordering::Release);
    }
}

impl Landing {
    /// Everything below this byte of the volume is here.
    #[must_use]
    pub fn through(&self) -> u64 {
        match self {
            Landing::Staging(staging, _) => staging.through(),
            Landing::InPlace(in_place) => in_place.through(),
        }
    }

    /// Takes a batch that was checked; `digests` has one for each block of its data regions.
    ///
    /// # Errors
    /// When a disk fails or is full.
    pub fn append(&mut self, batch: BatchData, digests: &[BlockDigest]) -> Result<(), Refused> {
        match self {
            Landing::Staging(staging, log) => {
                staging
                    .append(&batch, digests)
                    .map_err(|error| convert::journal_failed(&error))?;
                if let Some(log) = log {
                    log.append(batch.through, &batch.regions, digests)
                        .map_err(|error| convert::journal_failed(&error))?;
                }
                Ok(())
            }
            Landing::InPlace(in_place) => in_place.write(batch, digests),
        }
    }

    /// Makes durable what was taken; gives back up to which byte of the volume.
    ///
    /// # Errors
    /// When a disk fails.
    pub fn checkpoint(&mut self) -> Result<u64, Refused> {
        match self {
            Landing::Staging(staging, _) => staging
                .checkpoint()
                .run()
                .map_err(|error| convert::journal_failed(&error)),
            Landing::InPlace(in_place) => in_place.checkpoint(),
        }
    }

    /// Ends it, if it amounts to `sum`; durable on return.
    ///
    /// # Errors
    /// When it amounts to something else, or a disk fails.
    pub fn seal(&mut self, sum: CycleSum) -> Result<(), Refused> {
        match self {
            Landing::Staging(staging, log) => {
                staging
                    .seal(sum)
                    .map_err(|error| convert::journal_failed(&error))?;
                if let Some(log) = log {
                    log.seal()
                        .map_err(|error| convert::journal_failed(&error))?;
                }
                Ok(())
            }
            Landing::InPlace(in_place) => in_place.seal(sum),
        }
    }
}

impl Worker {
    fn run(mut self) -> Landing {
        let event = match self.take_in() {
            Ok(Some(sum)) => Some(ReceiveEvent::Sealed(sum)),
            Ok(None) => None,
            Err(refused) => Some(ReceiveEvent::Failed(refused)),
        };
        if let Some(event) = event {
            let input = Input::Receive(self.number, event);
            drop(self.inputs.blocking_send(input));
        }
        self.landing
    }

    /// Takes in everything; `None` when it was stopped.
    fn take_in(&mut self) -> Result<Option<CycleSum>, Refused> {
        loop {
            if self.count.stopped.load(Ordering::Acquire) {
                return Ok(None);
            }
            let items = &mut self.items;
            let waited = self
                .runtime
                .block_on(async { tokio::time::timeout(LOOK_AGAIN, items.recv()).await });
            match waited {
                Ok(Some(Item::Batch(batch))) => self.batch(batch)?,
                Ok(Some(Item::End(sum))) => {
                    self.landing.seal(sum)?;
                    return Ok(Some(sum));
                }
                Ok(None) => return Ok(None),
                Err(_) => {}
            }
            self.checkpoint_if_due()?;
        }
    }

    fn batch(&mut self, batch: Batch) -> Result<(), Refused> {
        let batch = batch
            .is_next(self.batches)
            .and_then(|()| unpack(batch, self.through, self.size))
            .map_err(|error| convert::wire_failed(&error))?;
        self.batches += 1;
        let digests = hash_blocks(&batch);
        let through = batch.through;
        let data = batch.data.len() as u64;
        let all: u64 = batch.regions.iter().map(|region| region.extent.len).sum();
        self.unflushed += data;
        self.count.data.fetch_add(data, Ordering::Relaxed);
        self.count.zero.fetch_add(all - data, Ordering::Relaxed);
        self.landing.append(batch, &digests)?;
        self.through = through;
        self.count.through.store(through, Ordering::Relaxed);
        Ok(())
    }

    fn checkpoint_if_due(&mut self) -> Result<(), Refused> {
        let now = self.clock.monotonic_ms();
        let late = now.saturating_sub(self.flushed_at) >= CHECKPOINT_MS;
        let full = self.unflushed >= WINDOW_BYTES;
        if !(full || (late && self.through > self.flushed_through)) {
            return Ok(());
        }
        let through = self.landing.checkpoint()?;
        self.unflushed = 0;
        self.flushed_at = now;
        self.flushed_through = through;
        let input = Input::Receive(self.number, ReceiveEvent::Durable(through));
        drop(self.inputs.blocking_send(input));
        Ok(())
    }
}
