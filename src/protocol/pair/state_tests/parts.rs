//! Records, messages and commands to walk with.

use uuid::Uuid;

use crate::pair::change_plan::List;
use crate::pair::demote::Demote;
use crate::pair::message::{Begin, Hello, Message};
use crate::pair::promote::Promote;
use crate::pair::record::Init;
use crate::pair::side::{Command, Event};
use crate::pair::source;
use crate::pair::source::Ship;
use crate::pair::target;
use crate::pair::{Cause, Record, Refused};
use crate::units::{
    ChangeSource, Decision, Epoch, Generation, HandshakeMode, HandshakeRow, ImageState, Lineage,
    PairId, Point, Role, Seq,
};

/// The size of the volume in bytes.
pub(super) const SIZE: u64 = 1000;

/// What can be done to a side.
#[derive(Clone)]
pub(super) enum Step {
    Command(Command),
    On(Event),
}

/// A step and its name.
pub(super) type Named = (&'static str, Step);

pub(super) fn command(name: &'static str, command: Command) -> Named {
    (name, Step::Command(command))
}

pub(super) fn event(name: &'static str, event: target::Event) -> Named {
    (name, Step::On(Event::Target(event)))
}

pub(super) fn ships(name: &'static str, event: source::Event) -> Named {
    (name, Step::On(Event::Source(event)))
}

pub(super) fn hears(name: &'static str, message: Message) -> Named {
    event(name, target::Event::Peer(message))
}

pub(super) fn generation(n: u128) -> Generation {
    Generation(Uuid::from_u128(n))
}

pub(super) fn pair() -> PairId {
    PairId(Uuid::from_u128(7))
}

/// The history of a primary of epoch 2 that was promoted at 1.3.
pub(super) fn lineage() -> Lineage {
    Lineage::starting(Epoch(1), generation(1), Seq(1)).promoted(
        Point::new(1, 3),
        Epoch(2),
        generation(2),
    )
}

pub(super) fn standby(image: ImageState) -> Record {
    let mut record = Record::starting(Init {
        pair_id: pair(),
        role: Role::Standby,
        epoch: Epoch(2),
        generation: generation(2),
        start: Seq(4),
        never_writable: true,
        requested_primary: "east".parse().unwrap(),
    });
    record.image = image;
    record.applied = record.head();
    record.committed = record.head();
    if image != ImageState::None {
        record.lineage = lineage();
    }
    record
}

pub(super) fn primary() -> Record {
    Record {
        role: Role::Primary,
        never_writable: false,
        ..standby(ImageState::Consistent(Point::new(2, 5)))
    }
}

pub(super) fn refused(cause: Cause) -> Refused {
    Refused::new(cause, "for a reason")
}

pub(super) fn hello(cycle: Point) -> Hello {
    Hello {
        pair_id: pair(),
        epoch: cycle.epoch,
        lineage: lineage(),
        cycle,
        size: SIZE,
    }
}

pub(super) fn begin(cycle: Point, mode: HandshakeMode, base: Option<Point>) -> Begin {
    Begin {
        cycle,
        lineage: lineage(),
        size: SIZE,
        decision: Decision {
            mode,
            row: HandshakeRow::InLog,
            reason: "as decided".into(),
        },
        base,
        change_source: ChangeSource::Delta,
        consent: None,
    }
}

pub(super) fn promotion(epoch: u64) -> Promote {
    Promote {
        epoch: Epoch(epoch),
        generation: generation(u128::from(epoch)),
        peer_head: None,
        requested_primary: "west".parse().unwrap(),
    }
}

pub(super) fn demotion(epoch: u64, clean_at: Option<Point>) -> Demote {
    Demote {
        epoch: Epoch(epoch),
        lineage: lineage().promoted(Point::new(2, 5), Epoch(epoch), generation(3)),
        clean_at,
        requested_primary: "west".parse().unwrap(),
    }
}

pub(super) fn init(pair: u128) -> Init {
    Init {
        pair_id: PairId(Uuid::from_u128(pair)),
        role: Role::Primary,
        epoch: Epoch(1),
        generation: generation(1),
        start: Seq(1),
        never_writable: true,
        requested_primary: "east".parse().unwrap(),
    }
}

pub(super) fn ship(cycle: Point) -> Ship {
    Ship {
        cycle,
        size: SIZE,
        list: List::Delta {
            base: Point::new(2, 5),
        },
        list_reason: "the driver lists changes".into(),
        kept: Some(Point::new(2, 5)),
        consent: None,
        verify: None,
    }
}

/// The commands that either side may get, in any state.
pub(super) fn commands() -> Vec<Named> {
    let cut = Point::new(2, 6);
    vec![
        command("command: init of this pair", Command::Init(init(7))),
        command("command: init of another pair", Command::Init(init(8))),
        command("command: ship 2.6", Command::Ship(ship(cut))),
        command("command: ship 2.7", Command::Ship(ship(Point::new(2, 7)))),
        command("command: ship 2.4", Command::Ship(ship(Point::new(2, 4)))),
        command("command: ship 1.9", Command::Ship(ship(Point::new(1, 9)))),
        command("command: ship 3.9", Command::Ship(ship(Point::new(3, 9)))),
        command("command: receive 2.6", Command::Receive(cut)),
        command("command: receive 2.7", Command::Receive(Point::new(2, 7))),
        command("command: receive 1.9", Command::Receive(Point::new(1, 9))),
        command("command: commit 2.6", Command::Commit(cut)),
        command("command: commit 2.5", Command::Commit(Point::new(2, 5))),
        command("command: commit 2.4", Command::Commit(Point::new(2, 4))),
        command("command: commit 1.9", Command::Commit(Point::new(1, 9))),
        command("command: commit 3.9", Command::Commit(Point::new(3, 9))),
        command("command: abort", Command::Abort("as asked".into())),
        command("command: promote to 3", Command::Promote(promotion(3))),
        command("command: promote to 4", Command::Promote(promotion(4))),
        command("command: promote to 2", Command::Promote(promotion(2))),
        command("command: demote in 3", Command::Demote(demotion(3, None))),
        command(
            "command: demote in 3, clean at 2.5",
            Command::Demote(demotion(3, Some(Point::new(2, 5)))),
        ),
        command("command: demote in 2", Command::Demote(demotion(2, None))),
        command("command: demote in 1", Command::Demote(demotion(1, None))),
    ]
}
