//! The receiving side.

use std::fmt::Write as _;

use uuid::Uuid;

use super::notation::{along, walk};
use super::parts::{
    Named, SIZE, Step, begin, command, commands, demotion, event, generation, hears, hello,
    lineage, promotion, refused, standby,
};
use crate::pair::message::{Begin, Hello, Message};
use crate::pair::promote::Promote;
use crate::pair::side::{Command, Event, Side};
use crate::pair::target;
use crate::pair::{Action, Cause, Record, Refused};
use crate::units::{Epoch, HandshakeMode, ImageState, Lineage, PairId, Point, Role, Seq};

/// What can happen to a target that is to get 2.6.
fn target_events() -> Vec<Named> {
    let cut = Point::new(2, 6);
    let at = Some(Point::new(2, 5));
    let log = |cycle| Message::Begin(begin(cycle, HandshakeMode::Log, at));
    let stranger = Hello {
        pair_id: PairId(Uuid::from_u128(8)),
        ..hello(cut)
    };
    vec![
        hears("hello for 2.6", Message::Hello(hello(cut))),
        hears("hello for 2.7", Message::Hello(hello(Point::new(2, 7)))),
        hears("hello of another pair", Message::Hello(stranger)),
        hears("begin of 2.6 from 2.5", log(cut)),
        hears("begin of 2.7", log(Point::new(2, 7))),
        hears(
            "begin of 2.6 in full",
            Message::Begin(begin(cut, HandshakeMode::Full, None)),
        ),
        hears("end", Message::End),
        hears("refuse", Message::Refuse(refused(Cause::Stalled))),
        hears("staged, which is not for it", Message::Staged),
        event("opened", target::Event::Opened { from: 16 }),
        event("sealed", target::Event::Sealed),
        event("written", target::Event::Written),
        event(
            "not written",
            target::Event::NotWritten(refused(Cause::TargetWriteError)),
        ),
        event("try again", target::Event::TryAgain),
        event("dropped", target::Event::Dropped),
        event("link lost", target::Event::LinkLost("cut".into())),
        event("failed", target::Event::Failed(refused(Cause::Corrupt))),
    ]
}

/// The states of a target, each with the steps that lead there.
fn target_states(in_place: bool) -> Vec<(&'static str, Vec<Step>)> {
    let cut = Point::new(2, 6);
    let (mode, base) = match in_place {
        true => (HandshakeMode::Full, None),
        false => (HandshakeMode::Log, Some(Point::new(2, 5))),
    };
    let path: Vec<(&str, Named)> = vec![
        ("expecting", command("", Command::Receive(cut))),
        ("greeted", hears("", Message::Hello(hello(cut)))),
        ("opening", hears("", Message::Begin(begin(cut, mode, base)))),
        ("receiving", event("", target::Event::Opened { from: 0 })),
        ("sealing", hears("", Message::End)),
        ("sealed", event("", target::Event::Sealed)),
        ("written", event("", target::Event::Written)),
    ];
    along("idle", path)
}

#[test]
fn a_target_that_has_an_image() {
    let record = standby(ImageState::Consistent(Point::new(2, 5)));
    let mut steps = target_events();
    steps.extend(commands());
    insta::assert_snapshot!(walk(Some(&record), target_states(false), &steps));
}

#[test]
fn a_target_that_is_copied_to_in_place() {
    let record = standby(ImageState::None);
    let mut steps = target_events();
    steps.extend(commands());
    insta::assert_snapshot!(walk(Some(&record), target_states(true), &steps));
}

#[test]
fn a_target_that_is_being_promoted() {
    let promote = || command("", Command::Promote(promotion(3)));
    let record = standby(ImageState::Consistent(Point::new(2, 5)));
    let whole = standby(ImageState::Redo(Point::new(2, 6)));
    let mut steps = target_events();
    steps.extend(commands());
    let path = vec![("dropping", promote())];
    let mut text = walk(Some(&record), along("idle", path), &steps);
    let path = vec![("applying, to be promoted", promote())];
    text += &walk(Some(&whole), along("applying what was whole", path), &steps);
    insta::assert_snapshot!(text);
}

