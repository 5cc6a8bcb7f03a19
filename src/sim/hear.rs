//! A process's words, what it hears, and its pieces of work.

use crate::link::{Arrival, BATCHES_MAX, Net};
use crate::process::{Item, Process, Receiving};
use crate::rules::Wrong;
use crate::ship::{Piece, WINDOW};
use mover_core::receive::digests::settle;
use mover_core::translate;
use protocol::changes::hash_blocks;
use protocol::pair::handshake::Superblock as PeerSuperblock;
use protocol::pair::message::{Begin, Message as Word, goes_in_place};
use protocol::pair::side::Event;
use protocol::pair::{Cause, Refused, source, target};
use protocol::units::ImageState;
use storage::volume::{Applier, digest_blocks};
use wire::{Batch, Codec, CycleBegin, CycleEnd, Digests, Message, Resume, TransferForm, unpack};

/// What was received is made durable at least this often, in milliseconds.
const CHECKPOINT_MS: u64 = 2_000;

/// A source gives up when nothing has moved for this long, in milliseconds.
const STALL_MS: u64 = 20_000;

/// A target lets go of a source that is silent for this long, in milliseconds.
const SILENT_MS: u64 = 60_000;

/// A peer that can't be reached is dialled for this long, in milliseconds.
pub(super) const DIAL_MS: u64 = 20_000;

impl Process {
    /// Says a word of the protocol.
    pub(super) fn say(&mut self, word: Word, net: &mut Net) {
        let (Some(link), site) = (self.link, self.setup.site) else {
            return;
        };
        if let Word::Begin(begin) = &word {
            self.id = Some(translate::cycle_id(begin));
            self.decision = Some(begin.decision.clone());
            net.say(link, site, Message::Decision(begin.decision.clone()), false);
        }
        let after_batches = matches!(word, Word::End);
        if let Some(message) = self.worded(word) {
            net.say(link, site, message, after_batches);
        }
    }

    fn worded(&self, word: Word) -> Option<Message> {
        let name = &self.setup.name;
        let hello = |record, size, last| {
            Message::Hello(Box::new(translate::wire_hello(name, record, size, last)))
        };
        Some(match word {
            Word::Hello(word) => hello(self.record(), word.size, Some(word.cycle)),
            Word::Greeting(greeting) => {
                let record = match &greeting.superblock {
                    PeerSuperblock::Known(record) => Some(record.as_ref()),
                    PeerSuperblock::Blank | PeerSuperblock::Unreadable => None,
                };
                hello(record, greeting.size, None)
            }
            Word::Begin(begin) => {
                let image = self.target_image.unwrap_or(ImageState::None);
                let form = match goes_in_place(image, begin.decision.mode) {
                    true => TransferForm::InPlace,
                    false => TransferForm::Staged,
                };
                Message::CycleBegin(CycleBegin {
                    id: self.id?,
                    size_bytes: begin.size,
                    form,
                    change_source: begin.change_source,
                    consent: begin.consent,
                })
            }
            Word::Ready(through) => Message::Resume(Resume {
                id: self.id?,
                through,
            }),
            Word::End => Message::CycleEnd(CycleEnd {
                id: self.id?,
                sum: self.sum?,
            }),
            Word::Staged => Message::Staged(self.id?),
            Word::Applied => Message::Applied(wire::Applied {
                id: self.id?,
                apply_ms: 0,
            }),
            Word::Refuse(refused) => Message::Refuse(translate::refuse(&refused)),
        })
    }

    /// A mover has connected.
    pub(super) fn accepted(&mut self, link: u64, net: &mut Net, now: u64) {
        if self.expects_peer && self.link.is_some() && self.side.receiving().is_some() {
            let why = "the source has connected again".to_string();
            self.feed(Event::Target(target::Event::LinkLost(why)));
            self.carry_out(net, now);
        }
        if self.expects_peer {
            self.link = Some(link);
        } else {
            let refused = Refused::new(Cause::WrongIdentity, "order Receive first");
            let site = self.setup.site;
            net.say(
                link,
                site,
                Message::Refuse(translate::refuse(&refused)),
                false,
            );
            net.hang_up(link, site);
        }
    }

    /// Dialling has ended.
    pub(super) fn dialed(&mut self, result: Result<u64, Refused>, net: &mut Net, now: u64) {
        self.dialing = None;
        let event = match result {
            Ok(link) => {
                self.link = Some(link);
                source::Event::Connected
            }
            Err(refused) => source::Event::Failed(refused),
        };
        self.feed(Event::Source(event));
        self.carry_out(net, now);
    }

    /// Takes in what arrives on the link.
    pub(super) fn hear(&mut self, arrival: Arrival, net: &mut Net, now: u64) {
        match arrival {
            Arrival::Message(message) => {
                self.moved_ms = now;
                self.message(*message, net);
            }
            Arrival::Lost(why) => self.link_lost(&why, net),
        }
        self.carry_out(net, now);
    }

