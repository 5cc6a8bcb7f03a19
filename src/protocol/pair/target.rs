//! The receiving side of a cycle, and of a promotion.
//!
//! ```text
//!        Receive            Hello            Begin              opened               End
//! Idle ─────────> Expecting ─────> Greeted ──────> Opening ────────────> Receiving ─────> Sealing
//!  ▲                  │ ▲             │               │                      │  │            │
//!  │ abort            │ └─ link lost ─┴───────────────┴──────────────────────┘  │ stop       │ whole
//!  ├──────────────────┘                                                         ▼            ▼
//!  │<────────────── set is on the volume ──────────────────────────────────── Idle       Applying
//!  │                                                                                         │
//!  └─────────────────────────────────────────────────────────────────────────────────────────┘
//! Idle ──Promote──> Applying (a complete set) or Dropping (the rest) ──> Idle, as primary
//! ```
//!
//! What a promotion does is in `target_promotion.rs`.

use crate::pair::action::{Action, Outcome};
use crate::pair::begin_check::admits;
use crate::pair::handshake::Superblock;
use crate::pair::message::{Begin, Greeting, Hello, Message, goes_in_place};
use crate::pair::promote;
use crate::pair::source::{out_of_order, word};
use crate::pair::target_state::{Incoming, Name, State, may_follow};
use crate::pair::{Cause, Record, Refused, fence, verify};
use crate::units::{ChangeSource, CyclePhase, ImageState, Point, Role};

/// What can happen to a receiving side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer spoke. What its superblock says was read before; `size` is that of the volume.
    Peer(Message),
    /// Staging (or the volume, for a cycle in place) is open; everything before byte `from` of the
    /// volume is durable already.
    Opened {
        /// The first byte that is lacking.
        from: u64,
    },
    /// The set is whole, checked and durable; in place, the volume is flushed.
    Sealed,
    /// The staged set is completely on the volume, and the volume is flushed.
    Written,
    /// The staged set could not be written to the volume, or not all of it.
    NotWritten(Refused),
    /// Time has passed since a set could not be written.
    TryAgain,
    /// Staging is empty.
    Dropped,
    /// The link is gone.
    LinkLost(String),
    /// It can't go on: a device, staging, a checksum, the peer's silence.
    Failed(Refused),
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub(super) state: State,
    /// Why the set that is recorded as complete could not be written, where it was attempted.
    pub(super) unwritten: Option<Refused>,
}

impl Target {
    /// The cut that is expected, being received or applied.
    #[must_use]
    pub fn cycle(&self) -> Option<Point> {
        match &self.state {
            State::Idle | State::Dropping(_) => None,
            State::Expecting(cycle) | State::Greeted(cycle) | State::Applying { cycle, .. } => {
                Some(*cycle)
            }
            State::Opening(incoming) | State::Receiving(incoming) | State::Sealing(incoming) => {
                Some(incoming.begin.cycle)
            }
        }
    }

    /// Whether a peer that connects now is expected.
    #[must_use]
    pub fn is_expecting(&self) -> bool {
        matches!(self.state, State::Expecting(_))
    }

    /// Takes the command to receive a cut. Repeating the one under way changes nothing.
    ///
    /// # Errors
    /// When the command does not fit the role, the epoch or the cycle under way.
    pub fn command(&mut self, record: &Record, cycle: Point) -> Result<Vec<Action>, Refused> {
        fence::admit(record.epoch, cycle.epoch, "the cut")?;
        if record.role != Role::Standby {
            return Err(out_of_order(format!(
                "this side is primary in epoch {}: it must be demoted before it can receive cut {cycle}",
                record.epoch
            )));
        }
        match self.cycle() {
            Some(now) if now == cycle => return Ok(Vec::new()),
            Some(now) => {
                return Err(out_of_order(format!(
                    "cut {now} is being received: wait for it or abort it"
                )));
            }
            None if self.state != State::Idle => {
                return Err(out_of_order("a promotion is under way".into()));
            }
            None => {}
        }
        if let ImageState::Redo(whole) = record.image {
            // Writing it failed before; it goes first, and only then is anything new taken in.
            self.go(State::Applying {
                cycle: whole,
                then: None,
            });
            return Ok(vec![
                Action::Phase(CyclePhase::Applying),
                Action::Apply(whole),
            ]);
        }
        self.go(State::Expecting(cycle));
        Ok(vec![Action::Phase(CyclePhase::Handshake)])
    }

