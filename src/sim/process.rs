//! A mover's process: the real protocol and journal, with what the mover does in threads done a piece
//! at a time, in the same order of effects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::fuse::Fuse;
use crate::link::Net;
use crate::rules::Wrong;
use crate::ship::{Blocks, Shipment};
use mover_core::digest_commit::commit_digests as keep;
use mover_core::receive::apply::write_staged;
use mover_core::receive::in_place::InPlace;
use mover_core::receive::open_sink::Sink as Landing;
use mover_core::receive::staging::{discard, staging_for};
use mover_core::ship::gather::Gathered;
use mover_core::translate;
use protocol::changes::{CycleDigest, CycleId, CycleSum};
use protocol::pair::change_plan::Plan;
use protocol::pair::message::{Begin, Hello};
use protocol::pair::side::{Command, Event};
use protocol::pair::source::Ship;
use protocol::pair::{Action, Cause, Outcome, Record, Refused, Side, target};
use protocol::units::{Decision, ImageState, Point, SiteName};
use storage::journal::{DigestLog, DigestStore, Staging, StagingSpec, Superblock, SuperblockStore};
use storage::seam::{BlockFile, Disk};
use storage::volume::Applier;
use wire::{Batch, DigestRequest};

/// What a process is given at its start.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) site: usize,
    pub(super) name: SiteName,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) device: Option<Arc<dyn BlockFile>>,
    pub(super) fuse: Fuse,
    pub(super) wrong: Option<Wrong>,
}

/// The operator's order to ship.
#[derive(Clone)]
pub(super) struct ShipRequest {
    pub(super) ship: Ship,
    pub(super) list: Option<Blocks>,
}

/// What comes to the receiver.
pub(super) enum Item {
    Batch(Batch),
    End(CycleSum),
}

/// A cycle that is being received.
pub(super) struct Receiving {
    pub(super) landing: Landing,
    pub(super) items: VecDeque<Item>,
    pub(super) through: u64,
    /// Batches of this run that have come.
    pub(super) batches: u64,
    pub(super) size: u64,
    pub(super) unflushed: u64,
    pub(super) flushed_at: u64,
    pub(super) flushed_through: u64,
}

/// A process.
pub(super) struct Process {
    pub(super) setup: Setup,
    pub(super) side: Side,
    pub(super) store: Option<SuperblockStore>,
    pub(super) superblock: Option<Superblock>,
    /// Why nothing is done here.
    pub(super) unreadable: Option<String>,
    pub(super) digests: Option<DigestStore>,
    pub(super) todo: VecDeque<Action>,
    pub(super) link: Option<u64>,
    pub(super) expects_peer: bool,
    pub(super) hello: Option<Hello>,
    pub(super) decision: Option<Decision>,
    pub(super) id: Option<CycleId>,
    pub(super) target_image: Option<ImageState>,
    pub(super) order: Option<ShipRequest>,
    pub(super) dialing: Option<u64>,
    pub(super) shipment: Option<Shipment>,
    pub(super) sum: Option<CycleSum>,
    pub(super) log: Option<DigestLog>,
    pub(super) begin: Option<Begin>,
    /// What is being opened, in place or staged.
    pub(super) opening: Option<bool>,
    pub(super) receiving: Option<Receiving>,
    pub(super) staging: Option<Box<Staging>>,
    pub(super) claimed: Option<CycleSum>,
    pub(super) applying: Option<Point>,
    pub(super) asks: VecDeque<DigestRequest>,
    /// The connection on which digests have been told.
    pub(super) settled: Option<u64>,
    pub(super) last: Option<Outcome>,
    pub(super) moved_ms: u64,
    /// The process has ended by itself.
    pub(super) exited: bool,
}

