//! Shipping, driven one step at a time: the product's own pieces, without its threads.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::hosted_requests::SharedList;
use crate::link::{BATCHES_MAX, Net};
use crate::mover_host::Setup;
use mover_core::ship::candidates::{ListReader, Next};
use mover_core::ship::compare::{Lookup, Reference};
use mover_core::ship::count::ShipCount;
use mover_core::ship::fallback::Ranges;
use mover_core::ship::list::ExtentList;
use mover_core::ship::pack::Packer;
use mover_core::ship::pipeline::{Pieces, Sources, read_failed};
use mover_core::ship::scan::Scan;
use mover_core::ship::window::Window;
use mover_core::state_files::StateFiles;
use mover_core::{ShipCounters, ShipEvent, ShipWork};
use protocol::changes::{BatchData, CycleSum};
use protocol::pair::change_plan::{Compare, Plan};
use protocol::pair::{Cause, Refused};
use protocol::units::ChangeSource;
use storage::journal::DigestLog;
use storage::seam::{Clock, DiskError};
use storage::volume::{ChangeError, Changes, Known, Step, StepReader};
use wire::control::Compression;
use wire::{DigestRequest, Digests, Message};

/// Nothing takes any time: what compressing brings is not measured.
struct StoppedClock;

impl Clock for StoppedClock {
    fn monotonic_us(&self) -> u64 {
        0
    }

    fn wall_ms(&self) -> u64 {
        0
    }
}

/// What the reader and its driver share.
#[derive(Clone)]
struct Shared {
    ranges: Arc<Mutex<Ranges>>,
    /// Why the list broke, until it is reported.
    broken: Arc<Mutex<Option<String>>>,
    /// What has to be asked of the standby.
    questions: Arc<Mutex<VecDeque<DigestRequest>>>,
}

/// A shipment under way.
pub(super) struct Shipping {
    pub(super) number: u64,
    pub(super) work: ShipWork,
    /// Everything below this byte of the volume is durable at the target, by its own word.
    pub(super) durable_through: u64,
    /// The operator's list broke, and another change source has taken its place.
    pub(super) fell_back: bool,
    reported_broken: bool,
    shared: Shared,
    reference: Arc<Reference>,
    reader: StepReader,
    scan: Option<Scan>,
    packer: Packer,
    window: Window,
    count: Arc<ShipCount>,
    outbox: VecDeque<BatchData>,
    /// Everything is scanned: what it comes to.
    sum: Option<CycleSum>,
    log: Option<DigestLog>,
    end: u64,
    /// Nothing can be done before something comes.
    idle: bool,
}

impl Shipping {
    /// Begins what `work` asks for.
    pub(super) fn begin(
        number: u64,
        work: ShipWork,
        setup: &Setup,
        files: &mut StateFiles,
        list: &SharedList,
    ) -> Result<Shipping, ShipEvent> {
        let none = || Refused::new(Cause::Internal, "there is nothing to ship");
        let device = setup
            .device
            .clone()
            .ok_or_else(none)
            .map_err(ShipEvent::Failed)?;
        let kept = files.kept_for(&work, device.size(), &mut |_| {})?;
        let sources = Sources {
            device: device.clone(),
            disk: files.disk().clone(),
            list: parts_of(list, &work).map(ListReader::new),
            kept,
        };
        let count: Arc<ShipCount> = Arc::default();
        let pieces = Pieces::new(&work, sources, count.clone(), setup.settings)
            .map_err(ShipEvent::Failed)?;
        let shared = Shared {
            ranges: Arc::new(Mutex::new(pieces.ranges)),
            broken: Arc::default(),
            questions: Arc::default(),
        };
        let known = pieces.compares.then(|| shared.known(&pieces.reference));
        let limits = setup.settings.limits;
        let reader = StepReader::new(device, shared.changes(), known, limits);
        let compression = match setup.seed.is_multiple_of(2) {
            true => Compression::Off,
            false => Compression::Lz4,
        };
        Ok(Shipping {
            number,
            packer: Packer::new(work.id.cycle, compression, Arc::new(StoppedClock)),
            work,
            durable_through: 0,
            fell_back: false,
            reported_broken: false,
            shared,
            reference: pieces.reference,
            reader,
            scan: Some(pieces.scan),
            window: Window::new(limits),
            count,
            outbox: VecDeque::new(),
            sum: None,
            log: None,
            end: pieces.end,
            idle: false,
        })
    }

    /// How changes are found, and what they are compared with: another way finds them in other pieces.
    pub(super) fn way(&self) -> (ChangeSource, Compare) {
        (self.work.plan.change_source.source, self.work.plan.compare)
    }

    pub(super) fn counters(&self) -> ShipCounters {
        self.count.counters()
    }

    pub(super) fn take_log(&mut self) -> Option<DigestLog> {
        self.log.take()
    }

