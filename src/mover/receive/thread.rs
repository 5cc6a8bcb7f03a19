//! The thread that receives one cycle: it opens the sink, takes batches in, and makes them durable
//! window by window, in a thread beside it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::Span;

use mover_core::receive::apply::APPLY_THREADS;
use mover_core::receive::intake::Intake;
use mover_core::receive::open_sink::open_sink;
use mover_core::state_files::StateFiles;
use mover_core::{Input, ReceiveCounters, ReceiveEvent, Settings, Work, translate};
use protocol::changes::CycleSum;
use protocol::pair::{Cause, Refused};
use storage::seam::{BlockFile, Clock};
use storage::volume::Applier;
use wire::Batch;

/// Batches that wait to be checked, each up to about 1 MiB. Beyond it the link is not read.
const RECEIVED_MAX: usize = 4;

/// How long to wait for a batch before looking whether the cycle was stopped.
const RECHECK_AFTER: Duration = Duration::from_millis(100);

/// What goes to the thread.
#[derive(Debug)]
pub enum Item {
    /// A batch.
    Batch(Batch),
    /// That was all, and this is what it must come to.
    End(CycleSum),
}

/// How far it has come, in bytes; read by the host meanwhile.
#[derive(Debug, Default)]
struct ReceiveCount {
    data: AtomicU64,
    zero: AtomicU64,
    through: AtomicU64,
    read_back: AtomicU64,
    /// Whether the cycle is not wanted any more.
    stopped: AtomicBool,
}

/// Everything that receiving needs.
pub struct Job {
    /// Tells it from earlier ones.
    pub number: u64,
    /// What is opened.
    pub work: Work,
    /// The volume.
    pub device: Arc<dyn BlockFile>,
    /// The state volume's files.
    pub files: Arc<Mutex<StateFiles>>,
    /// Measures time.
    pub clock: Arc<dyn Clock>,
    /// To the core.
    pub inputs: mpsc::Sender<Input>,
    /// What waits is waited for on it.
    pub runtime: Handle,
}

/// A cycle that is being received. Dropping it stops it.
#[derive(Debug)]
pub struct Receiving {
    /// Tells it from earlier ones.
    pub number: u64,
    /// Where the link puts batches.
    pub sink: mpsc::Sender<Item>,
    count: Arc<ReceiveCount>,
}

struct Worker {
    job: Job,
    items: mpsc::Receiver<Item>,
    count: Arc<ReceiveCount>,
    flushing: Option<JoinHandle<Result<(), Refused>>>,
}