impl Process {
    /// Starts a process, and what it has to do first.
    pub(super) fn start(setup: Setup, now: u64, net: &mut Net) -> Process {
        let (store, superblock, unreadable) = match SuperblockStore::open(setup.disk.clone()) {
            Ok((store, superblock)) => (Some(store), superblock, None),
            Err(error) => (None, None, Some(error.to_string())),
        };
        let digests = DigestStore::open(setup.disk.clone()).ok();
        let record = superblock.as_ref().map(translate::record_of);
        let (side, mut first) = match record {
            Some(record) if setup.wrong == Some(Wrong::RedoNotFinished) => (
                Side::open(Some(crate::mutations::redo_is_applied(record))).0,
                Vec::new(),
            ),
            record => Side::open(record),
        };
        if setup.device.is_none() {
            first.clear();
        }
        let mut process = Process {
            side,
            store,
            superblock,
            unreadable,
            digests,
            todo: first.into(),
            link: None,
            expects_peer: false,
            hello: None,
            decision: None,
            id: None,
            target_image: None,
            order: None,
            dialing: None,
            shipment: None,
            sum: None,
            log: None,
            begin: None,
            opening: None,
            receiving: None,
            staging: None,
            claimed: None,
            applying: None,
            asks: VecDeque::new(),
            settled: None,
            last: None,
            moved_ms: now,
            exited: false,
            setup,
        };
        process.carry_out(net, now);
        process
    }

    /// The size of its device.
    pub(super) fn size(&self) -> u64 {
        self.setup.device.as_ref().map_or(0, |device| device.size())
    }

    /// What the superblock says.
    pub(super) fn record(&self) -> Option<&Record> {
        self.side.record()
    }

    /// Takes an order that carries nothing but itself.
    pub(super) fn take(&mut self, order: Command, net: &mut Net, now: u64) -> Result<(), Refused> {
        self.usable()?;
        let whole = |r: &Record| matches!(r.image, ImageState::Redo(_));
        match order {
            Command::Receive(_) => self.needs_device(true)?,
            Command::Promote(_) if self.record().is_some_and(whole) => self.needs_device(true)?,
            _ => {}
        }
        let expects = matches!(order, Command::Receive(_));
        if self.setup.wrong == Some(Wrong::PromotesUncommitted)
            && let Command::Promote(_) = order
        {
            self.write_what_is_staged();
        }
        let actions = self.side.order(order)?;
        self.expects_peer |= expects;
        self.follow(actions);
        self.carry_out(net, now);
        Ok(())
    }

    /// Takes the order to ship.
    pub(super) fn ship(
        &mut self,
        mut order: ShipRequest,
        net: &mut Net,
        now: u64,
    ) -> Result<(), Refused> {
        self.usable()?;
        self.needs_device(false)?;
        order.ship.size = self.size();
        order.ship.kept = self.digests.as_ref().and_then(DigestStore::point);
        crate::mutations::ship(self.setup.wrong, &mut order.ship);
        let before = self.side.shipping();
        let actions = self.side.order(Command::Ship(order.ship.clone()))?;
        if before.is_none() {
            self.order = Some(order);
        }
        self.follow(actions);
        self.carry_out(net, now);
        Ok(())
    }

    fn usable(&self) -> Result<(), Refused> {
        match &self.unreadable {
            Some(why) => Err(Refused::new(Cause::SuperblockUnreadable, why.clone())),
            None => Ok(()),
        }
    }

    fn needs_device(&mut self, writable: bool) -> Result<(), Refused> {
        match &self.setup.device {
            Some(device) if writable && device.is_poisoned() => {
                self.exited = true;
                let why = "it has to be opened again";
                Err(Refused::new(Cause::TargetWriteError, why))
            }
            Some(_) => Ok(()),
            None => Err(Refused::new(Cause::OutOfOrder, "no device")),
        }
    }

    /// Notes what has to be done.
    pub(super) fn follow(&mut self, actions: Vec<Action>) {
        self.todo
            .extend(crate::mutations::actions(self.setup.wrong, actions));
    }

    /// Feeds the protocol and notes what follows.
    pub(super) fn feed(&mut self, event: Event) {
        let actions = self.side.on(self.size(), event);
        self.follow(actions);
    }