    fn link_lost(&mut self, why: &str, net: &mut Net) {
        self.hang_up(net);
        self.asks.clear();
        if self.side.shipping().is_some() {
            let why = format!("the connection to the target ended: {why}");
            let refused = Refused::new(Cause::PeerUnreachable, why);
            return self.feed(Event::Source(source::Event::Failed(refused)));
        }
        if self.setup.wrong == Some(Wrong::AppliesUnsealed)
            && let Some(receiving) = &mut self.receiving
            && let mover_core::receive::open_sink::Sink::Staging(staging, _) = &receiving.landing
        {
            receiving.items.clear();
            receiving.items.push_back(Item::End(staging.sum()));
            return self.feed(Event::Target(target::Event::Peer(Word::End)));
        }
        self.feed(Event::Target(target::Event::LinkLost(why.into())));
    }

    fn message(&mut self, message: Message, net: &mut Net) {
        let shipping = self.side.shipping().is_some();
        let word = match message {
            Message::Batch(batch) => match &mut self.receiving {
                Some(receiving) => return receiving.items.push_back(Item::Batch(batch)),
                None => return self.link_lost("the peer sent changes outside a cycle", net),
            },
            Message::Decision(decision) => {
                self.decision = Some(decision);
                return;
            }
            Message::Progress(Resume { through, .. }) => {
                if let Some(shipment) = &mut self.shipment {
                    shipment.note_durable(through);
                }
                return;
            }
            Message::DigestRequest(request) => return self.asks.push_back(request),
            Message::Digests(digests) => {
                if let Some(shipment) = &mut self.shipment {
                    shipment.answer(digests);
                }
                return;
            }
            other => self.word_of(shipping, other),
        };
        match (shipping, word) {
            (true, Some(word)) => self.feed(Event::Source(source::Event::Peer(word))),
            (false, Some(word)) => self.feed(Event::Target(target::Event::Peer(word))),
            (_, None) => self.fail(Refused::new(Cause::Internal, "the peer broke the protocol")),
        }
    }

    fn word_of(&mut self, shipping: bool, message: Message) -> Option<Word> {
        Some(match message {
            Message::Hello(hello) if shipping => {
                self.target_image = Some(hello.image);
                let requested_primary = &self.side.record()?.requested_primary;
                Word::Greeting(translate::greeting_of(&hello, requested_primary))
            }
            Message::Hello(hello) => {
                let hello = translate::hello_of(&hello)?;
                self.hello = Some(hello.clone());
                Word::Hello(hello)
            }
            Message::CycleBegin(begin) => {
                let begin = Begin {
                    cycle: begin.id.cycle,
                    lineage: self.hello.as_ref()?.lineage.clone(),
                    size: begin.size_bytes,
                    decision: self.decision.take()?,
                    base: begin.id.from,
                    change_source: begin.change_source,
                    consent: begin.consent,
                };
                self.id = Some(translate::cycle_id(&begin));
                self.begin = Some(begin.clone());
                Word::Begin(begin)
            }
            Message::Resume(Resume { through, .. }) => Word::Ready(through),
            Message::CycleEnd(end) => {
                self.claimed = Some(end.sum);
                Word::End
            }
            Message::Staged(_) => Word::Staged,
            Message::Applied(_) => Word::Applied,
            Message::Refuse(refuse) | Message::Abort(refuse) => {
                Word::Refuse(translate::refused(refuse))
            }
            _ => return None,
        })
    }

    /// Answers one question for digests.
    pub(super) fn answer(&mut self, net: &mut Net) {
        let (Some(request), Some(device), Some(link)) =
            (self.asks.pop_front(), &self.setup.device, self.link)
        else {
            return;
        };
        let settled = match self.settled == self.link {
            true => Ok(()),
            false => settle(&**device),
        };
        let digests = settled.and_then(|()| {
            digest_blocks(&**device, request.extent)
                .map_err(|error| translate::disk_failed(&error, Cause::TargetWriteError))
        });
        if digests.is_ok() {
            self.settled = self.link;
        }
        let message = match digests {
            Ok(digests) => Message::Digests(Digests {
                extent: request.extent,
                digests,
            }),
            Err(refused) => Message::Refuse(translate::refuse(&refused)),
        };
        net.say(link, self.setup.site, message, false);
    }

    /// Whether the shipment has work that the link has room for.
    pub(super) fn can_ship(&self, net: &Net) -> bool {
        let room = self
            .link
            .is_some_and(|link| net.waiting(link, self.setup.site) < BATCHES_MAX);
        room && self.shipment.as_ref().is_some_and(|s| s.can_work())
    }