/// a set that could not be written keeps a promotion from being taken, in words, until it could be.
#[test]
fn r_6_a_target_that_could_not_write_its_set_refuses_to_be_promoted() {
    let cut = Point::new(2, 6);
    let whole = standby(ImageState::Redo(cut));
    let (mut side, _) = Side::open(Some(whole));
    let failed = Refused::new(
        Cause::TargetWriteError,
        "failed to write /dev/volume at byte 8192",
    );
    let not_written = |refused: Refused| Event::Target(target::Event::NotWritten(refused));
    side.on(SIZE, not_written(failed.clone()));
    let refused = side.command(Command::Promote(promotion(3))).unwrap_err();
    assert_eq!(refused.cause, Cause::TargetWriteError);
    assert!(
        refused.message.contains("cut 2.6") && refused.message.contains("at byte 8192"),
        "{refused}"
    );
    assert_eq!(side.promoting(), None);
    // A promotion during the next attempt waits for that one, and ends with it.
    side.on(SIZE, Event::Target(target::Event::TryAgain));
    side.command(Command::Promote(promotion(3))).unwrap();
    assert_eq!(side.promotes_once_written(), Some(Epoch(3)));
    side.on(SIZE, not_written(failed));
    assert_eq!(side.promoting(), None);
    // One that is withdrawn is not carried out once the set is written.
    side.on(SIZE, Event::Target(target::Event::TryAgain));
    side.command(Command::Promote(promotion(3))).unwrap();
    side.command(Command::Abort("withdrawn".into())).unwrap();
    side.on(SIZE, Event::Target(target::Event::Written));
    let record = side.record().unwrap();
    assert_eq!(
        (record.role, record.head()),
        (Role::Standby, Some(cut)),
        "{record:?}"
    );
    side.command(Command::Promote(promotion(3))).unwrap();
}

/// The path to where a source may begin.
fn greeted() -> Vec<(&'static str, Named)> {
    let cut = Point::new(2, 6);
    vec![
        ("expecting", command("", Command::Receive(cut))),
        ("greeted", hears("", Message::Hello(hello(cut)))),
    ]
}

/// A target whose image was applied but never committed, or is not known, or is of an older epoch.
#[test]
fn a_target_that_begins_from_elsewhere() {
    let (at, cut) = (Point::new(2, 5), Point::new(2, 6));
    let applied = Record {
        committed: Some(at),
        ..standby(ImageState::Consistent(cut))
    };
    let older = Record {
        epoch: Epoch(1),
        ..standby(ImageState::Consistent(Point::new(1, 3)))
    };
    let copied = Record {
        applied: Some(at),
        ..standby(ImageState::None)
    };
    let torn = standby(ImageState::Inconsistent);
    let diverged = Record {
        diverged: true,
        never_writable: false,
        ..torn.clone()
    };
    let consented = Begin {
        consent: Some(Epoch(2)),
        ..begin(cut, HandshakeMode::Full, None)
    };
    let compared = Begin {
        consent: Some(Epoch(2)),
        ..begin(cut, HandshakeMode::Bitmap, None)
    };
    let large = Begin {
        size: SIZE + 1,
        ..begin(cut, HandshakeMode::Full, None)
    };
    let steps = [
        hears(
            "begin from 1.3",
            Message::Begin(begin(cut, HandshakeMode::Log, Some(Point::new(1, 3)))),
        ),
        hears(
            "begin by comparing",
            Message::Begin(begin(cut, HandshakeMode::Bitmap, None)),
        ),
        hears(
            "begin of what it holds",
            Message::Begin(begin(cut, HandshakeMode::None, Some(cut))),
        ),
        hears(
            "begin in full",
            Message::Begin(begin(cut, HandshakeMode::Full, None)),
        ),
        hears("begin of more than fits", Message::Begin(large)),
        hears("begin in full, with consent", Message::Begin(consented)),
        hears("begin by comparing, with consent", Message::Begin(compared)),
        command("command: commit 2.6", Command::Commit(cut)),
        command("command: commit 2.5", Command::Commit(at)),
    ];
    let mut text = String::new();
    for (name, record) in [
        ("applied 2.6, committed 2.5", applied),
        ("in epoch 1 at 1.3", older),
        ("copied in place to 2.5, not committed", copied),
        ("torn", torn),
        ("diverged", diverged),
    ] {
        writeln!(text, "# {name}").unwrap();
        text += &walk(Some(&record), along("idle", greeted()).split_off(2), &steps);
    }
    insta::assert_snapshot!(text);
}

