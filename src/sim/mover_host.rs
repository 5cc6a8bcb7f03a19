//! A host for the mover's core: the effects that the runtime performs with tasks and threads are
//! performed here on simulated disks and links, one at a time, at once or later, by seed.
//!
//! Nothing is decided here. What a fuse does not let through is never performed: the process is dead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::fuse::Fuse;
use crate::hosted_receive::Receiving;
use crate::hosted_requests::SharedList;
use crate::hosted_ship::Shipping;
use crate::link::{Arrival, Net};
use crate::mutations;
use crate::rules::Wrong;
use mover_core::receive::digests::{read_digests, settle};
use mover_core::ship::list::ExtentList;
use mover_core::state_files::StateFiles;
use mover_core::{
    Config, Core, Counters, Effect, Found, Input, Moment, NotWritten, ReceiveEvent, Settings,
    ShipEvent, Unusable, Work, blank_status,
};
use protocol::pair::Refused;
use protocol::units::{Extent, PairName, PeerName, Point, SiteName, VolumeId};
use storage::journal::{JournalError, Superblock, SuperblockStore};
use storage::seam::{BlockFile, Disk};
use storage::volume::Applier;
use wire::control::{MoverStatus, Request, Response};
use wire::{DigestRequest, Message};

/// What a process is given at its start.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) site: usize,
    pub(super) name: SiteName,
    pub(super) pair: PairName,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) device: Option<Arc<dyn BlockFile>>,
    pub(super) read_only: bool,
    pub(super) volume: Option<VolumeId>,
    pub(super) fuse: Fuse,
    pub(super) wrong: Option<Wrong>,
    pub(super) settings: Settings,
    pub(super) seed: u64,
}

/// A superblock that is not saved yet.
struct Save {
    number: u64,
    superblock: Box<Superblock>,
    over_damage: bool,
}

/// A process.
pub(super) struct MoverHost {
    pub(super) setup: Setup,
    core: Core,
    store: Option<SuperblockStore>,
    files: StateFiles,
    random: StdRng,
    status: MoverStatus,
    pub(super) replies: BTreeMap<u64, Response>,
    pub(super) requests: u64,
    save: Option<Save>,
    /// Since when a peer is dialed, and under which number.
    pub(super) dialing: Option<(u64, u64)>,
    /// Work that has begun and of which nothing is done yet.
    work: Option<(u64, Work)>,
    /// The end of work that was stopped, not reported yet.
    stopped: Option<Input>,
    pub(super) shipping: Option<Shipping>,
    pub(super) receiving: Option<Receiving>,
    pub(super) list: SharedList,
    /// Parts of the list that the operator has not sent yet.
    pub(super) parts: VecDeque<Request>,
    asks: VecDeque<(u64, DigestRequest, bool)>,
    counters: Counters,
    /// Until when no device answers, and until when nothing is opened, in milliseconds.
    hangs_until: u64,
    opens_at: u64,
    /// The process has ended by itself.
    pub(super) exited: bool,
}

impl MoverHost {
    /// Starts a process, and what it has to do first.
    pub(super) fn start(setup: Setup, now: u64, net: &mut Net) -> MoverHost {
        let (store, superblock) = match SuperblockStore::open(setup.disk.clone()) {
            Ok((store, superblock)) => (Some(store), Ok(superblock)),
            Err(error) => (None, Err(Unusable::of(&error))),
        };
        let files = StateFiles::open(setup.disk.clone(), setup.settings.rules);
        let size = setup.device.as_ref().map(|device| device.size());
        let config = Config {
            site: setup.name.clone(),
            pair: setup.pair.clone(),
            device_bytes: size,
            read_only: setup.read_only,
            // What the simulated application writes has no structure; its volumes pass for formatted.
            file_system: true,
            volume: setup.volume.clone(),
            rules: setup.settings.rules,
        };
        let kept = files.kept_reader(size.unwrap_or(0)).map(|(point, _)| point);
        let found = Found {
            superblock,
            kept,
            doubt: None,
        };
        let at = Moment {
            now_ms: now,
            ..Moment::default()
        };
        let (core, first) = Core::open(config, found, at);
        let mut host = MoverHost {
            core,
            store,
            files,
            random: StdRng::seed_from_u64(setup.seed),
            status: blank_status(setup.name.clone()),
            replies: BTreeMap::new(),
            requests: 0,
            save: None,
            dialing: None,
            work: None,
            stopped: None,
            shipping: None,
            receiving: None,
            list: SharedList::default(),
            parts: VecDeque::new(),
            asks: VecDeque::new(),
            counters: Counters::default(),
            hangs_until: 0,
            opens_at: 0,
            exited: false,
            setup,
        };
        host.perform_all(first, net, now);
        host
    }