    /// Resumes what was interrupted: a set that is recorded as complete is applied.
    pub fn recover(&mut self, record: &Record) -> Vec<Action> {
        match (record.role, record.image) {
            (Role::Standby, ImageState::Redo(cycle)) => {
                self.go(State::Applying { cycle, then: None });
                vec![
                    Action::Phase(CyclePhase::Staged),
                    Action::Phase(CyclePhase::Applying),
                    Action::Apply(cycle),
                ]
            }
            _ => Vec::new(),
        }
    }

    /// Takes the command to commit a cut. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the cut is not the one that is completely on the volume.
    pub fn commit(&mut self, record: &Record, cycle: Point) -> Result<Vec<Action>, Refused> {
        if record.committed == Some(cycle) && record.head() == Some(cycle) {
            return Ok(vec![Action::KeepDigests(cycle)]);
        }
        let torn = record.image == ImageState::Inconsistent && record.committed == Some(cycle);
        if record.applied != Some(cycle) || record.diverged || torn {
            return Err(out_of_order(format!(
                "cut {cycle} can't be committed: the newest cut that is completely on the volume is {}",
                record
                    .applied
                    .map_or("none".into(), |point| point.to_string())
            )));
        }
        let record = Record {
            committed: Some(cycle),
            image: match record.image {
                // The next set is whole already and may be on the volume in part: it stays recorded.
                ImageState::Redo(next) => ImageState::Redo(next),
                _ => ImageState::Consistent(cycle),
            },
            ..record.clone()
        };
        // The record goes first: digests that are a cut behind cost reading, never data.
        Ok(vec![
            Action::Persist(Box::new(record)),
            Action::KeepDigests(cycle),
            Action::Phase(CyclePhase::Committed),
        ])
    }

    /// Takes in what has happened. `size` is that of the volume in bytes; `readable` is false when
    /// the superblock could not be read, in which case nothing but a refusal is ever said.
    pub fn on(&mut self, record: &Record, size: u64, event: Event) -> Vec<Action> {
        match event {
            Event::Peer(Message::Hello(hello)) => self.hello(record, size, &hello),
            Event::Peer(Message::Begin(begin)) => self.begin(record, size, begin),
            Event::Peer(Message::End) => self.end(record),
            Event::Peer(Message::Refuse(refused)) => self.stop(record, refused, false),
            Event::Peer(message) => {
                let name = self.state.name();
                let said = word(&message);
                let refused = Refused::new(
                    Cause::Internal,
                    format!("the peer said {said} while this side was {name:?}"),
                );
                self.stop(record, refused, true)
            }
            Event::Opened { from } => self.opened(from),
            Event::Sealed => self.sealed(record),
            Event::Written => self.written(record),
            Event::NotWritten(refused) => self.not_written(record, refused),
            Event::TryAgain => match self.state {
                State::Idle => self.recover(record),
                _ => Vec::new(),
            },
            Event::Dropped => self.dropped(record),
            Event::LinkLost(why) => self.link_lost(&why),
            Event::Failed(refused) => self.stop(record, refused, true),
        }
    }