    /// Tells the machine at work that it can't go on.
    pub(super) fn fail(&mut self, refused: Refused) {
        let event = self.side.failed(refused);
        self.feed(event);
    }

    /// Carries out everything that is noted, until the process dies.
    pub(super) fn carry_out(&mut self, net: &mut Net, now: u64) {
        while !self.exited && self.setup.fuse.pass() {
            let Some(action) = self.todo.pop_front() else {
                return;
            };
            match action {
                Action::Persist(record) => self.persist(&record),
                Action::Send(word) => self.say(word, net),
                Action::Dial => self.dialing = Some(now),
                Action::Hangup => self.hang_up(net),
                Action::Decided(_) | Action::Promoted(_) => {}
                Action::Phase(_) => self.moved_ms = now,
                Action::Ship { plan, from } => self.start_shipping(plan, from),
                Action::Fall(plan) => {
                    if let Some(shipment) = &mut self.shipment {
                        shipment.fall(plan);
                    }
                }
                Action::StopShipping => {
                    self.shipment = None;
                    self.dialing = None;
                }
                Action::KeepDigests(cycle) => {
                    let (store, log) = (self.digests.take(), self.log.take());
                    self.digests = keep(store, log, self.setup.disk.clone(), cycle);
                }
                Action::OpenStaging(_) => self.opening = Some(false),
                Action::OpenInPlace(_) => self.opening = Some(true),
                Action::StopReceiving => self.stop_receiving(),
                Action::Seal => {
                    if let (Some(receiving), Some(sum)) = (&mut self.receiving, self.claimed) {
                        receiving.items.push_back(Item::End(sum));
                    }
                }
                Action::Apply(cycle) => self.applying = Some(cycle),
                Action::DropStaging { report } => self.drop_staging(report),
                Action::Finish(outcome) => {
                    self.shipment = None;
                    self.last = Some(outcome);
                }
            }
        }
    }

    fn persist(&mut self, record: &Record) {
        let name = &self.setup.name;
        let superblock =
            translate::superblock_of(self.superblock.as_ref(), name, record, self.size());
        let saved = self.store.as_mut().map(|store| store.save(&superblock));
        // What is on disk is not known: the process ends.
        self.exited = !matches!(saved, Some(Ok(())));
        self.superblock = Some(superblock);
    }

    /// Lets go of the link.
    pub(super) fn hang_up(&mut self, net: &mut Net) {
        if let Some(link) = self.link.take() {
            net.hang_up(link, self.setup.site);
        }
    }

    fn start_shipping(&mut self, plan: Plan, from: u64) {
        let (Some(device), Some(id), Some(order)) =
            (self.setup.device.clone(), self.id, &mut self.order)
        else {
            return;
        };
        let list = order.list.take();
        let size = device.size();
        let kept = self
            .digests
            .as_ref()
            .and_then(|digests| Some((digests.point()?, digests.reader(size).ok().flatten()?)));
        let change_source = plan.change_source.change_source;
        let plan = crate::mutations::plan(self.setup.wrong, plan, self.decision.as_ref());
        let point = kept.as_ref().map(|(point, _)| *point);
        let gathered = Gathered::of(self.setup.disk.clone(), id, &plan, point, size);
        let gathered = match gathered {
            Ok(gathered) => gathered,
            Err(refused) => return self.fail(refused),
        };
        self.shipment = Some(Shipment {
            plan,
            device,
            size,
            kept: kept.map(|(_, reader)| reader),
            gathered,
            list,
            resume_at: from,
            change_source,
            last_batch: None,
            wrong: self.setup.wrong,
            at: 0,
            digest: CycleDigest::new(),
            standby: Default::default(),
            asked: None,
            under_way: VecDeque::new(),
            sent: 0,
            durable: 0,
            index: 0,
            fell: false,
            drained: false,
        });
    }

