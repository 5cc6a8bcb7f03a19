//! What an action of the protocol leads to.

use crate::effect::{Discard, Effect, ShipWork, Work};
use crate::machine::Core;
use crate::mutations::Rule;
use crate::progress::CycleTrack;
use crate::translate;
use protocol::pair::change_plan::{Candidates, Plan};
use protocol::pair::handshake::Superblock as PeerSuperblock;
use protocol::pair::message::{Begin, Message as Word, goes_in_place};
use protocol::pair::{Action, Outcome, Record};
use protocol::units::{CyclePhase, Decision, ImageState, PeerName, VolumeId};
use storage::journal::{StagingSpec, Superblock};
use wire::control::CycleOutcome;
use wire::{CycleBegin, CycleEnd, Message, TransferForm};

impl Core {
    /// Does one thing that the protocol asks for.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Persist(record) => self.persist(&record),
            Action::Send(word) => self.send(word),
            Action::Dial => self.dial(),
            Action::Hangup => self.hang_up(),
            Action::Decided(decision) => self.decided(decision),
            Action::Phase(phase) => self.enter(phase),
            Action::Ship { plan, from } => self.start_shipping(plan, from),
            Action::Fall(plan) => self.fall_back(plan),
            Action::StopShipping => self.stop_shipping(),
            Action::KeepDigests(cycle) => {
                let number = self.work(Work::CommitDigests(cycle));
                self.committing = Some(number);
            }
            Action::OpenStaging(begin) if !self.config.rules.breaks(Rule::AppliesAtOnce) => {
                self.stage(&begin);
            }
            Action::OpenStaging(begin) | Action::OpenInPlace(begin) => {
                self.work(Work::Overwrite {
                    id: translate::cycle_id(&begin),
                    size: begin.size,
                    change_source: begin.change_source,
                });
            }
            Action::StopReceiving => self.stop_receiving(),
            Action::Seal => {
                if let (Some(number), Some(sum)) = (self.lane.receiving(), self.target.claimed) {
                    self.effect(Effect::Seal(number, sum));
                }
            }
            Action::Apply(cycle) => {
                let only = self.still_unwritten(cycle);
                self.work(Work::Apply { cycle, only });
            }
            Action::DropStaging { report } => {
                let promotes = report && self.config.rules.breaks(Rule::PromotesUncommitted);
                let number = self.work(match self.side.record().and_then(Record::head) {
                    Some(cycle) if promotes => Work::Apply { cycle, only: None },
                    _ => Work::Discard(Discard::All),
                });
                if report {
                    self.target.discarding = Some(number);
                }
            }
            Action::Finish(outcome) => self.finish(outcome),
            Action::Promoted(epoch) => tracing::info!(%epoch, "promoted"),
        }
    }

    fn persist(&mut self, record: &Record) {
        let old = self.superblock.as_ref();
        let superblock = Superblock {
            volume: self.volume(old),
            ..translate::superblock_of(old, &self.config.site, record, self.size())
        };
        self.superblock = Some(superblock.clone());
        let number = self.next_number();
        let over_damage = std::mem::take(&mut self.over_damage);
        self.effect(Effect::Persist {
            number,
            superblock: Box::new(superblock),
            over_damage,
        });
    }

    /// The volume that the image is on: what is written to is known, else what was known stays.
    fn volume(&self, old: Option<&Superblock>) -> Option<VolumeId> {
        let own = self.config.volume.clone();
        own.filter(|_| !self.config.read_only)
            .or_else(|| old?.volume.clone())
    }

    fn send(&mut self, word: Word) {
        let Some(link) = self.link.link else {
            return;
        };
        if let Word::Begin(begin) = &word {
            // Two messages for one word.
            let decision = Message::Decision(begin.decision.clone());
            self.effect(Effect::Send(link, decision));
        }
        let last = word == Word::End;
        if let Some(message) = self.message_of(word) {
            self.effect(match last {
                true => Effect::SendLast(link, message),
                false => Effect::Send(link, message),
            });
        }
    }

    /// The wire's message for a message of the protocol.
    fn message_of(&mut self, word: Word) -> Option<Message> {
        let site = &self.config.site;
        Some(match word {
            Word::Hello(hello) => Message::Hello(Box::new(translate::wire_hello(
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
                let hello = translate::wire_hello(site, record, greeting.size, None);
                Message::Hello(Box::new(hello))
            }
            Word::Begin(begin) => {
                let id = translate::cycle_id(&begin);
                self.link.id = Some(id);
                Message::CycleBegin(CycleBegin {
                    id,
                    size_bytes: begin.size,
                    form: self.form_of(&begin),
                    change_source: begin.change_source,
                    consent: begin.consent,
                })
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
            Word::Refuse(refused) => Message::Refuse(translate::refuse(&refused)),
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
        let Some(request) = &self.source.request else {
            return;
        };
        let address = request.peer.clone();
        let peer = PeerName::Mover {
            site: request.peer_site.clone(),
            pair: self.config.pair.clone(),
        };
        let number = self.next_number();
        self.source.dialing = number;
        self.effect(Effect::Dial {
            number,
            address,
            peer,
        });
    }

    /// Closes the connection to the peer, if there is one.
    pub(super) fn hang_up(&mut self) {
        self.link.digesting = None;
        if let Some(link) = self.link.link.take() {
            self.effect(Effect::Hangup(link));
        }
    }

    fn decided(&mut self, decision: Decision) {
        tracing::info!(mode = ?decision.mode, row = ?decision.row, reason = decision.reason, "decided");
        if let Some(track) = &mut self.track {
            track.decision = Some(decision);
        }
    }

    fn enter(&mut self, phase: CyclePhase) {
        let now = self.at.now_ms;
        if let Some(cycle) = self.cycle()
            && (self.track.is_none() || phase == CyclePhase::Handshake)
        {
            let mut track = CycleTrack::begin(cycle, now);
            if phase == CyclePhase::Handshake {
                track.planned_bytes = self.size();
                self.watch.moved_ms = now;
            }
            self.track = Some(track);
        }
        if let Some(track) = &mut self.track {
            track.enter(phase, now);
        }
    }

    fn start_shipping(&mut self, plan: Plan, from: u64) {
        let decision = self
            .track
            .as_ref()
            .and_then(|track| track.decision.as_ref());
        let plan = self.config.rules.mutate_plan(plan, decision);
        let (Some(link), Some(request), Some(id)) =
            (self.link.link, &self.source.request, self.link.id)
        else {
            return;
        };
        tracing::info!(change_source = ?plan.change_source.source, reason = plan.change_source.reason, from, "shipping");
        if let Some(track) = &mut self.track {
            track.change_source = Some(plan.change_source.clone());
            if let Candidates::Range(range) = plan.candidates {
                track.range = Some(range);
                track.planned_bytes = range.len;
            }
        }
        let work = ShipWork {
            link,
            id,
            plan,
            resume_at: from,
            compression: request.transfer.compression,
            kept: self.source.kept,
            read_rate: self.source.read_rate,
            stall_ms: request.transfer.stall_timeout_ms.max(1),
        };
        self.work(Work::Ship(Box::new(work)));
    }

    fn fall_back(&mut self, plan: Plan) {
        tracing::warn!(change_source = ?plan.change_source.source, reason = plan.change_source.reason, "fell back");
        if let Some(track) = &mut self.track {
            track.change_source = Some(plan.change_source.clone());
        }
        if let Some(number) = self.lane.shipping() {
            self.effect(Effect::FallBack(number, plan));
        }
    }

    fn stop_shipping(&mut self) {
        if let Some(number) = self.lane.stop_shipping(self.at.now_ms) {
            self.effect(Effect::Stop(number));
        }
        self.source.dialing = 0;
        self.effect(Effect::DropList);
    }

    fn stage(&mut self, begin: &Begin) {
        let spec = StagingSpec {
            id: translate::cycle_id(begin),
            size_bytes: begin.size,
            change_source: begin.change_source,
        };
        let applied = self.side.record().and_then(Record::head);
        self.work(Work::Stage { spec, applied });
    }

    /// Stops receiving. What is durable stays on disk and is found there again.
    fn stop_receiving(&mut self) {
        self.link.digesting = None;
        if let Some(number) = self.lane.stop_receiving(self.at.now_ms) {
            self.effect(Effect::Stop(number));
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        let now = self.at.now_ms;
        let differing = self.source.differing.take();
        self.watch.stall_ms = u64::MAX;
        self.effect(Effect::DropList);
        let Some(track) = &mut self.track else {
            return;
        };
        track.end(now);
        self.last = Some(match outcome {
            Outcome::Applied(cycle) => {
                track.cycle = cycle;
                track.outcome(differing)
            }
            Outcome::Failed(cycle, refused) => CycleOutcome::Failed {
                cycle,
                retryable: refused.cause.is_retryable(),
                cause: translate::refusal(&refused),
            },
        });
        tracing::info!(outcome = ?self.last, "the cycle ended on this side");
    }
}
