//! What a message of the peer leads to, and what a connection or a piece of work reports.

use crate::effect::{Discard, Effect, Work};
use crate::input::{LinkId, NotWritten, ReceiveEvent, ShipEvent};
use crate::lane::Ended;
use crate::machine::Core;
use crate::mutations::Rule;
use crate::translate;
use protocol::changes::CycleSum;
use protocol::pair::message::{Begin, Message as Word};
use protocol::pair::side::Event;
use protocol::pair::{Cause, Refused, source, target};
use protocol::units::{ChangeSourceUse, PeerName, Point};
use wire::{CycleBegin, DigestRequest, Digests, Message, Resume};

/// Requests for digests that are answered at once. A source has fewer under way; what is beyond the
/// limit breaks the protocol and is dropped.
const DIGEST_REQUESTS_MAX: usize = 8;

impl Core {
    /// A mover of our pair has connected: it is let in when it is the one that was asked for. One that
    /// is here already has then lost its connection, even if ours does not know yet.
    pub(super) fn accepted(&mut self, link: LinkId, peer: &PeerName) {
        let asked = match peer {
            PeerName::Mover { site, .. } => self.target.peer.as_ref() == Some(site),
            PeerName::Operator => false,
        };
        if !asked {
            let refused = Refused::new(
                Cause::WrongIdentity,
                format!("{peer} is not expected here: ask for Receive first"),
            );
            let message = Message::Refuse(translate::refuse(&refused));
            self.effect(Effect::Send(link, message));
            return self.effect(Effect::Hangup(link));
        }
        if self.link.link.is_some() && self.side.receiving().is_some() {
            let why = "the source has connected again".to_string();
            self.feed(Event::Target(target::Event::LinkLost(why)));
        }
        self.hang_up();
        self.link.link = Some(link);
    }

    pub(super) fn dialed(&mut self, number: u64, result: Result<LinkId, Refused>) {
        let wanted = number == self.source.dialing;
        match result {
            Ok(link) if wanted => {
                self.hang_up();
                self.link.link = Some(link);
                self.feed(Event::Source(source::Event::Connected));
            }
            Ok(link) => self.effect(Effect::Hangup(link)),
            Err(refused) if wanted => self.feed(Event::Source(source::Event::Failed(refused))),
            Err(_) => {}
        }
    }

    pub(super) fn link_lost(&mut self, link: LinkId, why: &str) {
        if self.link.link != Some(link) {
            return;
        }
        self.hang_up();
        if self.side.shipping().is_some() {
            let refused = Refused::new(
                Cause::PeerUnreachable,
                format!("the connection to the target ended: {why}"),
            );
            self.feed(Event::Source(source::Event::Failed(refused)));
        } else if self.config.rules.breaks(Rule::AppliesUnsealed) && self.lane.receiving().is_some()
        {
            self.target.claimed = Some(CycleSum::default());
            self.feed(Event::Target(target::Event::Peer(Word::End)));
        } else {
            self.feed(Event::Target(target::Event::LinkLost(why.into())));
        }
    }

    pub(super) fn message(&mut self, link: LinkId, message: Message) {
        if self.link.link != Some(link) {
            return;
        }
        if !matches!(message, Message::Pong(_)) {
            self.watch.heard += 1;
        }
        let shipping = self.side.shipping().is_some();
        let word = match message {
            Message::Ping(n) => return self.effect(Effect::Send(link, Message::Pong(n))),
            Message::Pong(_) => return,
            Message::Batch(_) => {
                return self.link_lost(link, "the peer sent changes outside a cycle");
            }
            Message::Decision(decision) => {
                self.link.decision = Some(decision);
                return;
            }
            Message::Progress(Resume { through, .. }) => {
                if let Some(number) = self.lane.shipping() {
                    self.effect(Effect::Durable(number, through));
                }
                return;
            }
            Message::DigestRequest(request) => return self.read_digests(link, request),
            Message::Digests(digests) => {
                if let Some(number) = self.lane.shipping() {
                    self.effect(Effect::Answer(number, digests));
                }
                return;
            }
            other => self.word_of(shipping, other),
        };
        let event = match (shipping, word) {
            (true, Some(word)) => Event::Source(source::Event::Peer(word)),
            (false, Some(word)) => Event::Target(target::Event::Peer(word)),
            (_, None) => {
                let refused = Refused::new(Cause::Internal, "the peer broke the protocol");
                return self.fail(refused);
            }
        };
        self.feed(event);
    }

    /// The protocol's message for one of the wire; `None` for one that may not come now.
    fn word_of(&mut self, shipping: bool, message: Message) -> Option<Word> {
        Some(match message {
            Message::Hello(hello) if shipping => {
                self.source.target_image = Some(hello.image);
                let requested_primary = &self.side.record()?.requested_primary;
                Word::Greeting(translate::greeting_of(&hello, requested_primary))
            }
            Message::Hello(hello) => {
                let hello = translate::hello_of(&hello)?;
                self.link.hello = Some(hello.clone());
                Word::Hello(hello)
            }
            Message::CycleBegin(begin) => Word::Begin(self.begin_of(&begin)?),
            Message::Resume(Resume { through, .. }) => Word::Ready(through),
            Message::CycleEnd(end) => {
                self.target.claimed = Some(end.sum);
                if let Some(track) = &mut self.track {
                    track.sum = Some(end.sum);
                }
                Word::End
            }
            Message::Staged(_) => Word::Staged,
            Message::Applied(applied) => {
                if let Some(track) = &mut self.track {
                    track.apply_ms = applied.apply_ms;
                }
                Word::Applied
            }
            Message::Refuse(refuse) | Message::Abort(refuse) => {
                Word::Refuse(translate::refused(refuse))
            }
            _ => return None,
        })
    }

