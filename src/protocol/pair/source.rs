//! The shipping side of a cycle.
//!
//! ```text
//! Idle ──Ship──> Dialing ──up──> Greeting ──Greeting──> Beginning ──Ready──> Shipping
//!  ▲                │               │                       │                   │ drained
//!  │                │               │                       │ Applied           ▼
//!  └── any failure, abort ──────────┴───────────────────────┼─────────────── Ending
//!                                                           ▼                   │ Staged
//! Idle <────────────────────────────────────────────────  done <──Applied── Applying
//! ```

use crate::pair::action::{Action, Outcome};
use crate::pair::change_plan;
use crate::pair::change_plan::{List, Means};
use crate::pair::handshake::{Inputs, PrimaryView, StandbyView, decide};
use crate::pair::message::{Begin, Greeting, Hello, Message};
use crate::pair::{Cause, Record, Refused, fence, verify};
use crate::units::{CyclePhase, Decision, Epoch, Extent, HandshakeMode, HandshakeRow, Point, Role};

/// The command to ship a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ship {
    /// The cut whose image is on the device.
    pub cycle: Point,
    /// The size of that image in bytes.
    pub size: u64,
    /// The operator's list of changes.
    pub list: List,
    /// Why the list is no better.
    pub list_reason: String,
    /// The cut that the digests kept here describe.
    pub kept: Option<Point>,
    /// Consent to overwrite a diverged target, for exactly this epoch.
    pub consent: Option<Epoch>,
    /// The range to verify, where nothing new is shipped.
    pub verify: Option<Extent>,
}

/// What can happen to a shipping side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The link is up.
    Connected,
    /// The peer spoke.
    Peer(Message),
    /// The operator's list broke.
    ListBroke(String),
    /// Everything that the plan names has been read and sent, and nothing is in flight.
    Drained,
    /// It can't go on: the link, the device, the peer's silence, or a command to stop.
    Failed(Refused),
}

/// Where the side stands. Each state holds what exists in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Dialing(Ship),
    Greeting(Ship),
    Beginning(Ship, Means),
    Shipping(Ship, Means),
    Ending(Ship),
    Applying(Ship),
}

/// The plain name of a [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Idle,
    Dialing,
    Greeting,
    Beginning,
    Shipping,
    Ending,
    Applying,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    state: State,
}

/// What may follow what; leaving for Idle is always allowed.
fn may_follow(from: Name, to: Name) -> bool {
    use Name::{Applying, Beginning, Dialing, Ending, Greeting, Idle, Shipping};
    to == Idle
        || matches!(
            (from, to),
            (Idle, Dialing)
                | (Dialing, Greeting)
                | (Greeting, Beginning)
                | (Beginning | Shipping, Shipping)
                | (Shipping, Ending)
                | (Ending, Applying)
        )
}

impl State {
    fn name(&self) -> Name {
        match self {
            State::Idle => Name::Idle,
            State::Dialing(_) => Name::Dialing,
            State::Greeting(_) => Name::Greeting,
            State::Beginning(..) => Name::Beginning,
            State::Shipping(..) => Name::Shipping,
            State::Ending(_) => Name::Ending,
            State::Applying(_) => Name::Applying,
        }
    }

    fn ship(&self) -> Option<&Ship> {
        match self {
            State::Idle => None,
            State::Dialing(ship)
            | State::Greeting(ship)
            | State::Beginning(ship, _)
            | State::Shipping(ship, _)
            | State::Ending(ship)
            | State::Applying(ship) => Some(ship),
        }
    }
}

impl Source {
    /// The cut that is being shipped.
    #[must_use]
    pub fn cycle(&self) -> Option<Point> {
        self.state.ship().map(|ship| ship.cycle)
    }