    fn hello(&mut self, record: &Record, size: u64, hello: &Hello) -> Vec<Action> {
        let State::Expecting(cycle) = self.state else {
            let refused = match self.cycle() {
                // A source that lost its connection may be back before the set is on the volume.
                Some(cycle) if cycle == hello.cycle => Refused::new(
                    Cause::PeerUnreachable,
                    format!("cut {cycle} is being made whole here: ask again in a moment"),
                ),
                _ => out_of_order(format!("cut {} is not expected here", hello.cycle)),
            };
            return vec![Action::Send(Message::Refuse(refused)), Action::Hangup];
        };
        if hello.pair_id != record.pair_id {
            let refused = Refused::new(
                Cause::HandshakeRefused,
                format!(
                    "the peer is of pair {}, this side of {}: check which volumes the pair names",
                    hello.pair_id, record.pair_id
                ),
            );
            return self.stop(record, refused, true);
        }
        if hello.cycle != cycle {
            let refused =
                out_of_order(format!("cut {cycle} is expected here, not {}", hello.cycle));
            return self.stop(record, refused, true);
        }
        self.go(State::Greeted(cycle));
        vec![Action::Send(Message::Greeting(Greeting {
            superblock: Superblock::Known(Box::new(record.clone())),
            size,
        }))]
    }

    fn begin(&mut self, record: &Record, size: u64, begin: Begin) -> Vec<Action> {
        let State::Greeted(cycle) = self.state else {
            return self.stop(
                record,
                out_of_order("Begin came without Hello".into()),
                true,
            );
        };
        if let Err(refused) = admits(record, size, cycle, &begin) {
            return self.stop(record, refused, true);
        }
        let mut actions = Vec::new();
        if record.epoch < begin.cycle.epoch {
            // From here on the old epoch is fenced, whatever comes of the cycle.
            let fenced = Record {
                epoch: begin.cycle.epoch,
                ..record.clone()
            };
            actions.push(Action::Persist(Box::new(fenced)));
        }
        let verifies = begin.change_source == ChangeSource::Verify;
        if record.holds(cycle) && !verifies {
            self.go(State::Idle);
            actions.extend([
                Action::Send(Message::Applied),
                Action::Phase(CyclePhase::Applied),
                Action::Finish(Outcome::Applied(cycle)),
            ]);
            return actions;
        }
        let in_place = goes_in_place(record.image, begin.decision.mode);
        if in_place && record.applied.is_some() {
            // An earlier copy in place ended, but was never committed; it is being overwritten. So is
            // what was at this very cut once: only a commit makes it count again.
            actions.push(Action::Persist(Box::new(Record {
                epoch: begin.cycle.epoch,
                applied: None,
                committed: record.committed.filter(|committed| *committed != cycle),
                ..record.clone()
            })));
        }
        let open = if in_place {
            Action::OpenInPlace
        } else {
            Action::OpenStaging
        };
        actions.push(open(Box::new(begin.clone())));
        self.go(State::Opening(Incoming { begin, in_place }));
        actions
    }

    fn opened(&mut self, from: u64) -> Vec<Action> {
        let State::Opening(incoming) = &self.state else {
            return Vec::new();
        };
        let incoming = incoming.clone();
        self.go(State::Receiving(incoming));
        vec![
            Action::Phase(CyclePhase::Shipping),
            Action::Send(Message::Ready(from)),
        ]
    }

    fn end(&mut self, record: &Record) -> Vec<Action> {
        let State::Receiving(incoming) = &self.state else {
            return self.stop(
                record,
                out_of_order("End came without a cycle".into()),
                true,
            );
        };
        let incoming = incoming.clone();
        self.go(State::Sealing(incoming));
        vec![Action::Seal]
    }

    fn sealed(&mut self, record: &Record) -> Vec<Action> {
        let State::Sealing(incoming) = &self.state else {
            return Vec::new();
        };
        let Incoming { begin, in_place } = incoming.clone();
        let cycle = begin.cycle;
        if in_place {
            // A baseline: the cut is on the volume, but the image counts only once committed.
            let record = Record {
                lineage: begin.lineage,
                applied: Some(cycle),
                diverged: false,
                ..record.clone()
            };
            self.go(State::Idle);
            return vec![
                Action::Persist(Box::new(record)),
                Action::Send(Message::Applied),
                Action::Phase(CyclePhase::Applied),
                Action::Finish(Outcome::Applied(cycle)),
            ];
        }
        let record = Record {
            lineage: begin.lineage,
            image: ImageState::Redo(cycle),
            ..record.clone()
        };
        self.go(State::Applying { cycle, then: None });
        vec![
            Action::Persist(Box::new(record)),
            Action::Send(Message::Staged),
            Action::Phase(CyclePhase::Staged),
            Action::Phase(CyclePhase::Applying),
            Action::Apply(cycle),
        ]
    }