/// A commit that is repeated late must not hide that the next set is being written: an image that is
/// torn between two cuts would be taken for the older one and promoted.
#[test]
fn a_late_commit_leaves_the_next_set_recorded_as_whole() {
    let (at, next) = (Point::new(2, 5), Point::new(2, 6));
    for committed in [None, Some(at)] {
        let record = Record {
            applied: Some(at),
            committed,
            ..standby(ImageState::Redo(next))
        };
        let (mut side, _) = Side::open(Some(record));
        side.command(Command::Commit(at)).unwrap();
        let known = side.record().unwrap();
        assert_eq!(
            (known.committed, known.image),
            (Some(at), ImageState::Redo(next))
        );
        assert!(
            side.command(Command::Commit(next)).is_err(),
            "before it is on the volume"
        );
    }
}

/// The peer became primary of the very epoch while this side was still preparing to: the promotion
/// is void, or both would be primary in one epoch.
#[test]
fn a_promotion_is_void_once_its_epoch_is_given_away() {
    let at = Point::new(2, 5);
    for (image, done) in [
        (ImageState::Redo(at), target::Event::Written),
        (ImageState::Consistent(at), target::Event::Dropped),
    ] {
        let (mut side, _) = Side::open(Some(standby(image)));
        side.command(Command::Promote(promotion(3))).unwrap();
        side.command(Command::Demote(demotion(3, None))).unwrap();
        side.on(SIZE, Event::Target(done));
        let known = side.record().unwrap();
        assert_eq!((known.role, known.epoch), (Role::Standby, Epoch(3)));
        assert_eq!(
            (known.image, side.promoting()),
            (ImageState::Consistent(at), None)
        );
    }
}

/// Two operators that promote at once: the epoch is of the one whose command came first.
#[test]
fn a_promotion_is_not_replaced_by_another_to_the_same_epoch() {
    let (mut side, _) = Side::open(Some(standby(ImageState::Consistent(Point::new(2, 5)))));
    side.command(Command::Promote(promotion(3))).unwrap();
    let other = Promote {
        generation: generation(9),
        ..promotion(3)
    };
    let refused = side.command(Command::Promote(other)).unwrap_err();
    assert_eq!(refused.cause, Cause::OutOfOrder);
    side.on(SIZE, Event::Target(target::Event::Dropped));
    let newest = side.record().unwrap().lineage.last().unwrap().generation;
    assert_eq!(newest, generation(3));
}

/// Takes a whole cycle, from the command to the end.
fn takes(side: &mut Side, begin: Begin) {
    let cut = begin.cycle;
    side.command(Command::Receive(cut)).unwrap();
    for event in [
        target::Event::Peer(Message::Hello(hello(cut))),
        target::Event::Peer(Message::Begin(begin)),
        target::Event::Opened { from: 0 },
        target::Event::Peer(Message::End),
        target::Event::Sealed,
        target::Event::Written,
    ] {
        side.on(SIZE, Event::Target(event));
    }
    side.command(Command::Commit(cut)).unwrap();
}

/// The history of a cut comes with it: by it the next promotion is counted, and the next standby judged.
#[test]
fn a_target_has_the_history_of_what_it_took() {
    let (at, cut) = (Point::new(1, 3), Point::new(2, 6));
    let older = Record {
        epoch: Epoch(1),
        lineage: Lineage::starting(Epoch(1), generation(1), Seq(1)),
        ..standby(ImageState::Consistent(at))
    };
    let blank = standby(ImageState::None);
    for (record, begin) in [
        (older, begin(cut, HandshakeMode::Log, Some(at))),
        (blank, begin(cut, HandshakeMode::Full, None)),
    ] {
        assert_ne!(record.lineage, lineage());
        let (mut side, _) = Side::open(Some(record));
        takes(&mut side, begin);
        let known = side.record().unwrap();
        assert_eq!((known.head(), &known.lineage), (Some(cut), &lineage()));
    }
}

/// A diverged side that has followed by consent is an ordinary standby afterwards, and can be promoted.
#[test]
fn a_diverged_side_that_has_followed_is_diverged_no_more() {
    let cut = Point::new(2, 6);
    let diverged = Record {
        diverged: true,
        never_writable: false,
        ..standby(ImageState::Inconsistent)
    };
    for mode in [HandshakeMode::Bitmap, HandshakeMode::Full] {
        let (mut side, _) = Side::open(Some(diverged.clone()));
        assert!(side.command(Command::Promote(promotion(3))).is_err());
        let begin = Begin {
            consent: Some(Epoch(2)),
            ..begin(cut, mode, None)
        };
        takes(&mut side, begin);
        let known = side.record().unwrap();
        assert_eq!((known.diverged, known.head()), (false, Some(cut)));
        side.command(Command::Promote(promotion(3))).unwrap();
    }
}