    /// Takes the command to ship a cut. Repeating the one under way changes nothing.
    ///
    /// # Errors
    /// When the command does not fit the role, the epoch or the cycle under way.
    pub fn command(&mut self, record: &Record, ship: Ship) -> Result<Vec<Action>, Refused> {
        fence::admit(record.epoch, ship.cycle.epoch, "the cut")?;
        if record.role != Role::Primary || ship.cycle.epoch != record.epoch {
            return Err(out_of_order(format!(
                "cut {} can only be shipped by the primary of its epoch, \
                 but this side is {:?} in epoch {}",
                ship.cycle, record.role, record.epoch
            )));
        }
        if record
            .committed
            .is_some_and(|point| ship.cycle.seq < point.seq)
        {
            return Err(out_of_order(format!(
                "cut {} is older than the committed point {}",
                ship.cycle,
                record.committed.unwrap_or(ship.cycle)
            )));
        }
        verify::asked(record, &ship)?;
        match self.cycle() {
            Some(cycle) if cycle == ship.cycle => return Ok(Vec::new()),
            Some(cycle) => {
                return Err(out_of_order(format!(
                    "cut {cycle} is being shipped: wait for it or abort it"
                )));
            }
            None => {}
        }
        self.go(State::Dialing(ship.clone()));
        let mut actions = vec![Action::Phase(CyclePhase::Handshake), Action::Dial];
        if record.applied.is_none_or(|it| it.seq < ship.cycle.seq) {
            let mut noted = record.clone();
            noted.applied = Some(ship.cycle);
            actions.insert(0, Action::Persist(Box::new(noted)));
        }
        Ok(actions)
    }

    /// Takes in what has happened.
    pub fn on(&mut self, record: &Record, event: Event) -> Vec<Action> {
        match event {
            Event::Connected => self.connected(record),
            Event::ListBroke(why) => self.list_broke(&why),
            Event::Drained => self.drained(),
            Event::Failed(refused) => self.fail(refused),
            Event::Peer(message) => match message {
                Message::Greeting(greeting) => self.greeted(record, greeting),
                Message::Ready(from) => self.ready(from),
                Message::Staged => self.staged(),
                Message::Applied => self.applied(),
                Message::Refuse(refused) => self.fail(refused),
                Message::Hello(_) | Message::Begin(_) | Message::End => self.surprised(&message),
            },
        }
    }

    /// Takes the command to commit a cut. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the cut is still being shipped, or is not one of this side's.
    pub fn commit(&mut self, record: &Record, cycle: Point) -> Result<Vec<Action>, Refused> {
        if record.committed == Some(cycle) {
            return Ok(vec![Action::KeepDigests(cycle)]);
        }
        if self.cycle() == Some(cycle) {
            return Err(out_of_order(format!("cut {cycle} is still being shipped")));
        }
        // A request that comes late may be of a cut that newer ones have followed: its snapshots are gone.
        let newest = record.committed.max(record.applied);
        if cycle.epoch != record.epoch || newest.is_some_and(|now| now.seq > cycle.seq) {
            return Err(out_of_order(format!(
                "cut {cycle} can't be committed in epoch {} after {}",
                record.epoch,
                newest.map_or("nothing".into(), |point| point.to_string())
            )));
        }
        let record = Record {
            committed: Some(cycle),
            ..record.clone()
        };
        // The record goes first: digests that are a cut behind cost reading, never data. What this side
        // has left from when it was standby, and could not remove then, goes last.
        Ok(vec![
            Action::Persist(Box::new(record)),
            Action::KeepDigests(cycle),
            Action::DropStaging { report: false },
            Action::Phase(CyclePhase::Committed),
        ])
    }

    /// Stops what is under way, telling the peer.
    pub fn abort(&mut self, refused: Refused) -> Vec<Action> {
        let unconnected = matches!(self.state.name(), Name::Idle | Name::Dialing);
        let mut actions = Vec::new();
        if !unconnected {
            actions.push(Action::Send(Message::Refuse(refused.clone())));
        }
        actions.extend(self.fail(refused));
        actions
    }

    fn connected(&mut self, record: &Record) -> Vec<Action> {
        let State::Dialing(ship) = &self.state else {
            return Vec::new();
        };
        let ship = ship.clone();
        let hello = Hello {
            pair_id: record.pair_id,
            epoch: record.epoch,
            lineage: record.lineage.clone(),
            cycle: ship.cycle,
            size: ship.size,
        };
        self.go(State::Greeting(ship));
        vec![Action::Send(Message::Hello(hello))]
    }