    /// One piece of the shipment's work.
    pub(super) fn ship_piece(&mut self, net: &mut Net, now: u64) {
        let (Some(shipment), Some(link)) = (&mut self.shipment, self.link) else {
            return;
        };
        self.moved_ms = now;
        match shipment.work() {
            Ok(Piece::Nothing) => {}
            Ok(Piece::Ask(request)) => {
                net.say(
                    link,
                    self.setup.site,
                    Message::DigestRequest(request),
                    false,
                );
            }
            Ok(Piece::Batch(batch)) => {
                let Some(id) = self.id else { return };
                let batch = Batch {
                    cycle: id.cycle,
                    index: shipment.index,
                    through: batch.through,
                    codec: Codec::Plain,
                    unpacked_len: u32::try_from(batch.data.len()).unwrap_or(u32::MAX),
                    regions: batch.regions,
                    packed: batch.data,
                };
                shipment.index += 1;
                net.say(link, self.setup.site, Message::Batch(batch), true);
            }
            Ok(Piece::Broke(why)) => self.feed(Event::Source(source::Event::ListBroke(why))),
            Ok(Piece::Drained(sum, log)) => {
                self.sum = Some(sum);
                self.log = log.map(|log| *log);
                self.feed(Event::Source(source::Event::Drained));
            }
            Err(refused) => self.feed(Event::Source(source::Event::Failed(refused))),
        }
        self.carry_out(net, now);
    }

    /// One piece of the receiver's work.
    pub(super) fn receive_piece(&mut self, net: &mut Net, now: u64) {
        let Some(receiving) = &mut self.receiving else {
            return;
        };
        let applies_at_once = self.setup.wrong == Some(Wrong::AppliesAtOnce);
        let device = self.setup.device.clone().filter(|_| applies_at_once);
        let result = match receiving.items.pop_front() {
            Some(Item::Batch(batch)) => receiving.batch(batch, device).map(|()| false),
            Some(Item::End(sum)) => {
                let sum = match (self.setup.wrong, &receiving.landing) {
                    (
                        Some(Wrong::ResumesTooFar),
                        mover_core::receive::open_sink::Sink::Staging(staging, _),
                    ) => staging.sum(),
                    _ => sum,
                };
                receiving.landing.seal(sum).map(|()| true)
            }
            None => Ok(false),
        };
        let result = result.and_then(|sealed| match sealed {
            true => Ok((true, None)),
            false => Ok((false, receiving.checkpoint_if_due(now)?)),
        });
        match result {
            Ok((true, _)) => {
                self.take_landing();
                self.feed(Event::Target(target::Event::Sealed));
            }
            Ok((false, Some(through))) => {
                if let (Some(link), Some(id)) = (self.link, self.id) {
                    let word = Message::Progress(Resume { id, through });
                    net.say(link, self.setup.site, word, false);
                }
            }
            Ok((false, None)) => {}
            Err(refused) => {
                self.take_landing();
                let useless = matches!(refused.cause, Cause::Corrupt | Cause::StagingTooSmall)
                    || self.setup.wrong == Some(Wrong::ForgetsAfterError);
                if useless && let Some(staging) = self.staging.take() {
                    // It is overwritten by the next one anyway.
                    drop(staging.remove());
                }
                self.feed(Event::Target(target::Event::Failed(refused)));
            }
        }
        self.carry_out(net, now);
    }

    /// Sees to it that nothing hangs unnoticed.
    pub(super) fn watch(&mut self, net: &mut Net, now: u64) {
        let still = now.saturating_sub(self.moved_ms);
        if self.side.shipping().is_some() && still >= STALL_MS {
            self.moved_ms = now;
            self.fail(Refused::new(Cause::Stalled, "nothing has moved"));
        } else if self.link.is_some()
            && self.side.receiving().is_some()
            && self.applying.is_none()
            && still >= SILENT_MS
        {
            self.moved_ms = now;
            self.hang_up(net);
            let why = "the source was silent".to_string();
            self.feed(Event::Target(target::Event::LinkLost(why)));
        }
        self.carry_out(net, now);
    }
}

impl Receiving {
    fn batch(
        &mut self,
        batch: Batch,
        at_once: Option<std::sync::Arc<dyn storage::seam::BlockFile>>,
    ) -> Result<(), Refused> {
        let batch = batch
            .is_next(self.batches)
            .and_then(|()| unpack(batch, self.through, self.size))
            .map_err(|error| translate::wire_failed(&error))?;
        self.batches += 1;
        if let Some(device) = at_once {
            let applier = Applier::inline(device);
            drop(applier.push(batch.clone()));
            drop(applier.flush());
        }
        let digests = hash_blocks(&batch);
        let through = batch.through;
        self.unflushed += batch.data.len() as u64;
        self.landing.append(batch, &digests)?;
        self.through = through;
        Ok(())
    }

    /// Whether a checkpoint is due though nothing comes.
    pub(super) fn is_late(&self, now: u64) -> bool {
        let late = now.saturating_sub(self.flushed_at) >= CHECKPOINT_MS;
        late && self.through > self.flushed_through
    }

    fn checkpoint_if_due(&mut self, now: u64) -> Result<Option<u64>, Refused> {
        if self.unflushed < WINDOW && !self.is_late(now) {
            return Ok(None);
        }
        let through = self.landing.checkpoint().run()?;
        self.unflushed = 0;
        self.flushed_at = now;
        self.flushed_through = through;
        Ok(Some(through))
    }
}