    /// What the mover shows of itself.
    pub(super) fn status(&self) -> &MoverStatus {
        &self.status
    }

    /// The connection to the peer that is in use.
    pub(super) fn link(&self) -> Option<u64> {
        self.core.link()
    }

    /// Hands the core an input and performs what follows.
    pub(super) fn feed(&mut self, input: Input, net: &mut Net, now: u64) {
        if self.exited || self.setup.fuse.blown().is_some() {
            return;
        }
        if let Some(shipping) = &self.shipping {
            self.counters.ship = shipping.counters();
        }
        if let Some(receiving) = &self.receiving {
            self.counters.receive = receiving.counters();
        }
        let at = Moment {
            now_ms: now,
            counters: self.counters,
            device_poisoned: self.setup.device.as_ref().is_some_and(|d| d.is_poisoned()),
        };
        let effects = self.core.take(at, input);
        self.perform_all(effects, net, now);
    }

    fn perform_all(&mut self, effects: Vec<Effect>, net: &mut Net, now: u64) {
        for effect in effects {
            if self.exited || !self.setup.fuse.pass() {
                return;
            }
            self.perform(effect, net, now);
        }
    }

    fn perform(&mut self, effect: Effect, net: &mut Net, now: u64) {
        let site = self.setup.site;
        match effect {
            Effect::Persist {
                number,
                superblock,
                over_damage,
            } => {
                self.save = Some(Save {
                    number,
                    superblock,
                    over_damage,
                });
                // A disk is fast, most of the time.
                if self.random.random_range(0..8) > 0 {
                    self.save(net, now);
                }
            }
            Effect::Send(link, message) => net.say(link, site, message, false),
            Effect::SendLast(link, message) => net.say(link, site, message, true),
            Effect::Dial { number, .. } => self.dialing = Some((number, now)),
            Effect::Hangup(link) => {
                net.hang_up(link, site);
                self.asks.retain(|(on, ..)| *on != link);
            }
            Effect::SetBandwidth(_) => {}
            Effect::ExpectList(cycle, changes) => {
                self.set_list(Some(ExtentList::new(cycle, changes)));
            }
            Effect::DropList => self.set_list(None),
            Effect::Begin(number, work) => self.work = Some((number, work)),
            Effect::Stop(number) => self.stop(number, net, now),
            Effect::Seal(number, sum) => {
                if let Some(receiving) = self.receiving.as_mut().filter(|r| r.number == number) {
                    receiving.end(sum);
                }
            }
            Effect::FallBack(number, plan) => self.shipping(number, |s| s.fall_back(&plan)),
            Effect::Durable(number, through) => self.shipping(number, |s| s.durable(through)),
            Effect::Answer(number, digests) => self.shipping(number, |s| s.answer(digests)),
            Effect::ReadDigests {
                link,
                request,
                settle,
            } => self.asks.push_back((link, request, settle)),
            Effect::Reply(id, response) => {
                self.replies.insert(id, response);
            }
            Effect::Show(status) => self.show(*status),
            Effect::Exit(_) => self.exited = true,
        }
    }

    /// What has changed gets the next version.
    fn show(&mut self, mut status: MoverStatus) {
        status.version = self.status.version;
        if status != self.status {
            status.version += 1;
            self.status = status;
        }
    }

    /// Whether a superblock waits to be saved.
    pub(super) fn can_save(&self) -> bool {
        self.save.is_some()
    }

    /// Saves the superblock that waits.
    pub(super) fn save(&mut self, net: &mut Net, now: u64) {
        let Some(save) = self.save.take() else {
            return;
        };
        let result = self.write(&save).map_err(|error| error.to_string());
        self.feed(Input::Persisted(save.number, result), net, now);
    }

