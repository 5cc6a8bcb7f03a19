//! One side of a pair: its record, and the machine that its role calls for.
//!
//! Whoever drives a side feeds it commands and events one at a time and carries out the actions that
//! come back, in order. A [`Action::Persist`] has already taken effect on the record in memory: when
//! it can't be made durable the process has to end.

use crate::pair::action::Action;
use crate::pair::demote;
use crate::pair::demote::Demote;
use crate::pair::promote::Promote;
use crate::pair::record::Init;
use crate::pair::source;
use crate::pair::source::{Ship, Source};
use crate::pair::target;
use crate::pair::target::Target;
use crate::pair::{Cause, Record, Refused, fence};
use crate::units::{Epoch, Point, Role};

/// What an operator can command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write the first record.
    Init(Init),
    /// Source: ship a cut.
    Ship(Ship),
    /// Target: take a cut.
    Receive(Point),
    /// Both: this cut is the committed point.
    Commit(Point),
    /// Both: stop the cycle under way.
    Abort(String),
    /// Standby: become primary.
    Promote(Promote),
    /// Primary: become standby.
    Demote(Demote),
}

/// What can happen to a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To its shipping machine.
    Source(source::Event),
    /// To its receiving machine.
    Target(target::Event),
}

/// One side.
#[derive(Clone, Debug, Default)]
pub struct Side {
    record: Option<Record>,
    source: Source,
    target: Target,
}

impl Side {
    /// The side that this record describes, and what has to be done before anything else.
    #[must_use]
    pub fn open(record: Option<Record>) -> (Side, Vec<Action>) {
        let mut side = Side {
            record,
            ..Side::default()
        };
        let actions = match &side.record {
            Some(record) => side.target.recover(record),
            None => Vec::new(),
        };
        (side, actions)
    }

    /// The side of a standby whose volume does not hold what this record says: somebody else has written
    /// to it, it is another one, or an older state of it was put back (D-3). The image is at no point
    /// until it was compared completely, and what is staged counts from an image that is gone.
    #[must_use]
    pub fn distrusting(record: &Record) -> (Side, Vec<Action>) {
        let side = Side {
            record: Some(record.torn()),
            ..Side::default()
        };
        let actions = vec![
            Action::Persist(Box::new(record.torn())),
            Action::DropStaging { report: false },
        ];
        (side, actions)
    }

    /// What is known for good; `None` before the first command.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The cut that is being shipped.
    #[must_use]
    pub fn shipping(&self) -> Option<Point> {
        self.source.cycle()
    }

    /// The cut that is expected, received or applied.
    #[must_use]
    pub fn receiving(&self) -> Option<Point> {
        self.target.cycle()
    }

    /// Whether a source that connects now is let in.
    #[must_use]
    pub fn is_expecting(&self) -> bool {
        self.target.is_expecting()
    }

    /// The epoch of the promotion under way.
    #[must_use]
    pub fn promoting(&self) -> Option<Epoch> {
        self.target.promoting()
    }

    /// The epoch of the promotion that waits for a set to be on the volume.
    #[must_use]
    pub fn promotes_once_written(&self) -> Option<Epoch> {
        self.target.promotes_once_written()
    }

    /// Takes a command.
    ///
    /// # Errors
    /// Why it is not taken; nothing has changed then.
    pub fn command(&mut self, command: Command) -> Result<Vec<Action>, Refused> {
        if let Command::Init(init) = command {
            return self.init(init);
        }
        let Some(record) = &self.record else {
            return Err(Refused::new(
                Cause::OutOfOrder,
                "this side has no superblock yet: ask for Init first",
            ));
        };
        let actions = match command {
            Command::Init(_) => Vec::new(),
            Command::Ship(ship) => self.source.command(record, ship)?,
            Command::Receive(cycle) => self.target.command(record, cycle)?,
            Command::Commit(cycle) => self.commit(cycle)?,
            Command::Promote(command) => self.target.promote(record, command)?,
            Command::Demote(command) => self.demote(&command)?,
            Command::Abort(why) => self.abort(&why),
        };
        self.remember(&actions);
        Ok(actions)
    }

    /// That the machine at work can't go on: the shipping one while a cut is shipped, else the other.
    #[must_use]
    pub fn failed(&self, refused: Refused) -> Event {
        if self.shipping().is_some() {
            Event::Source(source::Event::Failed(refused))
        } else {
            Event::Target(target::Event::Failed(refused))
        }
    }

    /// Takes in what has happened. `size` is that of the volume in bytes.
    pub fn on(&mut self, size: u64, event: Event) -> Vec<Action> {
        let Some(record) = &self.record else {
            return Vec::new();
        };
        let actions = match event {
            Event::Source(event) => self.source.on(record, event),
            Event::Target(event) => self.target.on(record, size, event),
        };
        self.remember(&actions);
        actions
    }

    fn remember(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Persist(record) = action {
                debug_assert_eq!(record.check(), Ok(()), "{record:?}");
                self.record = Some(record.as_ref().clone());
            }
        }
    }

    fn init(&mut self, init: Init) -> Result<Vec<Action>, Refused> {
        if let Some(record) = &self.record {
            // A pair that has lived on since its first command is still the same pair.
            if record.pair_id == init.pair_id {
                return Ok(Vec::new());
            }
            return Err(Refused::new(
                Cause::OutOfOrder,
                format!(
                    "the superblock here is of pair {}, the command is of pair {}: \
                     check which state volume is mounted",
                    record.pair_id, init.pair_id
                ),
            ));
        }
        let actions = vec![Action::Persist(Box::new(Record::starting(init)))];
        self.remember(&actions);
        Ok(actions)
    }

    fn commit(&mut self, cycle: Point) -> Result<Vec<Action>, Refused> {
        let Some(record) = &self.record else {
            return Ok(Vec::new());
        };
        fence::admit(record.epoch, cycle.epoch, "the commit")?;
        match record.role {
            Role::Standby => self.target.commit(record, cycle),
            Role::Primary => self.source.commit(record, cycle),
        }
    }

    fn demote(&mut self, command: &Demote) -> Result<Vec<Action>, Refused> {
        let Some(record) = &self.record else {
            return Ok(Vec::new());
        };
        let demoted = demote::demoted(record, command)?;
        if demoted == *record {
            return Ok(Vec::new());
        }
        let mut actions = self.abort("this side is being demoted");
        actions.push(Action::Persist(Box::new(demoted)));
        Ok(actions)
    }

    fn abort(&mut self, why: &str) -> Vec<Action> {
        let refused = Refused::new(Cause::Aborted, why);
        let Some(record) = &self.record else {
            return Vec::new();
        };
        let mut actions = self.source.abort(refused.clone());
        if self.target.cycle().is_some() {
            actions.extend(self.target.on(record, 0, target::Event::Failed(refused)));
        }
        actions
    }
}
