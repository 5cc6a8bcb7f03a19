//! Carrying out what the protocol asks for, one action after the other.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::convert;
use crate::keep::keep;
use crate::progress::CycleTrack;
use crate::run::{Input, Mover};
use crate::setup::SetupError;
use crate::source::ship::{Job, Shipment};
use crate::target::receive::Item;
use crate::target::staging::drop_staged;
use protocol::changes::CycleId;
use protocol::pair::handshake::Superblock as PeerSuperblock;
use protocol::pair::message::{Begin, Message as Word, goes_in_place};
use protocol::pair::resync::{Candidates, Plan};
use protocol::pair::side::Event;
use protocol::pair::{Action, Cause, Outcome, Record, Refused, target};
use protocol::units::{CyclePhase, ImageState, PeerName, Point};
use storage::journal::DigestReader;
use transport::{Link as _, Session, dial};
use wire::control::{CycleOutcome, ShipOrder};
use wire::{CycleBegin, CycleEnd, Message, TransferForm, encode};

/// How long a peer that can't be reached is dialled again. It may still be starting.
const DIAL_AGAIN_FOR: Duration = Duration::from_secs(20);

/// The pause between two attempts to dial.
const DIAL_PAUSE: Duration = Duration::from_millis(250);

impl Mover {
    /// Notes what has to be done.
    pub(super) fn follow(&mut self, actions: Vec<Action>) {
        self.todo.extend(actions);
    }

    /// Feeds the protocol and notes what follows.
    pub(super) fn feed(&mut self, event: Event) {
        let size = self.setup.size();
        let actions = self.side.on(size, event);
        self.follow(actions);
    }

    /// Tells the machine at work that it can't go on.
    pub(super) fn fail(&mut self, refused: Refused) {
        let event = self.side.failed(refused);
        self.feed(event);
    }

    /// Carries out everything that is noted.
    ///
    /// # Errors
    /// When the superblock can't be saved.
    pub(super) async fn carry_out(&mut self) -> Result<(), SetupError> {
        while let Some(action) = self.todo.pop_front() {
            tracing::debug!(?action, "carrying out");
            match action {
                Action::Persist(record) => self.persist(*record)?,
                Action::Send(word) => self.say(word).await,
                Action::Dial => self.dial(),
                Action::Hangup => {
                    self.note_counters();
                    self.link.link = None;
                }
                Action::Decided(decision) => {
                    tracing::info!(mode = ?decision.mode, row = ?decision.row, reason = decision.reason, "decided");
                    if let Some(track) = &mut self.track {
                        track.decision = Some(decision);
                    }
                }
                Action::Phase(phase) => self.enter(phase),
                Action::Ship { plan, from } => self.start_shipping(plan, from),
                Action::Fall(plan) => self.fall(plan),
                Action::StopShipping => self.stop_shipping(),
                Action::KeepDigests(cycle) => self.keep_digests(cycle).await,
                Action::OpenStaging(begin) => self.open_staging(&begin),
                Action::OpenInPlace(begin) => self.open_in_place(&begin),
                Action::StopReceiving => self.stop_receiving().await,
                Action::Seal => self.seal(),
                Action::Apply(cycle) => self.apply(cycle),
                Action::DropStaging { report } => self.drop_staging(report).await,
                Action::Finish(outcome) => self.finish(outcome),
                Action::Promoted(epoch) => tracing::info!(%epoch, "promoted"),
            }
        }
        Ok(())
    }

    fn persist(&mut self, record: Record) -> Result<(), SetupError> {
        let size = self.setup.size();
        let superblock =
            convert::superblock_of(self.superblock.as_ref(), &self.setup.site, &record, size);
        if let Some(store) = &mut self.store {
            store.save(&superblock).map_err(SetupError::Superblock)?;
        }
        self.superblock = Some(superblock);
        Ok(())
    }

    async fn say(&mut self, word: Word) {
        let Some(message) = self.worded(word) else {
            return;
        };
        let end = matches!(message, Message::CycleEnd(_));
        let Some(link) = &self.link.link else {
            return;
        };
        if !end {
            return link.say(message).await;
        }
        // The end comes after all batches, so it waits in their queue, not here.
        let batches = link.batches();
        if let Ok(frame) = encode(message) {
            tokio::spawn(async move { drop(batches.send(frame).await) });
        }
    }

