//! One shipment: the threads that scan and pack, and how they are asked to fall back or to stop.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing::Span;

use crate::ship::ask::Asker;
use crate::ship::changes::WaitingRanges;
use crate::ship::extent_feed::ExtentFeed;
use crate::ship::flow::Flow;
use mover_core::ship::candidates::ListReader;
use mover_core::ship::count::ShipCount;
use mover_core::ship::pack::Packer;
use mover_core::ship::pipeline::{Pieces, Sources, read_failed};
use mover_core::state_files::StateFiles;
use mover_core::{Input, Settings, ShipCounters, ShipEvent, ShipWork, translate};
use protocol::changes::{BatchData, CycleSum};
use protocol::pair::change_plan::Plan;
use protocol::pair::{Cause, Refused};
use protocol::units::Point;
use storage::journal::{DigestLog, DigestReader};
use storage::seam::{BlockFile, Clock};
use storage::volume::{Reader, ReaderConfig};
use wire::{Digests, Encoded, Message};

/// Batches between scanning and packing, each of up to 1 MiB. Beyond it scanning waits.
const SCANNED_MAX: usize = 4;

/// Everything that a shipment needs.
pub struct Job {
    /// Tells this shipment from earlier ones.
    pub number: u64,
    /// What it works by.
    pub work: ShipWork,
    /// The volume.
    pub device: Arc<dyn BlockFile>,
    /// The state volume's files.
    pub files: Arc<Mutex<StateFiles>>,
    /// Where the operator's list comes in.
    pub feed: ExtentFeed,
    /// Measures time.
    pub clock: Arc<dyn Clock>,
    /// Messages to the peer.
    pub messages: mpsc::Sender<Message>,
    /// Batches to the peer.
    pub batches: mpsc::Sender<Encoded>,
    /// To the core.
    pub inputs: mpsc::Sender<Input>,
    /// What waits is waited for on it.
    pub runtime: Handle,
    /// The most memory that open reads take together, in bytes.
    pub reader_bytes: usize,
}

/// A shipment under way. Dropping it stops it.
pub struct Shipment {
    count: Arc<ShipCount>,
    flow: Arc<Flow>,
    reader: Arc<OnceLock<Arc<Reader>>>,
    plans: Sender<Plan>,
    answers: Sender<Digests>,
}

/// The kept digests and the cut that they are of.
type Kept = Option<(Point, DigestReader)>;

struct Worker {
    job: Job,
    count: Arc<ShipCount>,
    flow: Arc<Flow>,
    reader: Arc<OnceLock<Arc<Reader>>>,
    plans: Receiver<Plan>,
    answers: Receiver<Digests>,
}

impl Shipment {
    /// Starts a shipment.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(job: Job) -> Result<Shipment, Refused> {
        let (plans, plan_queue) = channel();
        let (answers, answer_queue) = channel();
        let shipment = Shipment {
            count: Arc::default(),
            flow: Arc::default(),
            reader: Arc::default(),
            plans,
            answers,
        };
        let worker = Worker {
            job,
            count: shipment.count.clone(),
            flow: shipment.flow.clone(),
            reader: shipment.reader.clone(),
            plans: plan_queue,
            answers: answer_queue,
        };
        let span = Span::current();
        std::thread::Builder::new()
            .name("ferry-scan".into())
            .spawn(move || span.in_scope(|| worker.run()))
            .map_err(|error| translate::no_thread(&error))?;
        Ok(shipment)
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> ShipCounters {
        self.count.counters()
    }

    /// What is not covered yet goes by this plan.
    pub fn fall_back(&self, plan: Plan) {
        // A shipment that has ended needs no plan.
        drop(self.plans.send(plan));
    }

    /// Digests from the standby.
    pub fn answer(&self, digests: Digests) {
        // At most as many are under way as were asked for, so the queue has a limit of its own.
        drop(self.answers.send(digests));
    }

    /// Everything below byte `through` of the volume is durable at the target.
    pub fn durable(&self, through: u64) {
        self.flow.durable(through);
    }

    /// Stops it; its end is still reported.
    pub fn stop(&self) {
        self.count.stopped.store(true, Ordering::Release);
        self.flow.stop();
        if let Some(reader) = self.reader.get() {
            reader.cancel();
        }
    }
}

impl Drop for Shipment {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Worker {
    fn run(self) {
        let (inputs, number) = (self.job.inputs.clone(), self.job.number);
        let (files, count) = (self.job.files.clone(), self.count.clone());
        let result = self.ship();
        let event = match result {
            _ if count.stopped.load(Ordering::Acquire) => ShipEvent::Stopped,
            Ok((sum, log)) => {
                lock(&files).shipped(log);
                let differing = count.differing().clone();
                ShipEvent::Drained { sum, differing }
            }
            Err(event) => event,
        };
        drop(inputs.blocking_send(Input::Ship(number, event)));
    }

