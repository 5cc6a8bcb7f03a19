//! Both sides of a verification of 2.5.

use std::fmt::Write as _;

use super::notation::{along, walk};
use super::parts::{
    Named, SIZE, begin, command, event, hears, hello, primary, ship, ships, standby,
};
use crate::pair::handshake::Superblock;
use crate::pair::message::{Begin, Greeting, Message};
use crate::pair::side::Command;
use crate::pair::source;
use crate::pair::source::Ship;
use crate::pair::{Record, target};
use crate::units::{ChangeSource, Extent, HandshakeMode, ImageState, Point};

const CUT: Point = Point {
    epoch: crate::units::Epoch(2),
    seq: crate::units::Seq(5),
};

fn at(seq: u64) -> Record {
    standby(ImageState::Consistent(Point::new(2, seq)))
}

fn verification(cycle: Point, offset: u64, len: u64) -> Command {
    Command::Ship(Ship {
        verify: Some(Extent::new(offset, len)),
        ..ship(cycle)
    })
}

fn greets(name: &'static str, record: Record) -> Named {
    let greeting = Greeting {
        superblock: Superblock::Known(Box::new(record)),
        size: SIZE,
    };
    ships(name, source::Event::Peer(Message::Greeting(greeting)))
}

fn said(message: Message) -> Named {
    ships("", source::Event::Peer(message))
}

#[test]
fn a_source_that_verifies() {
    let path = vec![
        ("dialing", command("", verification(CUT, 100, 500))),
        ("greeting", ships("", source::Event::Connected)),
        ("beginning", greets("", at(5))),
        ("shipping", said(Message::Ready(0))),
        ("ending", ships("", source::Event::Drained)),
        ("applying", said(Message::Staged)),
        ("applied", said(Message::Applied)),
    ];
    let steps = [
        command("command: verify 2.5", verification(CUT, 0, SIZE)),
        command(
            "command: verify 2.5 past the end",
            verification(CUT, 1, SIZE),
        ),
        command("command: verify nothing of 2.5", verification(CUT, 0, 0)),
        command(
            "command: verify 2.6, not committed",
            verification(Point::new(2, 6), 0, SIZE),
        ),
        ships("connected", source::Event::Connected),
        greets("greeting at 2.5", at(5)),
        greets("greeting at 2.4", at(4)),
        greets("greeting, blank", standby(ImageState::None)),
        ships("list broke", source::Event::ListBroke("early".into())),
        ships("applied", source::Event::Peer(Message::Applied)),
    ];
    insta::assert_snapshot!(walk(Some(&primary()), along("idle", path), &steps));
}

#[test]
fn a_target_that_is_verified() {
    let verify = |cycle, base| {
        Message::Begin(Begin {
            change_source: ChangeSource::Verify,
            ..begin(cycle, HandshakeMode::None, base)
        })
    };
    let path = |cycle| {
        vec![
            ("expecting", command("", Command::Receive(cycle))),
            ("greeted", hears("", Message::Hello(hello(cycle)))),
        ]
    };
    let mut through = path(CUT);
    through.extend([
        ("opening", hears("", verify(CUT, Some(CUT)))),
        ("receiving", event("", target::Event::Opened { from: 0 })),
        ("sealing", hears("", Message::End)),
        ("sealed", event("", target::Event::Sealed)),
        ("written", event("", target::Event::Written)),
    ]);
    let next = Point::new(2, 6);
    let steps = [
        hears("begin of the verification", verify(CUT, Some(CUT))),
        hears(
            "begin of a cycle of the same cut",
            Message::Begin(begin(CUT, HandshakeMode::None, Some(CUT))),
        ),
        event("sealed", target::Event::Sealed),
        event("written", target::Event::Written),
        event("link lost", target::Event::LinkLost("cut".into())),
        command("command: receive 2.6", Command::Receive(next)),
        command("command: commit 2.5", Command::Commit(CUT)),
    ];
    let mut text = walk(Some(&at(5)), along("idle", through), &steps);
    for (name, record) in [
        (
            "applied 2.6, committed 2.5",
            Record {
                committed: Some(CUT),
                ..at(6)
            },
        ),
        (
            "copied in place to 2.6, not committed",
            Record {
                applied: Some(next),
                ..standby(ImageState::None)
            },
        ),
    ] {
        writeln!(text, "# {name}").unwrap();
        let steps = [
            hears("begin of a verification of 2.6", verify(next, Some(next))),
            hears("begin of one from no cut", verify(next, None)),
        ];
        text += &walk(
            Some(&record),
            along("idle", path(next)).split_off(2),
            &steps,
        );
    }
    insta::assert_snapshot!(text);
}