    /// The wire's message for a word of the protocol.
    fn worded(&mut self, word: Word) -> Option<Message> {
        let site = &self.setup.site;
        Some(match word {
            Word::Hello(hello) => Message::Hello(Box::new(convert::wire_hello(
                site,
                self.side.record(),
                hello.size,
                Some(hello.cycle),
            ))),
            Word::Greeting(greeting) => {
                let record = match &greeting.superblock {
                    PeerSuperblock::Known(record) => Some(record.as_ref()),
                    PeerSuperblock::Blank | PeerSuperblock::Unreadable => None,
                };
                let last_write = record.and_then(|record| record.applied);
                let hello = convert::wire_hello(site, record, greeting.size, last_write);
                Message::Hello(Box::new(hello))
            }
            Word::Begin(begin) => {
                let id = convert::cycle_id(&begin);
                self.link.id = Some(id);
                let decision = Message::Decision(begin.decision.clone());
                let message = Message::CycleBegin(CycleBegin {
                    id,
                    size_bytes: begin.size,
                    form: self.form_of(&begin),
                    rung: begin.rung,
                    planned_bytes: 0,
                    consent: begin.consent,
                });
                // Two messages for one word: the first goes by itself.
                if let Some(link) = &self.link.link {
                    let words = link.words();
                    if words.try_send(decision).is_err() {
                        return None;
                    }
                }
                message
            }
            Word::Ready(through) => Message::Resume(wire::Resume {
                id: self.link.id?,
                through,
            }),
            Word::End => Message::CycleEnd(CycleEnd {
                id: self.link.id?,
                sum: self.source.sum?,
            }),
            Word::Staged => Message::Staged(self.link.id?),
            Word::Applied => Message::Applied(wire::Applied {
                id: self.link.id?,
                apply_ms: self.track.as_ref().map_or(0, |track| track.apply_ms),
            }),
            Word::Refuse(refused) => Message::Refuse(convert::refuse(&refused)),
        })
    }

    /// How the target will take the cycle; it comes to the same answer by itself.
    fn form_of(&self, begin: &Begin) -> TransferForm {
        let image = self.source.target_image.unwrap_or(ImageState::None);
        if goes_in_place(image, begin.decision.mode) {
            TransferForm::InPlace
        } else {
            TransferForm::Staged
        }
    }

    fn dial(&mut self) {
        let Some(order) = self.source.order.clone() else {
            return;
        };
        let number = self.next_number();
        self.source.dialing = number;
        let (tls, inputs) = (self.setup.tls.clone(), self.inputs.clone());
        let expected = PeerName::Mover {
            site: order.peer_site.clone(),
            pair: self.setup.pair.clone(),
        };
        tokio::spawn(async move {
            let result = dial_until(&order, &tls, &expected).await;
            drop(
                inputs
                    .send(Input::Dialed(number, result.map(Box::new)))
                    .await,
            );
        });
    }

    fn enter(&mut self, phase: CyclePhase) {
        let now = self.setup.clock.monotonic_ms();
        let cycle = self.cycle();
        if phase == CyclePhase::Handshake
            && let Some(cycle) = cycle
        {
            let mut track = CycleTrack::begin(cycle, now);
            track.planned_bytes = self.setup.size();
            self.track = Some(track);
            self.watch.moved_ms = now;
        }
        if self.track.is_none()
            && let Some(cycle) = cycle
        {
            self.track = Some(CycleTrack::begin(cycle, now));
        }
        if let Some(track) = &mut self.track {
            track.enter(phase, now);
        }
    }

    fn start_shipping(&mut self, plan: Plan, from: u64) {
        let (Some(device), Some(link), Some(order), Some(id)) = (
            self.setup.device.clone(),
            &self.link.link,
            &self.source.order,
            self.link.id,
        ) else {
            return;
        };
        tracing::info!(rung = ?plan.rung.rung, reason = plan.rung.reason, from, "shipping");
        if let Some(track) = &mut self.track {
            track.rung = Some(plan.rung.clone());
            if let Candidates::Range(range) = plan.candidates {
                track.range = Some(range);
                track.planned_bytes = range.len;
            }
        }
        let kept = self.kept();
        let job = Job {
            id,
            plan,
            resume_at: from,
            size: self.setup.size(),
            device,
            disk: self.setup.disk.clone(),
            list: self.source.list.take(),
            kept,
            read_rate: self.source.read_rate,
            compression: order.transfer.compression,
            clock: self.setup.clock.clone(),
            words: link.words(),
            batches: link.batches(),
            inputs: self.inputs.clone(),
            runtime: Handle::current(),
            number: self.number + 1,
            reader_bytes: self.setup.reader_bytes,
            stall: Duration::from_millis(order.transfer.stall_timeout_ms.max(1)),
        };
        self.number += 1;
        match Shipment::start(job) {
            Ok(shipment) => self.source.shipment = Some(shipment),
            Err(refused) => self.fail(refused),
        }
    }

