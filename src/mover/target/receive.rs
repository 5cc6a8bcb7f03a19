//! Taking in one cycle: a thread that checks batches, stages them (or writes them in place) and
//! makes them durable window by window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::convert;
use crate::run::Input;
use crate::target::checkpoint::{Checkpoints, Flush};
use crate::target::in_place::InPlace;
use protocol::changes::{BatchData, BlockDigest, CycleSum, hash_blocks};
use protocol::pair::Refused;
use storage::journal::{DigestLog, Staging};
use storage::seam::Clock;
use wire::{Batch, unpack};

/// Batches that wait to be checked, each up to about 1 MiB. Beyond it the link is not read.
const RECEIVED_MAX: usize = 4;

/// How long to wait for a batch before looking whether the cycle was stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long to wait before telling the loop again what it had no room for.
const TELL_AGAIN: Duration = Duration::from_millis(1);

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

/// How cycle `number` tells the loop what has become of it.
#[derive(Clone, Debug)]
pub struct Reports {
    /// What the loop knows the cycle by.
    pub number: u64,
    /// To the loop.
    pub inputs: mpsc::Sender<Input>,
    /// Says whether the loop still listens.
    pub count: Arc<ReceiveCount>,
}

impl Reports {
    /// Waits while the loop has much to do, but not for a loop that has stopped the cycle: it waits
    /// for our threads to end.
    pub fn tell(&self, event: ReceiveEvent) {
        let mut input = Input::Receive(self.number, event);
        while let Err(mpsc::error::TrySendError::Full(back)) = self.inputs.try_send(input) {
            if self.count.stopped.load(Ordering::Acquire) {
                return;
            }
            input = back;
            std::thread::sleep(TELL_AGAIN);
        }
    }
}

/// Where batches land.
pub enum Landing {
    /// In staging, with the digests for the next cycle where they are of use.
    Staging(Box<Staging>, Option<Box<DigestLog>>),
    /// On the volume.
    InPlace(Box<InPlace>),
}

/// What stays of a landing that has ended.
#[derive(Default)]
pub struct Remains {
    /// The staged set, or its beginning.
    pub staging: Option<Box<Staging>>,
    /// The digests for the next cycle, where they are of use.
    pub log: Option<DigestLog>,
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
    size: u64,
    through: u64,
    /// Batches of this run that have come.
    batches: u64,
    landing: Landing,
    items: mpsc::Receiver<Item>,
    reports: Reports,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    checkpoints: Checkpoints,
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
        let reports = Reports {
            number,
            inputs,
            count: count.clone(),
        };
        let worker = Worker {
            size,
            through,
            batches: 0,
            landing,
            items,
            checkpoints: Checkpoints::new(reports.clone(), through, clock.monotonic_ms()),
            reports,
            clock,
            runtime,
        };
        let thread = std::thread::Builder::new()
            .name("ferry-receive".into())
            .spawn(move || worker.run())
            .map_err(|error| convert::no_thread(&error))?;
        Ok(Receiving {
            number,
            count,
            sink,
            thread: Some(thread),
        })
    }

    /// Stops, waits for the thread and for every write to the volume to end (D-6), and hands back what
    /// stays of where the batches have landed.
    #[must_use]
    pub fn stop(mut self) -> Remains {
        self.count.stopped.store(true, Ordering::Release);
        let landing = self.thread.take().and_then(|thread| thread.join().ok());
        landing.map(Landing::end).unwrap_or_default()
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

    /// Ends it. On return no write to the volume is under way.
    #[must_use]
    pub fn end(self) -> Remains {
        match self {
            Landing::Staging(staging, log) => Remains {
                staging: Some(staging),
                log: log.map(|log| *log),
            },
            Landing::InPlace(mut in_place) => Remains {
                staging: None,
                log: in_place.take_digests().ok().flatten(),
            },
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

    /// The flush that makes durable what was taken so far.
    #[must_use]
    pub fn checkpoint(&self) -> Flush {
        match self {
            Landing::Staging(staging, _) => {
                let checkpoint = staging.checkpoint();
                Flush::new(move || {
                    checkpoint
                        .run()
                        .map_err(|error| convert::journal_failed(&error))
                })
            }
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
        let taken = self.take_in();
        // Nobody may find a flush of this cycle under way later.
        let flushed = self.checkpoints.finish();
        let event = match taken.and_then(|sum| flushed.map(|()| sum)) {
            Ok(Some(sum)) => Some(ReceiveEvent::Sealed(sum)),
            Ok(None) => None,
            Err(refused) => Some(ReceiveEvent::Failed(refused)),
        };
        if let Some(event) = event {
            self.reports.tell(event);
        }
        self.landing
    }

    /// Takes in everything; `None` when it was stopped.
    fn take_in(&mut self) -> Result<Option<CycleSum>, Refused> {
        loop {
            if self.reports.count.stopped.load(Ordering::Acquire) {
                return Ok(None);
            }
            let items = &mut self.items;
            let waited = self
                .runtime
                .block_on(async { tokio::time::timeout(LOOK_AGAIN, items.recv()).await });
            match waited {
                Ok(Some(Item::Batch(batch))) => self.batch(batch)?,
                Ok(Some(Item::End(sum))) => {
                    self.checkpoints.finish()?;
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
        self.checkpoints.received(data);
        let count = &self.reports.count;
        count.data.fetch_add(data, Ordering::Relaxed);
        count.zero.fetch_add(all - data, Ordering::Relaxed);
        self.landing.append(batch, &digests)?;
        self.through = through;
        self.reports.count.through.store(through, Ordering::Relaxed);
        Ok(())
    }

    fn checkpoint_if_due(&mut self) -> Result<(), Refused> {
        let now = self.clock.monotonic_ms();
        if !self.checkpoints.due(self.through, now)? {
            return Ok(());
        }
        let flush = self.landing.checkpoint();
        self.checkpoints.begin(flush, self.through, now)
    }
}