    fn greeted(&mut self, record: &Record, greeting: Greeting) -> Vec<Action> {
        let State::Greeting(ship) = &self.state else {
            return self.surprised(&Message::Greeting(greeting));
        };
        let ship = ship.clone();
        let standby = greeting.record().and_then(Record::head);
        let decision = decide(&inputs(record, &ship, greeting));
        let mut actions = vec![Action::Decided(decision.clone())];
        if let Some(refused) = held(&decision).or_else(|| verify::unfit(&ship, &decision)) {
            actions.push(Action::Send(Message::Refuse(refused.clone())));
            actions.extend(self.fail(refused));
            return actions;
        }
        let means = Means {
            mode: decision.mode,
            standby,
            list: ship.list,
            list_reason: ship.list_reason.clone(),
            kept: ship.kept,
            verify: ship.verify,
        };
        actions.push(Action::Send(Message::Begin(Begin {
            cycle: ship.cycle,
            lineage: record.lineage.clone(),
            size: ship.size,
            base: match decision.mode {
                HandshakeMode::Full => None,
                _ => standby,
            },
            decision,
            change_source: change_plan::plan(&means).change_source.source,
            consent: ship.consent,
        })));
        self.go(State::Beginning(ship, means));
        actions
    }

    fn ready(&mut self, from: u64) -> Vec<Action> {
        let State::Beginning(ship, means) = &self.state else {
            return self.surprised(&Message::Ready(from));
        };
        let (ship, means) = (ship.clone(), means.clone());
        let plan = change_plan::plan(&means);
        self.go(State::Shipping(ship, means));
        vec![
            Action::Phase(CyclePhase::Shipping),
            Action::Ship { plan, from },
        ]
    }

    fn list_broke(&mut self, why: &str) -> Vec<Action> {
        match &mut self.state {
            State::Shipping(ship, means) => {
                let plan = change_plan::fall(means, why);
                let uses_list = change_plan::plan(means).candidates != plan.candidates;
                ship.list = List::Nothing;
                means.list = List::Nothing;
                means.list_reason = format!("the list of changes broke: {why}");
                if uses_list {
                    vec![Action::Fall(plan)]
                } else {
                    Vec::new()
                }
            }
            State::Beginning(ship, means) => {
                ship.list = List::Nothing;
                means.list = List::Nothing;
                means.list_reason = format!("the list of changes broke: {why}");
                Vec::new()
            }
            State::Dialing(ship) | State::Greeting(ship) => {
                ship.list = List::Nothing;
                ship.list_reason = format!("the list of changes broke: {why}");
                Vec::new()
            }
            State::Idle | State::Ending(_) | State::Applying(_) => Vec::new(),
        }
    }

    fn drained(&mut self) -> Vec<Action> {
        let State::Shipping(ship, _) = &self.state else {
            return Vec::new();
        };
        let ship = ship.clone();
        self.go(State::Ending(ship));
        vec![Action::Send(Message::End)]
    }

    fn staged(&mut self) -> Vec<Action> {
        let State::Ending(ship) = &self.state else {
            return self.surprised(&Message::Staged);
        };
        let ship = ship.clone();
        self.go(State::Applying(ship));
        vec![
            Action::Phase(CyclePhase::Staged),
            Action::Phase(CyclePhase::Applying),
        ]
    }

    fn applied(&mut self) -> Vec<Action> {
        match &self.state {
            // A target that holds the cut says so at once, and a first copy goes in place: nothing is
            // staged before it is applied.
            // Of a verification that would mean that nothing was compared.
            State::Beginning(ship, _) if ship.verify.is_some() => self.surprised(&Message::Applied),
            State::Applying(ship) | State::Ending(ship) | State::Beginning(ship, _) => {
                let (cycle, verified) = (ship.cycle, ship.verify.is_some());
                self.done(cycle, verified)
            }
            _ => self.surprised(&Message::Applied),
        }
    }

