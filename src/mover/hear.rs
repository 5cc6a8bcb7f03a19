//! Taking in what links and threads report.

use std::sync::PoisonError;

use crate::convert;
use crate::link::PeerLink;
use crate::run::{Input, Mover, OpenedLanding, OpenedStaging};
use crate::source::ship::ShipEvent;
use crate::target::digests;
use crate::target::receive::{ReceiveEvent, Receiving, Remains};
use protocol::pair::message::{Begin, Message as Word};
use protocol::pair::side::Event;
use protocol::pair::{Cause, Refused, source, target};
use protocol::units::PeerName;
use transport::{Link as _, Session};
use wire::{CycleBegin, Message, Resume};

impl Mover {
    /// A mover of our pair has connected: it is let in when it is the one that was ordered. One that
    /// is here already has then lost its connection, even if ours does not know yet.
    pub(super) async fn accepted(&mut self, session: Session) {
        let ordered = match session.peer() {
            PeerName::Mover { site, .. } => self.target.peer.as_ref() == Some(site),
            PeerName::Operator => false,
        };
        if ordered && self.link.link.is_some() && self.side.receiving().is_some() {
            let why = "the source has connected anew".to_string();
            self.feed(Event::Target(target::Event::LinkLost(why)));
            // What follows stops the receiver before the new link is there.
            self.stop_receiving().await;
        }
        let link = self.start_link(session);
        if !ordered {
            let refused = Refused::new(
                Cause::WrongIdentity,
                format!("{} is not expected here: order Receive first", link.peer),
            );
            return link.say(Message::Refuse(convert::refuse(&refused))).await;
        }
        self.link.link = Some(link);
    }

    pub(super) fn dialed(&mut self, number: u64, result: Result<Box<Session>, Refused>) {
        if number != self.source.dialing {
            return;
        }
        match result {
            Ok(session) => {
                let link = self.start_link(*session);
                self.link.link = Some(link);
                self.feed(Event::Source(source::Event::Connected));
            }
            Err(refused) => self.feed(Event::Source(source::Event::Failed(refused))),
        }
    }

    fn start_link(&mut self, session: Session) -> PeerLink {
        let number = self.next_number();
        PeerLink::start(
            number,
            session,
            self.inputs.clone(),
            self.link.throttle.clone(),
            self.link.sink.clone(),
        )
    }

    pub(super) fn link_lost(&mut self, link: u64, why: &str) {
        if self.link.link.as_ref().is_none_or(|now| now.id != link) {
            return;
        }
        self.note_counters();
        self.link.link = None;
        self.target.digester = None;
        if self.side.shipping().is_some() {
            let refused = Refused::new(
                Cause::PeerUnreachable,
                format!("the connection to the target ended: {why}"),
            );
            self.feed(Event::Source(source::Event::Failed(refused)));
        } else {
            self.feed(Event::Target(target::Event::LinkLost(why.into())));
        }
    }

