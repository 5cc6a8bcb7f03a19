//! Performs what the core asks for: connections in tasks, work on the volumes in threads.
//!
//! Nothing here waits. Whatever takes long reports its end as an input; what fails at once comes back
//! as one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::link::{BatchSink, PeerLink};
use crate::probe::probe;
use crate::receive::digests;
use crate::receive::thread;
use crate::receive::thread::{Item, Receiving};
use crate::runtime::Arrival;
use crate::setup::{Setup, SetupError};
use crate::ship::extent_feed::ExtentFeed;
use crate::ship::threads;
use crate::ship::threads::Shipment;
use crate::ship::throttle::Throttle;
use crate::status::StatusBoard;
use crate::superblock_writer::SuperblockWriter;
use mover_core::receive::apply::APPLY_THREADS;
use mover_core::state_files::StateFiles;
use mover_core::{Counters, Effect, Input, Moment, ReceiveEvent, Rules, ShipEvent, ShipWork, Work};
use protocol::changes::CycleSum;
use protocol::pair::{Cause, Refused};
use protocol::units::{Extent, PeerName, Point};
use storage::journal::SuperblockStore;
use storage::volume::Applier;
use transport::{Link as _, Session, TlsDir, dial};
use wire::control::Response;
use wire::{DigestRequest, Message, encode};

/// How long a peer that can't be reached is dialed again. It may still be starting.
const DIAL_AGAIN_FOR: Duration = Duration::from_secs(20);

/// The pause between two attempts to dial.
const DIAL_PAUSE: Duration = Duration::from_millis(250);

/// What performing needs.
pub struct Performer {
    setup: Setup,
    inputs: mpsc::Sender<Input>,
    arrivals: mpsc::Sender<Arrival>,
    files: Arc<Mutex<StateFiles>>,
    superblocks: SuperblockWriter,
    board: StatusBoard,
    feed: ExtentFeed,
    throttle: Arc<Throttle>,
    sink: BatchSink,
    links: BTreeMap<u64, PeerLink>,
    replies: BTreeMap<u64, oneshot::Sender<Response>>,
    /// Links and requests that there have been.
    count: u64,
    shipment: Option<(u64, Shipment)>,
    receiving: Option<Receiving>,
    digester: Option<(u64, mpsc::Sender<DigestRequest>)>,
    applied: Arc<AtomicU64>,
}

impl Performer {
    /// Performs with `setup`; reports go to `inputs` and `arrivals`.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn new(
        setup: Setup,
        store: Option<SuperblockStore>,
        board: StatusBoard,
        feed: ExtentFeed,
        inputs: mpsc::Sender<Input>,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Result<Performer, SetupError> {
        let superblocks = SuperblockWriter::start(store, setup.disk.clone(), inputs.clone())?;
        Ok(Performer {
            files: Arc::new(Mutex::new(StateFiles::open(
                setup.disk.clone(),
                Rules::default(),
            ))),
            superblocks,
            board,
            feed,
            throttle: Arc::new(Throttle::new(None)),
            sink: Arc::default(),
            links: BTreeMap::new(),
            replies: BTreeMap::new(),
            count: 0,
            shipment: None,
            receiving: None,
            digester: None,
            applied: Arc::default(),
            inputs,
            arrivals,
            setup,
        })
    }