/// A set that was whole and is damaged will never be on the volume: the image is at no point, and what
/// differs is sent again. Nothing of it can be promoted.
#[test]
fn a_complete_set_that_turns_out_damaged_is_discarded() {
    let (at, next, cut) = (Point::new(2, 5), Point::new(2, 6), Point::new(2, 7));
    let record = Record {
        applied: Some(at),
        committed: Some(at),
        ..standby(ImageState::Redo(next))
    };
    let (mut side, _) = Side::open(Some(record));
    let failed = |cause| Event::Target(target::Event::Failed(Refused::new(cause, "damaged")));
    side.on(SIZE, failed(Cause::TargetWriteError));
    let image = |side: &Side| side.record().unwrap().image;
    assert_eq!(image(&side), ImageState::Redo(next), "it is tried again");
    side.command(Command::Receive(cut)).unwrap();
    let actions = side.on(SIZE, failed(Cause::Corrupt));
    assert!(actions.contains(&Action::DropStaging { report: false }));
    assert!(side.command(Command::Commit(at)).is_err(), "repeated late");
    assert_eq!(image(&side), ImageState::Inconsistent);
    assert!(side.command(Command::Promote(promotion(3))).is_err());
    side.command(Command::Receive(cut)).unwrap();
    for word in [
        Message::Hello(hello(cut)),
        Message::Begin(begin(cut, HandshakeMode::Bitmap, None)),
    ] {
        side.on(SIZE, Event::Target(target::Event::Peer(word)));
    }
    assert_eq!(side.receiving(), Some(cut));
}

/// D-13: "a torn image never answers Applied, for no cut": the committed cut, shipped again, is received
/// again. Once that is done, by comparing or in full, it can be committed.
#[test]
fn a_torn_image_receives_its_committed_cut_again() {
    let (at, next) = (Point::new(2, 5), Point::new(2, 6));
    let redo = Record {
        applied: Some(at),
        committed: Some(at),
        ..standby(ImageState::Redo(next))
    };
    for mode in [HandshakeMode::Bitmap, HandshakeMode::Full] {
        let (mut side, _) = Side::open(Some(redo.torn()));
        side.command(Command::Receive(at)).unwrap();
        let mut actions = Vec::new();
        for word in [
            Message::Hello(hello(at)),
            Message::Begin(begin(at, mode, None)),
        ] {
            actions.extend(side.on(SIZE, Event::Target(target::Event::Peer(word))));
        }
        assert!(!actions.contains(&Action::Send(Message::Applied)));
        assert_eq!(side.receiving(), Some(at), "{mode:?}");
        let (mut side, _) = Side::open(Some(redo.torn()));
        takes(&mut side, begin(at, mode, None));
        side.command(Command::Commit(at)).unwrap();
        assert_eq!(side.record().unwrap().head(), Some(at), "{mode:?}");
    }
}

/// A cycle of a higher epoch that begins again in place raises the epoch in every record that it
/// leaves behind: a lower one would let the old primary in again.
#[test]
fn an_epoch_once_seen_is_in_every_record() {
    let at = Point::new(2, 5);
    let cut = Point::new(3, 6);
    let record = Record {
        applied: Some(at),
        image: ImageState::Inconsistent,
        ..standby(ImageState::Consistent(at))
    };
    let begin = Begin {
        consent: Some(Epoch(3)),
        ..begin(cut, HandshakeMode::Full, None)
    };
    let (mut side, _) = Side::open(Some(record));
    side.command(Command::Receive(cut)).unwrap();
    let mut epochs = Vec::new();
    for word in [Message::Hello(hello(cut)), Message::Begin(begin)] {
        for action in side.on(SIZE, Event::Target(target::Event::Peer(word))) {
            if let Action::Persist(record) = action {
                epochs.push((record.epoch, record.applied));
            }
        }
    }
    assert_eq!(epochs, [(Epoch(3), Some(at)), (Epoch(3), None)]);
}
