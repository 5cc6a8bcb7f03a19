//! One shipment: the threads that scan and pack, and how the loop talks to them.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::convert;
use crate::run::Input;
use crate::source::candidates::{Candidates, ListReader};
use crate::source::compare::Reference;
use crate::source::falling::Falling;
use crate::source::gather::Gathered;
use crate::source::list::Part;
use crate::source::pack::Packer;
use crate::source::scan::{Scan, ShipCount};
use crate::source::window::Window;
use protocol::changes::{BatchData, CycleId, CycleSum};
use protocol::pair::resync;
use protocol::pair::resync::{Compare, Plan};
use protocol::pair::{Cause, Refused};
use protocol::units::Point;
use storage::journal::{DigestLog, DigestReader};
use storage::seam::{BlockFile, Clock, Disk};
use storage::volume::{ChangeError, ReadError, Reader, ReaderConfig};
use wire::control::Compression;
use wire::{Digests, Encoded, Message};

/// Batches between scanning and packing, each of up to 1 MiB. Beyond it scanning waits.
const SCANNED_MAX: usize = 4;

/// What a shipment reports to the loop.
#[derive(Debug)]
pub enum ShipEvent {
    /// The operator's list broke; it waits for what to do instead.
    ListBroke(String),
    /// Everything was read and handed to the link; this is what it amounts to.
    Drained(CycleSum),
    /// It can't go on.
    Failed(Refused),
}

/// Everything that a shipment needs.
pub struct Job {
    /// The change set.
    pub id: CycleId,
    /// How changes are found.
    pub plan: Plan,
    /// What ends at or before this byte is at the target already.
    pub resume_at: u64,
    /// The size of the volume in bytes.
    pub size: u64,
    /// The volume.
    pub device: Arc<dyn BlockFile>,
    /// The metadata volume.
    pub disk: Arc<dyn Disk>,
    /// The operator's list.
    pub list: Option<mpsc::Receiver<Part>>,
    /// The digests kept here, and the cut that they are of.
    pub kept: Option<(Point, DigestReader)>,
    /// The most bytes a second that each side reads of a range that is verified.
    pub read_rate: Option<u64>,
    /// Whether to compress.
    pub compression: Compression,
    /// Measures time.
    pub clock: Arc<dyn Clock>,
    /// Words to the peer.
    pub words: mpsc::Sender<Message>,
    /// Batches to the peer.
    pub batches: mpsc::Sender<Encoded>,
    /// To the loop.
    pub inputs: mpsc::Sender<Input>,
    /// The runtime that the list comes from.
    pub runtime: Handle,
    /// Tells this shipment from earlier ones.
    pub number: u64,
    /// The most memory that open reads take together, in bytes.
    pub reader_bytes: usize,
    /// It fails when nothing was read for this long.
    pub stall: Duration,
}

/// A shipment under way, as the loop sees it. Dropping it stops it.
pub struct Shipment {
    /// Tells it from earlier ones.
    pub number: u64,
    /// What it has found so far.
    pub count: Arc<ShipCount>,
    /// What is under way.
    pub window: Arc<Window>,
    plans: Sender<Plan>,
    answers: Sender<Digests>,
    gathered: Arc<Mutex<Option<DigestLog>>>,
}