    /// Opens the place where batches land.
    pub(super) fn open(&mut self, net: &mut Net, now: u64) {
        let (Some(in_place), Some(begin)) = (self.opening.take(), self.begin.clone()) else {
            return;
        };
        let id = translate::cycle_id(&begin);
        if self.setup.wrong == Some(Wrong::BeginsAnew) {
            drop(discard(mover_core::Discard::All, None, &*self.setup.disk));
        }
        let landing = match (in_place, self.setup.device.clone()) {
            (true, Some(device)) => InPlace::open(
                device.clone(),
                Applier::inline(device),
                self.setup.disk.clone(),
                id,
                begin.size,
                begin.change_source,
                &AtomicU64::new(0),
            )
            .map(|in_place| Landing::InPlace(Box::new(in_place))),
            _ => {
                let spec = StagingSpec {
                    id,
                    size_bytes: begin.size,
                    change_source: begin.change_source,
                };
                let applied = self.record().and_then(Record::head);
                let kept = self.digests.as_ref().and_then(DigestStore::point);
                staging_for(&self.setup.disk, spec, applied, kept, &AtomicU64::new(0))
            }
        };
        match landing {
            Ok(landing) => {
                let from = landing.through();
                self.receiving = Some(Receiving {
                    landing,
                    items: VecDeque::new(),
                    through: from,
                    batches: 0,
                    size: begin.size,
                    unflushed: 0,
                    flushed_at: now,
                    flushed_through: from,
                });
                self.feed(Event::Target(target::Event::Opened { from }));
            }
            Err(refused) => self.feed(Event::Target(target::Event::Failed(refused))),
        }
        self.carry_out(net, now);
    }

    /// Writes the staged set to the volume.
    pub(super) fn apply(&mut self, net: &mut Net, now: u64) {
        let (Some(cycle), Some(device)) = (self.applying.take(), self.setup.device.clone()) else {
            return;
        };
        let applier = Applier::inline(crate::mutations::device(self.setup.wrong, device));
        let staging = self.staging.take();
        let done = AtomicU64::new(0);
        let event = match write_staged(staging, self.setup.disk.clone(), &applier, cycle, &done) {
            Ok(staging) => {
                self.staging = Some(staging);
                target::Event::Written
            }
            Err(refused) => target::Event::Failed(refused),
        };
        self.feed(Event::Target(event));
        self.carry_out(net, now);
    }

    /// Takes over what the receiver has written to.
    pub(super) fn take_landing(&mut self) {
        match self.receiving.take().map(|receiving| receiving.landing) {
            Some(Landing::Staging(staging, log)) => {
                self.staging = Some(staging);
                self.log = log.map(|log| *log);
            }
            Some(Landing::InPlace(mut in_place)) => {
                self.log = in_place.take_digests().ok().flatten();
            }
            None => {}
        }
    }

    fn stop_receiving(&mut self) {
        self.opening = None;
        self.asks.clear();
        self.take_landing();
        self.staging = None;
        self.log = None;
    }

    fn drop_staging(&mut self, report: bool) {
        let staging = self.staging.take();
        if self.setup.wrong != Some(Wrong::StagingStays) {
            // A failure is ignored: what stays is of a cut that is known to be applied.
            drop(discard(
                mover_core::Discard::All,
                staging,
                &*self.setup.disk,
            ));
        }
        if report {
            self.feed(Event::Target(target::Event::Dropped));
        }
    }

    /// The wrong rule: writes what is staged, whole or not.
    fn write_what_is_staged(&mut self) {
        self.take_landing();
        self.staging = None;
        let Some(device) = self.setup.device.clone() else {
            return;
        };
        let applier = Applier::inline(device);
        let each = &mut |batch: &protocol::changes::BatchData,
                         _: &[protocol::changes::BlockDigest]| {
            drop(applier.push(batch.clone()));
            Ok(())
        };
        drop(Staging::recover(
            self.setup.disk.clone(),
            u64::MAX,
            None,
            each,
        ));
        drop(applier.flush());
    }
}