    fn begin_of(&mut self, begin: &CycleBegin) -> Option<Begin> {
        let decision = self.link.decision.take()?;
        if let Some(track) = &mut self.track {
            track.change_source = Some(ChangeSourceUse {
                source: begin.change_source,
                reason: decision.reason.clone(),
            });
        }
        let begin = Begin {
            cycle: begin.id.cycle,
            lineage: self.link.hello.as_ref()?.lineage.clone(),
            size: begin.size_bytes,
            decision,
            base: begin.id.from,
            change_source: begin.change_source,
            consent: begin.consent,
        };
        self.link.id = Some(translate::cycle_id(&begin));
        Some(begin)
    }

    fn read_digests(&mut self, link: LinkId, request: DigestRequest) {
        if self.config.device_bytes.is_none() {
            return;
        }
        // What only a cache has a loss of power would take back: once a link, the storage is asked.
        let settle = self.link.digesting.is_none();
        let (_, under_way) = self.link.digesting.get_or_insert((link, 0));
        if *under_way >= DIGEST_REQUESTS_MAX {
            return;
        }
        *under_way += 1;
        self.effect(Effect::ReadDigests {
            link,
            request,
            settle,
        });
    }

    pub(super) fn digested(&mut self, link: LinkId, result: Result<Digests, Refused>) {
        match &mut self.link.digesting {
            Some((on, under_way)) if *on == link => *under_way = under_way.saturating_sub(1),
            _ => return,
        }
        let message = match result {
            Ok(digests) => Message::Digests(digests),
            Err(refused) => Message::Refuse(translate::refuse(&refused)),
        };
        self.effect(Effect::Send(link, message));
    }

    pub(super) fn shipped(&mut self, number: u64, event: ShipEvent) {
        if let ShipEvent::ListBroke(why) = event {
            if self.lane.is_wanted(number) {
                self.feed(Event::Source(source::Event::ListBroke(why)));
            }
            return;
        }
        let wanted = self.lane.ended(number) == Ended::Wanted;
        self.begin_work();
        if matches!(event, ShipEvent::KeptLost(_)) {
            // Whoever asked for the shipment.
            (self.kept, self.source.kept) = (None, None);
        }
        if !wanted {
            return;
        }
        let event = match event {
            ShipEvent::Drained { sum, differing } => {
                self.source.sum = Some(sum);
                self.source.differing = Some(differing);
                if let Some(track) = &mut self.track {
                    track.sum = Some(sum);
                }
                source::Event::Drained
            }
            ShipEvent::KeptLost(why) => {
                tracing::warn!(why, "the kept digests are dropped");
                source::Event::Failed(Refused::new(
                    Cause::Corrupt,
                    format!(
                        "the digests kept at the primary are not used any more: {why}; the next attempt \
                         compares with the standby's image"
                    ),
                ))
            }
            ShipEvent::Failed(refused) => source::Event::Failed(refused),
            ShipEvent::ListBroke(_) | ShipEvent::Stopped => return,
        };
        self.feed(Event::Source(event));
    }

    pub(super) fn opened(&mut self, number: u64, from: u64) {
        if self.lane.is_wanted(number) {
            self.feed(Event::Target(target::Event::Opened { from }));
        }
    }

    pub(super) fn received(&mut self, number: u64, event: ReceiveEvent) {
        if let ReceiveEvent::Durable(through) = event {
            if self.lane.is_wanted(number)
                && let (Some(link), Some(id)) = (self.link.link, self.link.id)
            {
                let progress = Message::Progress(Resume { id, through });
                self.effect(Effect::Send(link, progress));
            }
            return;
        }
        let wanted = self.lane.ended(number) == Ended::Wanted;
        match event {
            ReceiveEvent::Sealed if wanted => self.feed(Event::Target(target::Event::Sealed)),
            ReceiveEvent::Failed(refused) if wanted => {
                if matches!(refused.cause, Cause::Corrupt | Cause::StagingTooSmall)
                    || self.config.rules.breaks(Rule::ForgetsAfterError)
                {
                    // What is stored there can't be resumed.
                    self.work(Work::Discard(Discard::Staged));
                }
                self.feed(Event::Target(target::Event::Failed(refused)));
            }
            _ => {}
        }
        self.begin_work();
    }

    pub(super) fn written(&mut self, number: u64, result: Result<u64, NotWritten>) {
        if self.lane.ended(number) != Ended::Wanted {
            return;
        }
        if self.target.discarding == Some(number) {
            return self.discarded(number);
        }
        match result {
            Ok(apply_ms) => {
                if let Some(track) = &mut self.track {
                    track.apply_ms = apply_ms;
                }
                self.target.unwritten = None;
                self.feed(Event::Target(target::Event::Written));
                self.answer_promotions(None, None);
            }
            Err(not) => self.not_written(not),
        }
        self.begin_work();
    }

    pub(super) fn discarded(&mut self, number: u64) {
        let _: Ended = self.lane.ended(number);
        if self.target.discarding == Some(number) {
            self.target.discarding = None;
            self.feed(Event::Target(target::Event::Dropped));
        }
        self.begin_work();
    }

    pub(super) fn digests_committed(&mut self, number: u64, kept: Option<Point>) {
        let _: Ended = self.lane.ended(number);
        self.kept = kept;
        if let Some((id, response)) = self.replies.remove(&number) {
            self.reply(id, response);
        }
        self.begin_work();
    }
}