struct Worker {
    job: Job,
    count: Arc<ShipCount>,
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
            number: job.number,
            count: Arc::new(ShipCount::default()),
            window: Arc::new(Window::default()),
            plans,
            answers,
            gathered: Arc::default(),
        };
        let packer = Packer {
            cycle: job.id.cycle,
            compression: job.compression,
            clock: job.clock.clone(),
            window: shipment.window.clone(),
            link: job.batches.clone(),
        };
        let worker = Worker {
            job,
            count: shipment.count.clone(),
            plans: plan_queue,
            answers: answer_queue,
        };
        let gathered = shipment.gathered.clone();
        std::thread::Builder::new()
            .name("ferry-scan".into())
            .spawn(move || worker.run(packer, &gathered))
            .map_err(|error| convert::no_thread(&error))?;
        Ok(shipment)
    }

    /// What is not covered yet goes by this plan.
    pub fn fall(&self, plan: Plan) {
        // A shipment that has ended needs no plan.
        drop(self.plans.send(plan));
    }

    /// Digests from the standby.
    pub fn answer(&self, digests: Digests) {
        // At most as many are under way as were asked for, so the queue has a limit of its own.
        drop(self.answers.send(digests));
    }

    /// The digests gathered, once the shipment is drained.
    #[must_use]
    pub fn take_digests(&self) -> Option<DigestLog> {
        self.gathered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Shipment {
    fn drop(&mut self) {
        self.count.stopped.store(true, Ordering::Release);
        self.window.stop();
    }
}

impl Worker {
    fn run(self, packer: Packer, gathered: &Mutex<Option<DigestLog>>) {
        let (inputs, number) = (self.job.inputs.clone(), self.job.number);
        let event = match self.scan_and_pack(packer) {
            Ok((sum, log)) => {
                *gathered.lock().unwrap_or_else(PoisonError::into_inner) = log;
                ShipEvent::Drained(sum)
            }
            Err(refused) => ShipEvent::Failed(refused),
        };
        drop(inputs.blocking_send(Input::Ship(number, event)));
    }

    fn scan_and_pack(self, packer: Packer) -> Result<(CycleSum, Option<DigestLog>), Refused> {
        let (out, scanned) = sync_channel(SCANNED_MAX);
        let packing = std::thread::Builder::new()
            .name("ferry-pack".into())
            .spawn(move || packer.run(scanned))
            .map_err(|error| convert::no_thread(&error))?;
        let result = self.scan(out);
        let packed = packing
            .join()
            .unwrap_or_else(|_| Err(Refused::new(Cause::Internal, "packing panicked")));
        match (result, packed) {
            // What stopped the packer is why the scan could not hand on.
            (_, Err(packed)) => Err(packed),
            (result, Ok(())) => result,
        }
    }

    fn scan(self, out: SyncSender<BatchData>) -> Result<(CycleSum, Option<DigestLog>), Refused> {
        let gathered = self.gather()?;
        let Worker {
            job,
            count,
            plans,
            answers,
        } = self;
        // Only what is verified is named; of news there may be very many ranges.
        let (end, names) = match job.plan.candidates {
            resync::Candidates::Range(range) => (range.end().min(job.size), true),
            _ => (job.size, false),
        };
        let reference = Arc::new(Reference::new(
            job.plan.compare,
            job.kept.map(|(_, reader)| reader),
            job.words,
            answers,
            end,
            count.stopped.clone(),
        ));
        if let Some(rate) = job.read_rate {
            reference.limit(rate, job.runtime.clone());
        }
        let list = job.list.map(|parts| ListReader::new(parts, job.runtime));
        let plan = job.plan;
        let sends_all =
            plan.compare == Compare::Nothing && plan.candidates != resync::Candidates::Delta;
        let changes = Falling {
            candidates: Candidates::new(job.device.clone(), job.size, 0, plan.candidates, list),
            plan,
            device: job.device.clone(),
            size: job.size,
            reference: reference.clone(),
            plans,
            inputs: job.inputs,
            number: job.number,
            stopped: count.stopped.clone(),
        };
        // Where everything is sent there is nothing to look up, now or after a fall.
        let known = (!sends_all).then(|| reference.known());
        let config = ReaderConfig {
            budget_bytes: job.reader_bytes,
            ..ReaderConfig::default()
        };
        let reader = Reader::start(job.device, Box::new(changes), known, config, job.clock);
        let mut scan = Scan::new(Some(reference), gathered, out, count.clone(), job.resume_at);
        loop {
            if count.stopped.load(Ordering::Acquire) {
                return Err(Refused::new(Cause::Aborted, "the cycle was stopped"));
            }
            let read = reader.next(job.stall).map_err(read_failed)?;
            count
                .read
                .store(reader.counters().read_bytes, Ordering::Relaxed);
            match read {
                Some(read) => {
                    if names {
                        count.differs(&read.batch.regions);
                    }
                    scan.take(read)?;
                }
                None => return scan.finish(end),
            }
        }
    }

    fn gather(&self) -> Result<Option<Gathered>, Refused> {
        let kept = self.job.kept.as_ref().map(|(point, _)| *point);
        Gathered::of(
            self.job.disk.clone(),
            self.job.id,
            &self.job.plan,
            kept,
            self.job.size,
        )
    }
}

fn read_failed(error: ReadError) -> Refused {
    let cause = match &error {
        ReadError::Stalled { .. } => Cause::Stalled,
        ReadError::Cancelled | ReadError::Changes(ChangeError::Abandoned) => Cause::Aborted,
        ReadError::Disk(error) if error.source.kind() == io::ErrorKind::BrokenPipe => {
            Cause::PeerUnreachable
        }
        ReadError::Disk(_) | ReadError::Changes(_) => Cause::SourceReadError,
    };
    Refused::new(cause, error.to_string())
}