    pub(super) fn fall_back(&mut self, plan: &Plan) {
        self.fell_back |= lock(&self.shared.ranges).fall_back(plan);
        self.idle = false;
    }

    pub(super) fn durable(&mut self, through: u64) {
        self.window.durable(through);
        self.durable_through = self.durable_through.max(through);
    }

    pub(super) fn answer(&mut self, digests: Digests) {
        self.reference.answer(digests);
        self.idle = false;
    }

    /// A part of the operator's list has come.
    pub(super) fn wake(&mut self) {
        self.idle = false;
    }

    /// Whether there is anything to do that the link has room for.
    pub(super) fn can_step(&self, net: &Net, site: usize) -> bool {
        if self.outbox.is_empty() {
            return !self.idle;
        }
        self.window.is_open() && net.waiting(self.work.link, site) < BATCHES_MAX
    }

    /// One step: a batch is sent, or the next job is read.
    pub(super) fn step(&mut self, net: &mut Net, site: usize) -> Option<ShipEvent> {
        match self.try_step(net, site) {
            Ok(event) => event,
            Err(refused) => Some(ShipEvent::Failed(refused)),
        }
    }

    fn try_step(&mut self, net: &mut Net, site: usize) -> Result<Option<ShipEvent>, Refused> {
        if let Some(batch) = self.outbox.pop_front() {
            self.send(batch, net, site)?;
            return Ok(None);
        }
        if let Some(sum) = self.sum {
            let differing = self.count.differing().clone();
            return Ok(Some(ShipEvent::Drained { sum, differing }));
        }
        match self.reader.step().map_err(|error| read_failed(&error))? {
            Step::Batch(read) => {
                let read_bytes = read.scanned_bytes;
                self.count.read.fetch_add(read_bytes, Ordering::Relaxed);
                if let Some(scan) = &mut self.scan {
                    self.outbox.extend(scan.take(*read)?);
                }
            }
            Step::End => {
                if let Some(scan) = self.scan.take() {
                    let finished = scan.finish(self.end)?;
                    self.outbox.extend(finished.batches);
                    self.sum = Some(finished.sum);
                    self.log = finished.log;
                }
            }
            Step::NotYet => return Ok(self.wait(net, site)),
        }
        Ok(None)
    }

    /// Asks what has to be asked, and reports a list that broke.
    fn wait(&mut self, net: &mut Net, site: usize) -> Option<ShipEvent> {
        self.idle = true;
        for question in lock(&self.shared.questions).drain(..) {
            let message = Message::DigestRequest(question);
            net.say(self.work.link, site, message, false);
        }
        let why = lock(&self.shared.broken).take()?;
        if std::mem::replace(&mut self.reported_broken, true) {
            return None;
        }
        Some(ShipEvent::ListBroke(why))
    }

    fn send(&mut self, batch: BatchData, net: &mut Net, site: usize) -> Result<(), Refused> {
        let (through, bytes) = (batch.through, batch.data.len() as u64);
        let frame = self.packer.pack(batch)?;
        self.window.sent(through, bytes);
        net.send_batch(self.work.link, site, frame);
        Ok(())
    }
}

impl Shared {
    /// The ranges as the reader takes them, without waiting.
    fn changes(&self) -> Changes {
        let shared = self.clone();
        Box::new(std::iter::from_fn(move || {
            Some(match lock(&shared.ranges).advance() {
                Ok(Next::Change(change)) => Ok(change),
                Ok(Next::End) => return None,
                Ok(Next::Wait) => Err(ChangeError::NotYet),
                Ok(Next::Broken(why)) => {
                    *lock(&shared.broken) = Some(why);
                    Err(ChangeError::NotYet)
                }
                Err(error) => Err(error.into()),
            })
        }))
    }

    /// Digests to compare with; those that the standby has to be asked for are not there yet.
    fn known(&self, reference: &Arc<Reference>) -> Known {
        let (shared, reference) = (self.clone(), reference.clone());
        Known::new(move |first, out| match reference.lookup(first, out)? {
            Lookup::Known => Ok(()),
            Lookup::Ask(questions) => {
                lock(&shared.questions).extend(questions);
                let later = io::Error::from(io::ErrorKind::WouldBlock);
                Err(DiskError::new("read", "the standby's digests", later))
            }
        })
    }
}

/// The parts of the operator's list, where this cycle has one.
fn parts_of(list: &SharedList, work: &ShipWork) -> Option<mover_core::ship::candidates::Parts> {
    let expected = lock(list).as_ref().map(ExtentList::cycle);
    let list = list.clone();
    (expected == Some(work.id.cycle)).then(|| -> mover_core::ship::candidates::Parts {
        Box::new(move || lock(&list).as_mut().and_then(ExtentList::take))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
