//! The shipping side, and a side that knows nothing yet.

use std::fmt::Write as _;

use uuid::Uuid;

use super::notation::{along, walk};
use super::parts::{
    Named, SIZE, begin, command, commands, generation, hello, lineage, primary, refused, ship,
    ships, standby,
};
use crate::pair::change_plan::List;
use crate::pair::handshake::Superblock;
use crate::pair::message::{Greeting, Message};
use crate::pair::side;
use crate::pair::side::{Command, Side};
use crate::pair::source::{Event, Ship};
use crate::pair::{Action, Cause, Record};
use crate::units::{Epoch, Generation, HandshakeMode, ImageState, Lineage, PairId, Point, Seq};

const CUT: Point = Point {
    epoch: Epoch(2),
    seq: crate::units::Seq(6),
};

fn hears(name: &'static str, message: Message) -> Named {
    ships(name, Event::Peer(message))
}

fn greets(name: &'static str, superblock: Superblock, size: u64) -> Named {
    hears(name, Message::Greeting(Greeting { superblock, size }))
}

fn known(record: Record) -> Superblock {
    Superblock::Known(Box::new(record))
}

/// A standby whose image is at this point.
fn at(epoch: u64, seq: u64) -> Record {
    standby(ImageState::Consistent(Point::new(epoch, seq)))
}

/// Every kind of standby that may answer.
fn greetings() -> Vec<Named> {
    let stranger = Record {
        pair_id: PairId(Uuid::from_u128(8)),
        ..at(2, 5)
    };
    let ahead = Record {
        epoch: Epoch(3),
        ..at(2, 5)
    };
    let forked = Record {
        lineage: lineage().promoted(Point::new(2, 5), Epoch(3), Generation(Uuid::from_u128(33))),
        epoch: Epoch(2),
        image: ImageState::Inconsistent,
        applied: None,
        diverged: true,
        never_writable: false,
        ..at(2, 5)
    };
    let torn = Record {
        never_writable: false,
        applied: Some(Point::new(2, 5)),
        image: ImageState::Inconsistent,
        ..at(2, 5)
    };
    vec![
        greets("greeting at 2.5", known(at(2, 5)), SIZE),
        greets("greeting at 2.4", known(at(2, 4)), SIZE),
        greets("greeting at 1.3", known(at(1, 3)), SIZE),
        greets(
            "greeting at 1.9, past the end of its epoch",
            known(at(1, 9)),
            SIZE,
        ),
        greets("greeting at 2.6", known(at(2, 6)), SIZE),
        greets("greeting, blank", known(standby(ImageState::None)), SIZE),
        greets("greeting without a superblock", Superblock::Blank, SIZE),
        greets(
            "greeting with an unreadable superblock",
            Superblock::Unreadable,
            SIZE,
        ),
        greets("greeting of a smaller volume", known(at(2, 5)), SIZE - 1),
        greets("greeting of a larger volume", known(at(2, 5)), SIZE + 1),
        greets("greeting of another pair", known(stranger), SIZE),
        greets("greeting of a later epoch", known(ahead), SIZE),
        greets("greeting of a primary", known(primary()), SIZE),
        greets("greeting with writes of its own", known(forked), SIZE),
        greets("greeting with a torn image", known(torn), SIZE),
    ]
}

fn other_events() -> Vec<Named> {
    let full = begin(CUT, HandshakeMode::Full, None);
    vec![
        ships("connected", Event::Connected),
        hears("ready from byte 16", Message::Ready(16)),
        hears("staged", Message::Staged),
        hears("applied", Message::Applied),
        hears("refuse", Message::Refuse(refused(Cause::StateVolumeFull))),
        hears("hello, which is not for it", Message::Hello(hello(CUT))),
        hears("begin, which is not for it", Message::Begin(full)),
        hears("end, which is not for it", Message::End),
        ships("list broke", Event::ListBroke("the stream ended".into())),
        ships("drained", Event::Drained),
        ships("failed", Event::Failed(refused(Cause::SourceReadError))),
    ]
}

fn path(ship: Ship) -> Vec<(&'static str, Named)> {
    vec![
        ("dialing", command("", Command::Ship(ship))),
        ("greeting", ships("", Event::Connected)),
        ("beginning", greets("", known(at(2, 5)), SIZE)),
        ("shipping", hears("", Message::Ready(0))),
        ("ending", ships("", Event::Drained)),
        ("applying", hears("", Message::Staged)),
        ("applied", hears("", Message::Applied)),
    ]
}