    fn written(&mut self, record: &Record) -> Vec<Action> {
        let State::Applying { cycle, then } = &self.state else {
            return Vec::new();
        };
        let (cycle, then) = (*cycle, then.clone());
        let record = Record {
            applied: Some(cycle),
            image: ImageState::Consistent(cycle),
            diverged: false,
            ..record.clone()
        };
        self.unwritten = None;
        self.go(State::Idle);
        let mut actions = vec![
            Action::Persist(Box::new(record.clone())),
            Action::DropStaging { report: false },
            Action::Send(Message::Applied),
            Action::Phase(CyclePhase::Applied),
            Action::Finish(Outcome::Applied(cycle)),
        ];
        if record.committed == Some(cycle) {
            actions.extend(verify::done(cycle));
        }
        if let Some(command) = then {
            actions.extend(promote::record(&record, &command));
        }
        actions
    }

    /// The set stays complete, so that it can be tried again; a promotion that waits for it is void.
    fn not_written(&mut self, record: &Record, refused: Refused) -> Vec<Action> {
        if self.state.name() != Name::Applying {
            return Vec::new();
        }
        self.unwritten = (refused.cause != Cause::Corrupt).then(|| refused.clone());
        self.stop(record, refused, true)
    }

    /// The link broke: what is durable stays, and the same cycle is still expected.
    fn link_lost(&mut self, why: &str) -> Vec<Action> {
        match self.state.name() {
            // Nobody was there, or the set is whole and goes forward without the peer.
            Name::Idle | Name::Expecting | Name::Sealing | Name::Applying | Name::Dropping => {
                Vec::new()
            }
            Name::Greeted | Name::Opening | Name::Receiving => {
                let cycle = self.cycle();
                let refused = Refused::new(
                    Cause::PeerUnreachable,
                    format!("the source's connection ended: {why}"),
                );
                self.go(State::Idle);
                let mut actions = vec![Action::StopReceiving, Action::Hangup];
                if let Some(cycle) = cycle {
                    actions.push(Action::Finish(Outcome::Failed(cycle, refused)));
                    // The command to receive it stands: a source that comes back is let in.
                    self.go(State::Expecting(cycle));
                }
                actions
            }
        }
    }

    /// Ends the cycle without effect. Where the set is whole already it goes forward instead, but a
    /// set that could not be made whole or written does end: the record says where to take it up.
    fn stop(&mut self, record: &Record, refused: Refused, tell: bool) -> Vec<Action> {
        let cycle = self.cycle();
        let aborted = refused.cause == Cause::Aborted;
        let spoiled =
            tell && refused.cause == Cause::Corrupt && self.state.name() == Name::Applying;
        let mut actions = Vec::new();
        match self.state.name() {
            Name::Sealing | Name::Applying | Name::Dropping if aborted || !tell => {
                if let (true, State::Applying { then, .. }) = (aborted, &mut self.state) {
                    // The set goes forward all the same, but a promotion that waits for it does not.
                    *then = None;
                }
                return actions;
            }
            Name::Idle => {}
            _ => self.state = State::Idle,
        }
        if tell {
            actions.push(Action::Send(Message::Refuse(refused.clone())));
        }
        actions.extend([Action::StopReceiving, Action::Hangup]);
        if spoiled {
            // Never to be whole again, and perhaps on the volume in part: what differs is sent again.
            let torn = Action::Persist(Box::new(record.torn()));
            actions.extend([torn, Action::DropStaging { report: false }]);
        }
        if let Some(cycle) = cycle {
            actions.push(Action::Finish(Outcome::Failed(cycle, refused)));
        }
        actions
    }

    pub(super) fn go(&mut self, to: State) {
        let (from, name) = (self.state.name(), to.name());
        assert!(
            may_follow(from, name),
            "a target can't go from {from:?} to {name:?}"
        );
        self.state = to;
    }
}