    /// The digests kept here, and the cut that they are of.
    pub(super) fn kept(&self) -> Option<(Point, DigestReader)> {
        let digests = self.digests.as_ref()?;
        Some((
            digests.point()?,
            digests.reader(self.setup.size()).ok().flatten()?,
        ))
    }

    fn fall(&mut self, plan: Plan) {
        tracing::warn!(rung = ?plan.rung.rung, reason = plan.rung.reason, "fell down a rung");
        if let Some(track) = &mut self.track {
            track.rung = Some(plan.rung.clone());
        }
        if let Some(shipment) = &self.source.shipment {
            shipment.fall(plan);
        }
    }

    pub(super) fn stop_shipping(&mut self) {
        if let (Some(track), Some(shipment)) = (&mut self.track, &self.source.shipment) {
            track.shipped(&shipment.count);
        }
        self.source.shipment = None;
        self.source.list = None;
        self.source.dialing = 0;
        *self
            .source
            .feed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes the digests gathered for `cycle` over into the store. Without them the next cycle reads
    /// more, so a failure here is told and let pass.
    async fn keep_digests(&mut self, cycle: Point) {
        let store = self.digests.take();
        let pending = self.target.log.take();
        let disk = self.setup.disk.clone();
        let kept = tokio::task::spawn_blocking(move || keep(store, pending, disk, cycle));
        self.digests = kept.await.ok().flatten();
    }

    fn seal(&mut self) {
        let (Some(receiving), Some(sum)) = (&self.target.receiving, self.target.claimed) else {
            return;
        };
        let sink = receiving.sink.clone();
        tokio::spawn(async move { drop(sink.send(Item::End(sum)).await) });
    }

    async fn drop_staging(&mut self, report: bool) {
        let staging = self.target.staging.take();
        let disk = self.setup.disk.clone();
        let dropped = tokio::task::spawn_blocking(move || drop_staged(staging, &*disk)).await;
        if let Ok(Err(refused)) = dropped {
            // It is of a cut that the superblock knows to be applied, or is overwritten by the next.
            tracing::warn!(%refused, "staging could not be removed");
        }
        if report {
            self.feed(Event::Target(target::Event::Dropped));
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        let now = self.setup.clock.monotonic_ms();
        self.note_counters();
        let Some(track) = &mut self.track else {
            return;
        };
        track.end(now);
        self.last = Some(match outcome {
            Outcome::Applied(cycle) => {
                track.cycle = cycle;
                let differing = self.source.shipment.as_ref().map(|s| s.count.differing());
                track.outcome(differing.map(|ranges| ranges.clone()))
            }
            Outcome::Failed(cycle, refused) => CycleOutcome::Failed {
                cycle,
                retryable: refused.cause.is_retryable(),
                cause: convert::refusal(&refused),
            },
        });
        tracing::info!(outcome = ?self.last, "the cycle ended on this side");
        self.source.shipment = None;
        self.source.list = None;
        *self
            .source
            .feed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.watch.stall_ms = u64::MAX;
        self.target.applied_bytes.store(0, Ordering::Relaxed);
    }

    /// Remembers what the source announced, so that answers name it.
    pub(super) fn begin_known(&mut self, begin: &Begin) -> CycleId {
        let id = convert::cycle_id(begin);
        self.link.id = Some(id);
        self.target.begin = Some(begin.clone());
        id
    }
}

async fn dial_until(
    order: &ShipOrder,
    tls: &transport::TlsDir,
    expected: &PeerName,
) -> Result<Session, Refused> {
    let until = tokio::time::Instant::now() + DIAL_AGAIN_FOR;
    loop {
        match dial(&order.peer, tls).await {
            Ok(session) if session.peer() == expected => return Ok(session),
            Ok(session) => {
                return Err(Refused::new(
                    Cause::WrongIdentity,
                    format!("{} is {}, not {expected}", order.peer, session.peer()),
                ));
            }
            Err(error) if tokio::time::Instant::now() >= until => {
                return Err(Refused::new(Cause::PeerUnreachable, error.to_string()));
            }
            Err(error) => tracing::debug!(%error, "dialling again"),
        }
        tokio::time::sleep(DIAL_PAUSE).await;
    }
}