    fn ship(self) -> Result<(CycleSum, Option<DigestLog>), ShipEvent> {
        let (size, count) = (self.job.device.size(), self.count.clone());
        // It moves as long as pages are read.
        let mut proved = |bytes| {
            count.looked.fetch_add(bytes, Ordering::Relaxed);
        };
        let kept = lock(&self.job.files).kept_for(&self.job.work, size, &mut proved)?;
        self.scan_and_pack(kept).map_err(ShipEvent::Failed)
    }

    fn scan_and_pack(self, kept: Kept) -> Result<(CycleSum, Option<DigestLog>), Refused> {
        let (out, scanned) = sync_channel(SCANNED_MAX);
        let packer = Packer::new(
            self.job.work.id.cycle,
            self.job.work.compression,
            self.job.clock.clone(),
        );
        let sending = Sending {
            packer,
            flow: self.flow.clone(),
            link: self.job.batches.clone(),
            clock: self.job.clock.clone(),
        };
        let span = Span::current();
        let packing = std::thread::Builder::new()
            .name("ferry-pack".into())
            .spawn(move || span.in_scope(|| sending.run(scanned)))
            .map_err(|error| translate::no_thread(&error))?;
        let result = self.scan(&out, kept);
        drop(out);
        let packed = packing
            .join()
            .unwrap_or_else(|_| Err(Refused::new(Cause::Internal, "packing panicked")));
        match (result, packed) {
            // What stopped the packer is why the scan could not hand on.
            (_, Err(packed)) => Err(packed),
            (result, Ok(())) => result,
        }
    }

    fn scan(
        self,
        out: &SyncSender<BatchData>,
        kept: Kept,
    ) -> Result<(CycleSum, Option<DigestLog>), Refused> {
        let Worker {
            job,
            count,
            reader: slot,
            plans,
            answers,
            ..
        } = self;
        let sources = {
            let mut files = lock(&job.files);
            files.close();
            Sources {
                device: job.device.clone(),
                disk: files.disk().clone(),
                list: job.feed.parts(job.work.id.cycle).map(ListReader::new),
                kept,
            }
        };
        let pieces = Pieces::new(&job.work, sources, count.clone(), Settings::default())?;
        let asker = Asker::new(
            pieces.reference.clone(),
            job.messages,
            answers,
            count.clone(),
            job.work.read_rate,
            job.runtime,
        );
        let changes = WaitingRanges {
            ranges: pieces.ranges,
            feed: job.feed,
            plans,
            inputs: job.inputs,
            number: job.number,
            count: count.clone(),
        };
        // Where everything is sent there is nothing to look up, now or after falling back.
        let known = pieces.compares.then(|| asker.known());
        let config = ReaderConfig {
            budget_bytes: job.reader_bytes,
            ..ReaderConfig::default()
        };
        let reader = Reader::start(job.device, Box::new(changes), known, config, job.clock);
        let reader = Arc::new(reader);
        drop(slot.set(reader.clone()));
        let stall = Duration::from_millis(job.work.stall_ms);
        let mut scan = pieces.scan;
        loop {
            if count.stopped.load(Ordering::Acquire) {
                return Err(Refused::new(Cause::Aborted, "the cycle was stopped"));
            }
            let read = reader.next(stall).map_err(|error| read_failed(&error))?;
            let read_bytes = reader.counters().read_bytes;
            count.read.store(read_bytes, Ordering::Relaxed);
            let Some(read) = read else {
                let finished = scan.finish(pieces.end)?;
                hand_on(out, finished.batches)?;
                return Ok((finished.sum, finished.log));
            };
            hand_on(out, scan.take(read)?)?;
        }
    }
}

/// The thread that packs.
struct Sending {
    packer: Packer,
    flow: Arc<Flow>,
    link: mpsc::Sender<Encoded>,
    clock: Arc<dyn Clock>,
}

impl Sending {
    /// Packs and sends what comes until nothing more comes.
    fn run(mut self, batches: Receiver<BatchData>) -> Result<(), Refused> {
        for batch in batches {
            if !self.flow.wait() {
                return Err(Refused::new(Cause::Aborted, "the cycle was stopped"));
            }
            let (through, len) = (batch.through, batch.data.len() as u64);
            let frame = self.packer.pack(batch)?;
            let bytes = frame.wire_bytes();
            self.flow.sent(through, len);
            let started = self.clock.monotonic_us();
            self.link.blocking_send(frame).map_err(|_| link_ended())?;
            let took = self.clock.monotonic_us().saturating_sub(started);
            self.packer.note_sent(bytes, took);
        }
        Ok(())
    }
}

fn hand_on(out: &SyncSender<BatchData>, batches: Vec<BatchData>) -> Result<(), Refused> {
    for batch in batches {
        out.send(batch).map_err(|_| link_ended())?;
    }
    Ok(())
}

fn link_ended() -> Refused {
    Refused::new(Cause::PeerUnreachable, "the connection to the target ended")
}

fn lock(files: &Mutex<StateFiles>) -> std::sync::MutexGuard<'_, StateFiles> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}