impl Receiving {
    /// Starts to receive.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(job: Job) -> Result<Receiving, Refused> {
        let (sink, items) = mpsc::channel(RECEIVED_MAX);
        let receiving = Receiving {
            number: job.number,
            sink,
            count: Arc::default(),
        };
        let worker = Worker {
            job,
            items,
            count: receiving.count.clone(),
            flushing: None,
        };
        let span = Span::current();
        std::thread::Builder::new()
            .name("ferry-receive".into())
            .spawn(move || span.in_scope(|| worker.run()))
            .map_err(|error| translate::no_thread(&error))?;
        Ok(receiving)
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> ReceiveCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReceiveCounters {
            data: read(&self.count.data),
            zero: read(&self.count.zero),
            through: read(&self.count.through),
        }
    }

    /// Bytes that were read back while it was opened.
    #[must_use]
    pub fn read_back(&self) -> u64 {
        self.count.read_back.load(Ordering::Relaxed)
    }

    /// Stops it; its end is still reported.
    pub fn stop(&self) {
        self.count.stopped.store(true, Ordering::Release);
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Worker {
    fn run(mut self) {
        let event = match self.receive() {
            _ if self.is_stopped() => ReceiveEvent::Stopped,
            Ok(true) => ReceiveEvent::Sealed,
            Ok(false) => ReceiveEvent::Stopped,
            Err(refused) => ReceiveEvent::Failed(refused),
        };
        self.report(event);
    }

    /// Receives everything; whether it is complete, checked and durable. Nothing of it is written any
    /// more once this returns.
    fn receive(&mut self) -> Result<bool, Refused> {
        let Some(mut intake) = self.open()? else {
            return Ok(false);
        };
        let through = intake.through();
        self.count.through.store(through, Ordering::Relaxed);
        drop(
            self.job
                .inputs
                .blocking_send(Input::Opened(self.job.number, through)),
        );
        let taken = self.take_in(&mut intake);
        // Nobody may find a flush of this cycle under way later.
        let flushed = self.flushed();
        if self.is_stopped() {
            return Ok(false);
        }
        self.files().received(intake.into_sink());
        taken.and_then(|complete| flushed.map(|()| complete))
    }

    fn open(&mut self) -> Result<Option<Intake>, Refused> {
        let (kept, disk) = {
            let mut files = self.files();
            files.close();
            (files.kept(), files.disk().clone())
        };
        let (job, size) = (&self.job, size_of(&self.job.work));
        let settings = Settings::default();
        let sink = open_sink(
            &job.work,
            job.device.clone(),
            &disk,
            kept,
            |device| Applier::start(device, APPLY_THREADS),
            &self.count.read_back,
            settings.rules,
        )?;
        Ok(sink.map(|sink| Intake::new(size, sink, job.clock.monotonic_ms(), settings)))
    }

    /// Takes in everything; false when it was stopped.
    fn take_in(&mut self, intake: &mut Intake) -> Result<bool, Refused> {
        loop {
            if self.is_stopped() {
                return Ok(false);
            }
            let items = &mut self.items;
            let waited = self
                .job
                .runtime
                .block_on(async { tokio::time::timeout(RECHECK_AFTER, items.recv()).await });
            match waited {
                Ok(Some(Item::Batch(batch))) => {
                    let taken = intake.batch(batch)?;
                    let count = &self.count;
                    count.data.fetch_add(taken.data, Ordering::Relaxed);
                    count.zero.fetch_add(taken.zero, Ordering::Relaxed);
                    count.through.store(intake.through(), Ordering::Relaxed);
                }
                Ok(Some(Item::End(sum))) => {
                    self.flushed()?;
                    intake.seal(sum)?;
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(_) => {}
            }
            self.flush_if_due(intake)?;
        }
    }

    fn flush_if_due(&mut self, intake: &mut Intake) -> Result<(), Refused> {
        if self.flushing.as_ref().is_some_and(|f| !f.is_finished()) {
            return Ok(());
        }
        self.flushed()?;
        let now = self.job.clock.monotonic_ms();
        if !intake.is_flush_due(now) {
            return Ok(());
        }
        let flush = intake.flush(now);
        let (inputs, number) = (self.job.inputs.clone(), self.job.number);
        let thread = std::thread::Builder::new()
            .name("ferry-flush".into())
            .spawn(move || {
                let event = ReceiveEvent::Durable(flush.run()?);
                drop(inputs.blocking_send(Input::Receive(number, event)));
                Ok(())
            })
            .map_err(|error| translate::no_thread(&error))?;
        self.flushing = Some(thread);
        Ok(())
    }

    /// Waits for the flush under way, if there is one.
    fn flushed(&mut self) -> Result<(), Refused> {
        let Some(flush) = self.flushing.take() else {
            return Ok(());
        };
        flush
            .join()
            .unwrap_or_else(|_| Err(Refused::new(Cause::Internal, "flushing panicked")))
    }

    fn is_stopped(&self) -> bool {
        self.count.stopped.load(Ordering::Acquire)
    }

    fn report(&self, event: ReceiveEvent) {
        let input = Input::Receive(self.job.number, event);
        drop(self.job.inputs.blocking_send(input));
    }

    fn files(&self) -> std::sync::MutexGuard<'_, StateFiles> {
        self.job
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The size of the cut that is received, in bytes.
fn size_of(work: &Work) -> u64 {
    match work {
        Work::Stage { spec, .. } => spec.size_bytes,
        Work::Overwrite { size, .. } => *size,
        _ => 0,
    }
}