    pub(super) async fn word(&mut self, link: u64, message: Message) {
        if self.link.link.as_ref().is_none_or(|now| now.id != link) {
            return;
        }
        if !matches!(message, Message::Pong(_)) {
            self.watch.words += 1;
        }
        let shipping = self.side.shipping().is_some();
        let word = match message {
            Message::Ping(n) => return self.pong(n).await,
            Message::Pong(_) => return,
            Message::Decision(decision) => {
                self.link.decision = Some(decision);
                return;
            }
            Message::Progress(Resume { through, .. }) => {
                if let Some(shipment) = &self.source.shipment {
                    shipment.window.durable(through);
                }
                return;
            }
            Message::DigestRequest(request) => {
                if let Some(digester) = self.digester() {
                    // The source has few requests under way, so there is always a place.
                    let _place = digester.try_send(request);
                }
                return;
            }
            Message::Digests(digests) => {
                if let Some(shipment) = &self.source.shipment {
                    shipment.answer(digests);
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

    /// The protocol's word for a message of the wire; `None` for one that may not come now.
    fn word_of(&mut self, shipping: bool, message: Message) -> Option<Word> {
        Some(match message {
            Message::Hello(hello) if shipping => {
                self.source.target_image = Some(hello.image);
                let wish = &self.side.record()?.wish;
                Word::Greeting(convert::greeting_of(&hello, wish))
            }
            Message::Hello(hello) => {
                let hello = convert::hello_of(&hello)?;
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
                Word::Refuse(convert::refused(refuse))
            }
            _ => return None,
        })
    }

    fn begin_of(&mut self, begin: &CycleBegin) -> Option<Begin> {
        let decision = self.link.decision.take()?;
        if let Some(track) = &mut self.track {
            track.rung = Some(protocol::units::RungUse {
                rung: begin.rung,
                reason: decision.reason.clone(),
            });
        }
        let begin = Begin {
            cycle: begin.id.cycle,
            lineage: self.link.hello.as_ref()?.lineage.clone(),
            size: begin.size_bytes,
            decision,
            base: begin.id.from,
            rung: begin.rung,
            consent: begin.consent,
        };
        self.begin_known(&begin);
        Some(begin)
    }

    async fn pong(&self, n: u64) {
        if let Some(link) = &self.link.link {
            link.say(Message::Pong(n)).await;
        }
    }

    fn digester(&mut self) -> Option<&tokio::sync::mpsc::Sender<wire::DigestRequest>> {
        if self.target.digester.is_none() {
            let device = self.setup.device.clone()?;
            let words = self.link.link.as_ref()?.words();
            self.target.digester = digests::start(device, words).ok();
        }
        self.target.digester.as_ref()
    }

    pub(super) fn shipped(&mut self, number: u64, event: ShipEvent) {
        if self
            .source
            .shipment
            .as_ref()
            .is_none_or(|now| now.number != number)
        {
            return;
        }
        self.note_counters();
        let event = match event {
            ShipEvent::ListBroke(why) => source::Event::ListBroke(why),
            ShipEvent::Drained(sum) => {
                self.source.sum = Some(sum);
                self.target.log = self.source.shipment.as_ref().and_then(|s| s.take_digests());
                if let Some(track) = &mut self.track {
                    track.sum = Some(sum);
                }
                source::Event::Drained
            }
            ShipEvent::Failed(refused) => source::Event::Failed(refused),
        };
        self.feed(Event::Source(event));
    }

    pub(super) fn opened(&mut self, number: u64, result: Result<OpenedLanding, Refused>) {
        if number != self.target.opening {
            return;
        }
        let size = self.target.begin.as_ref().map_or(0, |begin| begin.size);
        let started = result.and_then(|OpenedLanding(landing)| {
            let from = landing.through();
            Receiving::start(
                number,
                size,
                landing,
                self.inputs.clone(),
                self.setup.clock.clone(),
                tokio::runtime::Handle::current(),
            )
            .map(|receiving| (receiving, from))
        });
        match started {
            Ok((receiving, from)) => {
                let sink = receiving.sink.clone();
                *self
                    .link
                    .sink
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(sink);
                self.target.receiving = Some(receiving);
                self.feed(Event::Target(target::Event::Opened { from }));
            }
            Err(refused) => self.feed(Event::Target(target::Event::Failed(refused))),
        }
    }

    pub(super) async fn received(&mut self, number: u64, event: ReceiveEvent) {
        if self
            .target
            .receiving
            .as_ref()
            .is_none_or(|now| now.number != number)
        {
            return;
        }
        self.note_counters();
        match event {
            ReceiveEvent::Durable(through) => {
                if let (Some(link), Some(id)) = (&self.link.link, self.link.id) {
                    link.say(Message::Progress(Resume { id, through })).await;
                }
            }
            ReceiveEvent::Sealed(_) => {
                self.take_landing().await;
                self.feed(Event::Target(target::Event::Sealed));
            }
            ReceiveEvent::Failed(refused) => {
                let corrupt = refused.cause == Cause::Corrupt;
                self.take_landing().await;
                if corrupt || refused.cause == Cause::StagingTooSmall {
                    // What lies there can't be taken up again.
                    if let Some(staging) = self.target.staging.take()
                        && let Err(error) = staging.remove()
                    {
                        tracing::warn!(%error, "staging could not be removed");
                    }
                }
                self.feed(Event::Target(target::Event::Failed(refused)));
            }
        }
    }

    /// Ends the receiver's thread and takes over what it has written to.
    pub(super) async fn take_landing(&mut self) {
        *self
            .link
            .sink
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        let Some(receiving) = self.target.receiving.take() else {
            return;
        };
        if let Some(track) = &mut self.track {
            track.received(&receiving.count);
        }
        let stopped = tokio::task::spawn_blocking(move || receiving.stop()).await;
        let Remains { staging, log } = stopped.unwrap_or_default();
        self.target.staging = staging;
        self.target.log = log;
    }

    /// Stops taking in. What is durable stays on disk and is found there again.
    pub(super) async fn stop_receiving(&mut self) {
        self.target.opening = 0;
        self.target.digester = None;
        self.take_landing().await;
        self.target.staging = None;
        self.target.log = None;
    }

    pub(super) fn written(&mut self, result: Result<(OpenedStaging, u64), Refused>) {
        self.target.applying = false;
        match result {
            Ok((OpenedStaging(staging), apply_ms)) => {
                self.target.staging = staging;
                if let Some(track) = &mut self.track {
                    track.apply_ms = apply_ms;
                }
                self.feed(Event::Target(target::Event::Written));
            }
            Err(refused) => self.feed(Event::Target(target::Event::Failed(refused))),
        }
    }

    /// Whether anybody waits for this input still; used by threads before long work.
    #[must_use]
    pub(super) fn sender(&self) -> tokio::sync::mpsc::Sender<Input> {
        self.inputs.clone()
    }
}