#[test]
fn a_source_from_its_command_to_the_end() {
    let mut steps = other_events();
    steps.extend(greetings().into_iter().take(1));
    steps.extend(commands());
    insta::assert_snapshot!(walk(
        Some(&primary()),
        along("idle", path(ship(CUT))),
        &steps
    ));
}

/// What a source makes of every standby, with each list, with and without consent.
#[test]
fn a_source_that_meets_every_kind_of_standby() {
    let mut text = String::new();
    for (name, ship) in [
        ("a list of changes from 2.5", ship(CUT)),
        (
            "a list of what is allocated, and consent",
            Ship {
                list: List::Allocated,
                list_reason: "the driver lists no changes".into(),
                consent: Some(Epoch(2)),
                ..ship(CUT)
            },
        ),
        (
            "no list, no digests, and consent of another epoch",
            Ship {
                list: List::Nothing,
                list_reason: String::new(),
                kept: None,
                consent: Some(Epoch(1)),
                ..ship(CUT)
            },
        ),
    ] {
        writeln!(text, "# {name}").unwrap();
        let two = path(ship).into_iter().take(2).collect();
        let states = along("idle", two).split_off(2);
        text += &walk(Some(&primary()), states, &greetings());
    }
    insta::assert_snapshot!(text);
}

/// The list breaks at each moment, and the cycle goes on without it.
#[test]
fn a_source_whose_list_breaks() {
    let breaks = || ships("", Event::ListBroke("the stream ended".into()));
    let without = Ship {
        list: List::Nothing,
        ..ship(CUT)
    };
    let mut text = String::new();
    for (name, ship) in [("with a list", ship(CUT)), ("without one", without)] {
        for after in 1..=4 {
            writeln!(text, "# {name}, after {after}").unwrap();
            let mut steps = path(ship.clone());
            steps.truncate(4);
            steps.insert(after, ("and the list broke", breaks()));
            let states = along("idle", steps).split_off(after);
            text += &walk(Some(&primary()), states, &[breaks()]);
        }
    }
    insta::assert_snapshot!(text);
}

/// A primary that has never shipped, and a side without a record.
#[test]
fn a_side_at_its_beginning() {
    let fresh = Record {
        committed: None,
        applied: None,
        image: ImageState::None,
        ..primary()
    };
    let mut steps = other_events();
    steps.extend(commands());
    let mut text = String::from("# a primary that has never shipped\n");
    text += &walk(Some(&fresh), along("idle", Vec::new()), &steps);
    text += "# a side without a record\n";
    text += &walk(None, along("idle", Vec::new()), &steps);
    insta::assert_snapshot!(text);
}

/// The committed cut may be shipped again, an older one never.
#[test]
fn the_committed_cut_is_the_oldest_that_is_shipped() {
    for (seq, taken) in [(4, false), (5, true), (6, true)] {
        let (mut side, _) = Side::open(Some(primary()));
        let command = Command::Ship(ship(Point::new(2, seq)));
        assert_eq!(side.command(command).is_ok(), taken, "cut 2.{seq}");
    }
}

/// A commit that is repeated late never counts, whether the primary has recorded a newer one or not.
#[test]
fn a_commit_of_a_cut_that_newer_ones_have_followed_is_refused() {
    for committed in [None, Some(Point::new(2, 5))] {
        let record = Record {
            committed,
            applied: Some(Point::new(2, 6)),
            ..primary()
        };
        let (mut side, _) = Side::open(Some(record));
        let mut commit = |seq| side.command(Command::Commit(Point::new(2, seq)));
        assert!(commit(4).is_err(), "after {committed:?}");
        assert!(commit(6).is_ok(), "after {committed:?}");
        assert!(commit(4).is_err(), "after {committed:?} and 2.6");
    }
}

/// A full copy replaces everything: it counts from nothing, even where the standby has a complete image.
#[test]
fn a_full_copy_counts_from_nothing() {
    let foreign = Record {
        lineage: Lineage::starting(Epoch(2), generation(9), Seq(1)),
        ..at(2, 5)
    };
    let consented = Ship {
        consent: Some(Epoch(2)),
        ..ship(CUT)
    };
    let (mut side, _) = Side::open(Some(primary()));
    side.command(Command::Ship(consented)).unwrap();
    let mut begun = Vec::new();
    for event in [
        Event::Connected,
        Event::Peer(Message::Greeting(Greeting {
            superblock: known(foreign),
            size: SIZE,
        })),
    ] {
        for action in side.on(SIZE, side::Event::Source(event)) {
            if let Action::Send(Message::Begin(begin)) = action {
                begun.push((begin.decision.mode, begin.base));
            }
        }
    }
    assert_eq!(begun, [(HandshakeMode::Full, None)]);
}