    /// The cut that the kept digests are of, where they can be used.
    #[must_use]
    pub fn kept(&self) -> Option<Point> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.kept_reader(self.setup.size()).map(|(point, _)| point)
    }

    /// Compares some blocks of a standby's volume with the digests that are kept of its committed point;
    /// what does not match.
    #[must_use]
    pub fn probe(&self, committed: Point) -> Option<String> {
        let device = self
            .setup
            .device
            .clone()
            .filter(|_| !self.setup.read_only)?;
        probe(self.setup.disk.clone(), device, committed)
    }

    /// What can be seen now; `link` is the one that the core is on.
    #[must_use]
    pub fn moment(&self, link: Option<u64>) -> Moment {
        let link = link.and_then(|link| self.links.get(&link));
        let ship = self.shipment.as_ref().map(|(_, s)| s.counters());
        let receiving = self.receiving.as_ref();
        Moment {
            now_ms: self.setup.clock.monotonic_ms(),
            counters: Counters {
                wire: link.map_or(0, |link| link.count.bytes()),
                data_received: link.map_or(0, |link| link.count.data_received()),
                ship: ship.unwrap_or_default(),
                receive: receiving.map(Receiving::counters).unwrap_or_default(),
                read_back: receiving.map_or(0, Receiving::read_back),
                applied: self.applied.load(Ordering::Relaxed),
            },
            device_poisoned: self
                .setup
                .device
                .as_ref()
                .is_some_and(|device| device.is_poisoned()),
        }
    }

    /// What has arrived, as the core sees it.
    pub fn arrived(&mut self, arrival: Arrival) -> Input {
        match arrival {
            Arrival::Request(asked, reply) => {
                self.count += 1;
                self.replies.insert(self.count, reply);
                Input::Request(self.count, Box::new(asked.request))
            }
            Arrival::Accepted(session) => {
                let peer = session.peer().clone();
                Input::Accepted(self.start_link(*session), peer)
            }
            Arrival::Dialed(number, result) => {
                Input::Dialed(number, result.map(|session| self.start_link(*session)))
            }
        }
    }

    /// Lets go of work whose end is reported.
    pub fn note(&mut self, input: &Input) {
        match input {
            Input::Receive(number, event) if !matches!(event, ReceiveEvent::Durable(_)) => {
                self.stop_receiving(*number);
            }
            Input::Ship(number, event) if !matches!(event, ShipEvent::ListBroke(_)) => {
                self.shipment.take_if(|(now, _)| now == number);
            }
            _ => {}
        }
    }

    /// Performs an effect; what came of it, where that is known at once.
    pub fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Persist {
                number,
                superblock,
                over_damage,
            } => self.superblocks.save(number, superblock, over_damage),
            Effect::Send(link, message) => return self.send(link, message),
            Effect::SendLast(link, message) => self.send_last(link, message),
            Effect::Dial {
                number,
                address,
                peer,
            } => self.dial(number, address, peer),
            Effect::Hangup(link) => {
                self.links.remove(&link);
                self.digester.take_if(|(on, _)| *on == link);
            }
            Effect::SetBandwidth(rate) => self.throttle.set(rate),
            Effect::ExpectList(cycle, changes) => self.feed.expect(cycle, changes),
            Effect::DropList => self.feed.close(),
            Effect::Begin(number, work) => return self.begin(number, work),
            Effect::Stop(number) => self.stop(number),
            Effect::Seal(number, sum) => self.seal(number, sum),
            Effect::FallBack(number, plan) => self.shipping(number, |s| s.fall_back(plan)),
            Effect::Durable(number, through) => self.shipping(number, |s| s.durable(through)),
            Effect::Answer(number, digests) => self.shipping(number, |s| s.answer(digests)),
            Effect::ReadDigests {
                link,
                request,
                settle,
            } => return self.read_digests(link, request, settle),
            Effect::Reply(id, response) => {
                if let Some(reply) = self.replies.remove(&id) {
                    drop(reply.send(response));
                }
            }
            Effect::Show(status) => self.board.show(*status),
            Effect::Exit(_) => {}
        }
        None
    }

    fn start_link(&mut self, session: Session) -> u64 {
        self.count += 1;
        let link = PeerLink::start(
            self.count,
            session,
            self.inputs.clone(),
            self.throttle.clone(),
            self.sink.clone(),
        );
        self.links.insert(self.count, link);
        self.count
    }

    fn send(&self, link: u64, message: Message) -> Option<Input> {
        let sent = self.links.get(&link)?.send(message);
        let why = || "the peer does not read what is sent".to_string();
        (!sent).then(|| Input::LinkLost(link, why()))
    }

    /// What comes after all batches waits in their queue, not here.
    fn send_last(&self, link: u64, message: Message) {
        if let (Some(link), Ok(frame)) = (self.links.get(&link), encode(message)) {
            let batches = link.batches();
            tokio::spawn(async move { drop(batches.send(frame).await) });
        }
    }

    fn dial(&self, number: u64, address: String, peer: PeerName) {
        let (tls, arrivals) = (self.setup.tls.clone(), self.arrivals.clone());
        tokio::spawn(async move {
            let result = dial_until(&address, &tls, &peer).await.map(Box::new);
            drop(arrivals.send(Arrival::Dialed(number, result)).await);
        });
    }

    fn begin(&mut self, number: u64, work: Work) -> Option<Input> {
        match work {
            Work::Stage { .. } | Work::Overwrite { .. } => {
                let failed = |why| Input::Receive(number, ReceiveEvent::Failed(why));
                self.receive(number, work).err().map(failed)
            }
            Work::Ship(work) => {
                let failed = |why| Input::Ship(number, ShipEvent::Failed(why));
                self.ship(number, *work).err().map(failed)
            }
            Work::Apply { cycle, only } => {
                let failed = |why: Refused| Input::Written(number, Err(why.into()));
                self.apply(number, cycle, only).err().map(failed)
            }
            Work::Discard(what) => {
                self.in_thread(move |files| {
                    files.discard(what);
                    Input::Discarded(number)
                });
                None
            }
            Work::CommitDigests(cycle) => {
                self.in_thread(move |files| {
                    Input::DigestsCommitted(number, files.commit_digests(cycle))
                });
                None
            }
        }
    }

    fn receive(&mut self, number: u64, work: Work) -> Result<(), Refused> {
        let device = self.setup.device.clone().ok_or_else(no_device)?;
        let receiving = Receiving::start(thread::Job {
            number,
            work,
            device,
            files: self.files.clone(),
            clock: self.setup.clock.clone(),
            inputs: self.inputs.clone(),
            runtime: Handle::current(),
        })?;
        self.set_sink(Some(receiving.sink.clone()));
        self.receiving = Some(receiving);
        Ok(())
    }

    fn ship(&mut self, number: u64, work: ShipWork) -> Result<(), Refused> {
        let device = self.setup.device.clone().ok_or_else(no_device)?;
        let link = self.links.get(&work.link).ok_or_else(|| {
            Refused::new(Cause::PeerUnreachable, "the connection to the target ended")
        })?;
        let shipment = Shipment::start(threads::Job {
            number,
            device,
            files: self.files.clone(),
            feed: self.feed.clone(),
            clock: self.setup.clock.clone(),
            messages: link.messages(),
            batches: link.batches(),
            inputs: self.inputs.clone(),
            runtime: Handle::current(),
            reader_bytes: self.setup.reader_bytes,
            work,
        })?;
        self.shipment = Some((number, shipment));
        Ok(())
    }

    fn apply(
        &mut self,
        number: u64,
        cycle: Point,
        only: Option<Vec<Extent>>,
    ) -> Result<(), Refused> {
        let device = self.setup.device.clone().ok_or_else(no_device)?;
        self.applied = Arc::default();
        let (clock, done) = (self.setup.clock.clone(), self.applied.clone());
        let inputs = self.inputs.clone();
        self.in_thread(move |files| {
            let started = clock.monotonic_ms();
            let applier = Applier::start(device, APPLY_THREADS);
            let mut found = |ranges| {
                drop(inputs.blocking_send(Input::Unwritable(number, ranges)));
            };
            let result = files.apply((cycle, only.as_deref()), &applier, &done, &mut found);
            // Nothing is written any more once this is reported.
            drop(applier);
            Input::Written(number, result.map(|()| clock.monotonic_ms() - started))
        });
        Ok(())
    }

    /// Does a piece of work on the state volume's files in a thread of its own, and reports its end.
    fn in_thread(&self, work: impl FnOnce(&mut StateFiles) -> Input + Send + 'static) {
        let (files, inputs) = (self.files.clone(), self.inputs.clone());
        tokio::task::spawn_blocking(move || {
            let input = work(&mut files.lock().unwrap_or_else(PoisonError::into_inner));
            drop(inputs.blocking_send(input));
        });
    }

    fn stop(&mut self, number: u64) {
        self.shipping(number, Shipment::stop);
        self.stop_receiving(number);
    }

    fn stop_receiving(&mut self, number: u64) {
        if self.receiving.take_if(|r| r.number == number).is_some() {
            self.set_sink(None);
        }
    }

    fn seal(&self, number: u64, sum: CycleSum) {
        if let Some(receiving) = self.receiving.as_ref().filter(|r| r.number == number) {
            let sink = receiving.sink.clone();
            tokio::spawn(async move { drop(sink.send(Item::End(sum)).await) });
        }
    }

    fn shipping(&self, number: u64, tell: impl FnOnce(&Shipment)) {
        if let Some((now, shipment)) = &self.shipment
            && *now == number
        {
            tell(shipment);
        }
    }

    fn set_sink(&self, sink: Option<mpsc::Sender<Item>>) {
        *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = sink;
    }

    fn read_digests(&mut self, link: u64, request: DigestRequest, settle: bool) -> Option<Input> {
        if settle || self.digester.as_ref().is_none_or(|(on, _)| *on != link) {
            let device = self.setup.device.clone()?;
            match digests::start(link, device, self.inputs.clone()) {
                Ok(requests) => self.digester = Some((link, requests)),
                Err(refused) => return Some(Input::Digested(link, Err(refused))),
            }
        }
        // The core lets no more be under way than there is room for.
        let (_, requests) = self.digester.as_ref()?;
        let _room: Result<(), _> = requests.try_send(request);
        None
    }
}

fn no_device() -> Refused {
    Refused::new(Cause::Internal, "this mover has no device")
}

async fn dial_until(address: &str, tls: &TlsDir, expected: &PeerName) -> Result<Session, Refused> {
    let until = tokio::time::Instant::now() + DIAL_AGAIN_FOR;
    loop {
        match dial(address, tls).await {
            Ok(session) if session.peer() == expected => return Ok(session),
            Ok(session) => {
                return Err(Refused::new(
                    Cause::WrongIdentity,
                    format!("{address} is {}, not {expected}", session.peer()),
                ));
            }
            Err(error) if tokio::time::Instant::now() >= until => {
                return Err(Refused::new(Cause::PeerUnreachable, error.to_string()));
            }
            Err(error) => tracing::debug!(%error, "dialing again"),
        }
        tokio::time::sleep(DIAL_PAUSE).await;
    }
}