    fn write(&mut self, save: &Save) -> Result<(), JournalError> {
        if save.over_damage {
            self.store = Some(SuperblockStore::over_damage(self.setup.disk.clone())?);
        }
        match &mut self.store {
            Some(store) => store.save(&save.superblock),
            None => Err(JournalError::OutOfOrder("there is no superblock".into())),
        }
    }

    /// A mover has connected.
    pub(super) fn accepted(&mut self, link: u64, peer: SiteName, net: &mut Net, now: u64) {
        let peer = PeerName::Mover {
            site: peer,
            pair: self.setup.pair.clone(),
        };
        self.feed(Input::Accepted(link, peer), net, now);
    }

    /// Dialing has ended.
    pub(super) fn dialed(&mut self, result: Result<u64, Refused>, net: &mut Net, now: u64) {
        if let Some((number, _)) = self.dialing.take() {
            self.feed(Input::Dialed(number, result), net, now);
        }
    }

    /// Takes what arrives on a link. Batches go straight to the receiver, if there is one.
    pub(super) fn arrived(&mut self, link: u64, arrival: Arrival, net: &mut Net, now: u64) {
        let input = match arrival {
            Arrival::Lost(why) => Input::LinkLost(link, why),
            Arrival::Message(message) => match *message {
                Message::Batch(batch) if self.receiving.is_some() => {
                    if let Some(receiving) = &mut self.receiving {
                        receiving.batch(batch);
                    }
                    return;
                }
                message => Input::Message(link, message),
            },
        };
        self.feed(input, net, now);
    }

    /// No device answers before `hangs_until`, nothing is opened before `opens_at`, in milliseconds.
    pub(super) fn slow_until(&mut self, hangs_until: u64, opens_at: u64) {
        self.hangs_until = hangs_until;
        self.opens_at = opens_at;
    }

    /// Whether work waits to be done.
    pub(super) fn has_work(&self) -> bool {
        self.work.is_some() || self.stopped.is_some()
    }

    /// Whether work that waits can be done now.
    pub(super) fn can_work(&self, now: u64) -> bool {
        let opens = self.work.as_ref().is_some_and(|(_, work)| work.receives());
        self.has_work() && now >= self.hangs_until && (now >= self.opens_at || !opens)
    }

    /// Time has passed. What takes long to be opened is read back meanwhile.
    pub(super) fn tick(&mut self, net: &mut Net, now: u64) {
        if now < self.opens_at && now >= self.hangs_until && self.work.is_some() {
            self.counters.read_back += 1;
        }
        self.feed(Input::Tick, net, now);
    }

    /// Does the work that waits, or reports the end of what was stopped.
    pub(super) fn work(&mut self, net: &mut Net, now: u64) {
        if let Some(input) = self.stopped.take() {
            return self.feed(input, net, now);
        }
        let Some((number, work)) = self.work.take() else {
            return;
        };
        let input = match work {
            Work::Stage { .. } | Work::Overwrite { .. } => self.open(number, &work, now),
            Work::Apply { cycle, only } => {
                Input::Written(number, self.apply(cycle, only.as_deref()))
            }
            Work::Discard(what) => {
                self.files.discard(what);
                Input::Discarded(number)
            }
            Work::CommitDigests(cycle) => {
                Input::DigestsCommitted(number, self.files.commit_digests(cycle))
            }
            Work::Ship(work) => match self.ship(number, *work) {
                Ok(()) => return,
                Err(event) => Input::Ship(number, event),
            },
        };
        self.feed(input, net, now);
    }

    fn open(&mut self, number: u64, work: &Work, now: u64) -> Input {
        self.files.close();
        let read_back = AtomicU64::new(0);
        let opened = Receiving::open(number, work, &self.setup, &self.files, &read_back, now);
        self.counters.read_back += read_back.load(Ordering::Relaxed);
        match opened {
            Ok(receiving) => {
                let through = receiving.through();
                self.receiving = Some(receiving);
                Input::Opened(number, through)
            }
            Err(refused) => Input::Receive(number, ReceiveEvent::Failed(refused)),
        }
    }