    fn done(&mut self, cycle: Point, verified: bool) -> Vec<Action> {
        self.go(State::Idle);
        let mut actions = vec![
            Action::Phase(CyclePhase::Applied),
            Action::Hangup,
            Action::Finish(Outcome::Applied(cycle)),
        ];
        if verified {
            actions.extend(verify::done(cycle));
        }
        actions
    }

    fn fail(&mut self, refused: Refused) -> Vec<Action> {
        let Some(cycle) = self.cycle() else {
            return Vec::new();
        };
        self.go(State::Idle);
        vec![
            Action::StopShipping,
            Action::Hangup,
            Action::Finish(Outcome::Failed(cycle, refused)),
        ]
    }

    fn surprised(&mut self, message: &Message) -> Vec<Action> {
        let name = self.state.name();
        self.fail(Refused::new(
            Cause::Internal,
            format!(
                "the peer said {} while this side was {name:?}",
                word(message)
            ),
        ))
    }

    fn go(&mut self, to: State) {
        let (from, name) = (self.state.name(), to.name());
        assert!(
            may_follow(from, name),
            "a source can't go from {from:?} to {name:?}"
        );
        self.state = to;
    }
}

/// The name of a message, for a sentence.
pub(crate) fn word(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "Hello",
        Message::Greeting(_) => "Greeting",
        Message::Begin(_) => "Begin",
        Message::Ready(_) => "Ready",
        Message::End => "End",
        Message::Staged => "Staged",
        Message::Applied => "Applied",
        Message::Refuse(_) => "Refuse",
    }
}

fn inputs(record: &Record, ship: &Ship, greeting: Greeting) -> Inputs {
    let standby = greeting.record().and_then(Record::head);
    let committed = greeting.record().and_then(|peer| peer.committed);
    Inputs {
        primary: PrimaryView {
            pair_id: record.pair_id,
            size: ship.size,
            epoch: record.epoch,
            lineage: record.lineage.clone(),
            head: ship.cycle,
            log: change_plan::snapshot_log(ship.cycle, standby, ship.list, ship.kept),
            dirty_base: None,
            // In Snapshot mode the standby's content can always be compared by digests, so the
            // point that its image is at bounds the difference.
            common: standby.or(committed),
            // No such record is kept: a side whose superblock is unreadable refuses every command
            // and never gets as far as this.
            peer_never_writable: false,
        },
        standby: StandbyView {
            superblock: greeting.superblock,
            size: greeting.size,
            // Comparing digests finds what both sides wrote since the fork.
            dirty_known: true,
        },
        consent: ship.consent,
    }
}

fn held(decision: &Decision) -> Option<Refused> {
    let cause = match decision.mode {
        HandshakeMode::Refuse if decision.row == HandshakeRow::StandbyTooSmall => {
            Cause::TargetTooSmall
        }
        HandshakeMode::Refuse => Cause::HandshakeRefused,
        HandshakeMode::Diverged => Cause::Diverged,
        HandshakeMode::None | HandshakeMode::Log | HandshakeMode::Bitmap | HandshakeMode::Full => {
            return None;
        }
    };
    Some(Refused::new(cause, decision.reason.clone()))
}

pub(super) fn out_of_order(message: String) -> Refused {
    Refused::new(Cause::OutOfOrder, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row a state, `x` for what may follow it.
    #[test]
    fn the_machine_goes_forward_or_back_to_idle() {
        use Name::{Applying, Beginning, Dialing, Ending, Greeting, Idle, Shipping};
        let all = [
            Idle, Dialing, Greeting, Beginning, Shipping, Ending, Applying,
        ];
        let drawn = [
            "xx.....", "x.x....", "x..x...", "x...x..", "x...xx.", "x.....x", "x......",
        ];
        for (from, row) in all.into_iter().zip(drawn) {
            for (to, mark) in all.into_iter().zip(row.chars()) {
                assert_eq!(may_follow(from, to), mark == 'x', "{from:?} to {to:?}");
            }
        }
    }
}