    fn apply(&mut self, cycle: Point, only: Option<&[Extent]>) -> Result<u64, NotWritten> {
        let Some(device) = self.setup.device.clone() else {
            return Ok(0);
        };
        let applier = Applier::inline(mutations::device(self.setup.wrong, device));
        let done = AtomicU64::new(0);
        let applied = (self.files).apply((cycle, only), &applier, &done, &mut |_| {});
        self.counters.applied += done.load(Ordering::Relaxed);
        applied.map(|()| 1)
    }

    fn ship(&mut self, number: u64, work: mover_core::ShipWork) -> Result<(), ShipEvent> {
        self.files.close();
        let shipping = Shipping::begin(number, work, &self.setup, &mut self.files, &self.list)?;
        self.shipping = Some(shipping);
        Ok(())
    }

    fn stop(&mut self, number: u64, net: &mut Net, now: u64) {
        let end = if let Some((_, work)) = self.work.take_if(|(waiting, _)| *waiting == number) {
            match work.ships() {
                true => Input::Ship(number, ShipEvent::Stopped),
                false => Input::Receive(number, ReceiveEvent::Stopped),
            }
        } else if self.shipping.take_if(|s| s.number == number).is_some() {
            Input::Ship(number, ShipEvent::Stopped)
        } else if self.receiving.take_if(|r| r.number == number).is_some() {
            self.files.close();
            Input::Receive(number, ReceiveEvent::Stopped)
        } else {
            return;
        };
        self.stopped = Some(end);
        // A thread may take a while to notice.
        if self.random.random() && now >= self.hangs_until {
            self.work(net, now);
        }
    }

    /// Whether the shipment has work that the link has room for.
    pub(super) fn can_ship(&self, net: &Net, now: u64) -> bool {
        let shipping = self.shipping.as_ref().filter(|_| now >= self.hangs_until);
        shipping.is_some_and(|s| s.can_step(net, self.setup.site))
    }

    /// One step of the shipment.
    pub(super) fn ship_step(&mut self, net: &mut Net, now: u64) {
        let site = self.setup.site;
        let Some(shipping) = &mut self.shipping else {
            return;
        };
        let number = shipping.number;
        let event = shipping.step(net, site);
        let Some(event) = event else {
            return;
        };
        if !matches!(event, ShipEvent::ListBroke(_))
            && let Some(mut shipping) = self.shipping.take()
        {
            self.counters.ship = shipping.counters();
            self.files.shipped(shipping.take_log());
        }
        self.feed(Input::Ship(number, event), net, now);
    }

    /// Whether the receiver has anything to do.
    pub(super) fn can_receive(&self, now: u64) -> bool {
        let receiving = self.receiving.as_ref().filter(|_| now >= self.hangs_until);
        receiving.is_some_and(|r| r.can_step(now))
    }

    /// One step of the receiver.
    pub(super) fn receive_step(&mut self, net: &mut Net, now: u64) {
        let later = self.random.random_range(0..3) == 0;
        let Some(receiving) = &mut self.receiving else {
            return;
        };
        let number = receiving.number;
        let Some(event) = receiving.step(now, later) else {
            return;
        };
        if !matches!(event, ReceiveEvent::Durable(_))
            && let Some(receiving) = self.receiving.take()
        {
            self.counters.receive = receiving.counters();
            self.files.received(receiving.into_sink());
        }
        self.feed(Input::Receive(number, event), net, now);
    }

    /// Whether the source waits for digests of this side's image.
    pub(super) fn can_answer(&self, now: u64) -> bool {
        !self.asks.is_empty() && now >= self.hangs_until
    }

    /// Reads the digests that were asked for first.
    pub(super) fn answer(&mut self, net: &mut Net, now: u64) {
        let (Some((link, request, first)), Some(device)) =
            (self.asks.pop_front(), self.setup.device.clone())
        else {
            return;
        };
        let settled = match first {
            true => settle(&*device),
            false => Ok(()),
        };
        let result = settled.and_then(|()| read_digests(&*device, request));
        self.feed(Input::Digested(link, result), net, now);
    }

    fn shipping(&mut self, number: u64, tell: impl FnOnce(&mut Shipping)) {
        if let Some(shipping) = self.shipping.as_mut().filter(|s| s.number == number) {
            tell(shipping);
        }
    }
}
