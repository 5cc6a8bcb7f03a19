//! The order of effects, without any disk, thread or clock.

use uuid::Uuid;

use super::*;
use crate::input::FoundSuperblock;
use protocol::changes::CycleId;
use protocol::pair::{Cause, Refused};
use protocol::units::{
    Epoch, FailedRange, Generation, ImageState, PairId, PeerName, Point, Role, Seq, SiteName,
};
use storage::journal::{JournalError, Superblock};
use storage::seam::DiskError;
use wire::control::{
    Activity, ChangeList, Compression, InitRequest, ReceiveRequest, Request, Response, ShipRequest,
    Transfer,
};
use wire::{CycleBegin, Message, TransferForm};

const SIZE: u64 = 1 << 20;

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

fn opened(superblock: FoundSuperblock) -> (Core, Vec<Effect>) {
    let config = Config {
        site: site("west"),
        pair: "shop/orders".parse().unwrap(),
        device_bytes: Some(SIZE),
        read_only: false,
        file_system: false,
        volume: None,
        rules: Rules::default(),
    };
    let found = Found {
        superblock,
        kept: None,
        doubt: None,
    };
    Core::open(config, found, Moment::default())
}

fn blank() -> Core {
    opened(Ok(None)).0
}

fn at(now_ms: u64) -> Moment {
    Moment {
        now_ms,
        ..Moment::default()
    }
}

fn ask(core: &mut Core, id: u64, request: Request) -> Vec<Effect> {
    core.take(at(0), Input::Request(id, Box::new(request)))
}

fn init() -> Request {
    Request::Init(InitRequest {
        pair_id: PairId(Uuid::from_u128(1)),
        role: Role::Standby,
        epoch: Epoch::FIRST,
        generation: Generation(Uuid::from_u128(2)),
        start: Seq(1),
        never_writable: true,
        requested_primary: site("east"),
        over_damage: false,
    })
}

fn receive(cycle: Point) -> Request {
    Request::Receive(ReceiveRequest {
        cycle,
        peer_site: site("east"),
    })
}

fn saved(core: &mut Core, effects: &[Effect]) -> Vec<Effect> {
    let number = effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Persist { number, .. } => Some(*number),
            _ => None,
        })
        .expect("nothing is saved");
    core.take(at(0), Input::Persisted(number, Ok(())))
}

/// The number of the work that is begun.
fn begun(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Begin(number, _) => Some(*number),
        _ => None,
    })
}

fn answered(effects: &[Effect], id: u64) -> bool {
    let accepted =
        |effect: &Effect| matches!(effect, Effect::Reply(to, Response::Accepted) if *to == id);
    effects.iter().any(accepted)
}

/// A standby that has opened the volume for the first copy of `cycle`, and the number of that work.
fn receiving(core: &mut Core, link: u64, cycle: Point) -> Option<u64> {
    let pair: protocol::units::PairName = "shop/orders".parse().unwrap();
    let peer = PeerName::Mover {
        site: site("east"),
        pair,
    };
    let mut effects = core.take(at(0), Input::Accepted(link, peer));
    let record = core.side().record().unwrap().clone();
    let mut primary = record.clone();
    primary.role = Role::Primary;
    let lineage =
        protocol::units::Lineage::starting(Epoch::FIRST, Generation(Uuid::from_u128(2)), Seq(1));
    let mut hello = translate::wire_hello(&site("east"), Some(&primary), SIZE, Some(cycle));
    hello.lineage = lineage;
    for message in [
        Message::Hello(Box::new(hello)),
        Message::Decision(protocol::units::Decision {
            mode: protocol::units::HandshakeMode::Full,
            row: protocol::units::HandshakeRow::Blank,
            reason: "the standby is blank".into(),
        }),
        Message::CycleBegin(CycleBegin {
            id: CycleId { cycle, from: None },
            size_bytes: SIZE,
            form: TransferForm::InPlace,
            change_source: protocol::units::ChangeSource::FullRead,
            consent: None,
        }),
    ] {
        effects.extend(core.take(at(0), Input::Message(link, message)));
    }
    begun(&effects)
}

/// Two operators that lead for a while may have got different lists of one cut: their parts are not mixed.
#[test]
fn a_shipment_goes_on_by_the_list_that_was_announced_first() {
    let mut core = blank();
    let Request::Init(mut first) = init() else {
        unreachable!("it is no Init");
    };
    (first.role, first.never_writable) = (Role::Primary, false);
    let effects = ask(&mut core, 1, Request::Init(first));
    saved(&mut core, &effects);
    let ship = |changes: ChangeList| {
        Request::Ship(ShipRequest {
            cycle: Point::new(1, 1),
            peer: "east:7400".into(),
            peer_site: site("east"),
            changes,
            changes_reason: String::new(),
            discard_consent: None,
            image: None,
            transfer: Transfer {
                bytes_per_second: None,
                compression: Compression::Off,
                stall_timeout_ms: 60_000,
            },
        })
    };
    let delta = ChangeList::Delta {
        base: Point::new(1, 0),
    };
    let mut taken = |id: u64, changes: ChangeList| {
        let mut effects = ask(&mut core, id, ship(changes));
        if matches!(effects.last(), Some(Effect::Persist { .. })) {
            effects = saved(&mut core, &effects);
        }
        answered(&effects, id)
    };
    assert!(taken(2, ChangeList::Allocated));
    assert!(taken(3, ChangeList::Allocated), "it is repeated");
    assert!(!taken(4, delta), "it is of another list");
}

#[test]
fn an_answer_follows_the_superblock_that_it_rests_on() {
    let mut core = blank();
    let effects = ask(&mut core, 7, init());
    assert!(
        matches!(effects[..], [Effect::Persist { .. }]),
        "{effects:?}"
    );
    // Nothing overtakes it, whatever happens meanwhile.
    assert!(ask(&mut core, 8, Request::Abort { reason: "x".into() }).is_empty());
    let effects = saved(&mut core, &effects);
    assert!(
        answered(&effects, 7) && answered(&effects, 8),
        "{effects:?}"
    );
}

#[test]
fn a_superblock_of_which_nobody_knows_whether_it_is_saved_ends_the_process() {
    let mut core = blank();
    let effects = ask(&mut core, 7, init());
    let Some(Effect::Persist { number, .. }) = effects.first() else {
        panic!("{effects:?}");
    };
    let effects = core.take(at(0), Input::Persisted(*number, Err("EIO".into())));
    assert!(matches!(effects[..], [Effect::Exit(Err(_))]), "{effects:?}");
    assert!(ask(&mut core, 8, Request::Shutdown).is_empty());
}

/// H-8: a state volume that fails once is opened again by another process, after people can have seen why; one
/// that is damaged waits for consent.
#[test]
fn a_mover_whose_state_volume_failed_shows_it_and_then_ends() {
    let io = std::io::Error::from(std::io::ErrorKind::Other);
    let failed = JournalError::from(DiskError::new("flush", "superblock", io));
    let damaged = JournalError::Damaged {
        file: "superblock",
        reason: "its sum".into(),
    };
    for (error, ends) in [(failed, true), (damaged, false)] {
        let (mut core, _) = opened(Err(Unusable::of(&error)));
        assert!(core.take(at(29_999), Input::Tick).is_empty());
        let effects = core.take(at(30_000), Input::Tick);
        assert_eq!(
            matches!(effects[..], [Effect::Exit(Ok(()))]),
            ends,
            "{effects:?}"
        );
    }
}

/// D-6: an abort is answered at once, though the work that it stops has not ended; the next work on
/// the volume begins when it has.
#[test]
fn d_6_an_abort_waits_for_no_device_but_the_next_cycle_does() {
    let mut core = blank();
    let effects = ask(&mut core, 1, init());
    saved(&mut core, &effects);
    let (first, second) = (Point::new(1, 1), Point::new(1, 2));
    assert!(answered(&ask(&mut core, 2, receive(first)), 2));
    let work = receiving(&mut core, 10, first).expect("nothing is opened");
    let abort = Request::Abort {
        reason: "enough".into(),
    };
    let effects = ask(&mut core, 3, abort);
    assert!(answered(&effects, 3), "{effects:?}");
    // Whoever has been answered finds it shown.
    let idle = |effect: &Effect| matches!(effect, Effect::Show(s) if s.activity == Activity::Idle);
    let shown = effects.iter().position(idle).expect("it is not shown");
    assert!(!answered(&effects[..shown], 3), "{effects:?}");
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Stop(n) if *n == work))
    );
    assert!(answered(&ask(&mut core, 4, receive(second)), 4));
    assert_eq!(
        receiving(&mut core, 11, second),
        None,
        "it begins too early"
    );
    let effects = core.take(at(5), Input::Receive(work, ReceiveEvent::Stopped));
    let next = begun(&effects).expect("it does not begin");
    // What the first one still reports is of no interest to the second.
    let sealed = core.take(at(6), Input::Receive(work, ReceiveEvent::Sealed));
    assert!(begun(&sealed).is_none());
    let effects = core.take(at(7), Input::Opened(next, 0));
    let ready = |effect: &Effect| matches!(effect, Effect::Send(11, Message::Resume(_)));
    assert!(effects.iter().any(ready), "{effects:?}");
}

/// D-6: where a device never answers the process ends in the end.
#[test]
fn d_6_work_that_never_stops_ends_the_process() {
    let mut core = blank();
    let effects = ask(&mut core, 1, init());
    saved(&mut core, &effects);
    ask(&mut core, 2, receive(Point::new(1, 1)));
    receiving(&mut core, 10, Point::new(1, 1)).expect("nothing is opened");
    ask(&mut core, 3, Request::Abort { reason: "x".into() });
    let exits = |effects: Vec<Effect>| effects.iter().any(|e| matches!(e, Effect::Exit(Err(_))));
    assert!(!exits(core.take(at(119_000), Input::Tick)));
    assert!(exits(core.take(at(121_000), Input::Tick)));
}

/// A standby on whose volume a complete set has to be written, and the number of that work.
fn writing() -> (Core, u64) {
    let mut core = blank();
    let effects = ask(&mut core, 1, init());
    saved(&mut core, &effects);
    let found = Superblock {
        image: ImageState::Redo(Point::new(1, 2)),
        committed: Some(Point::new(1, 1)),
        applied: Some(Point::new(1, 1)),
        lineage: protocol::units::Lineage::starting(
            Epoch::FIRST,
            Generation(Uuid::from_u128(2)),
            Seq(1),
        ),
        ..core.superblock.clone().unwrap()
    };
    let (core, effects) = opened(Ok(Some(found)));
    (core, begun(&effects).expect("nothing is written"))
}

fn promotion() -> Request {
    Request::Promote(wire::control::PromoteRequest {
        epoch: Epoch(2),
        generation: Generation(Uuid::from_u128(3)),
        peer_head: None,
        requested_primary: site("west"),
    })
}

fn not_written(offset: u64) -> NotWritten {
    let extent = protocol::units::Extent::new(offset, 4096);
    NotWritten {
        refused: Refused::new(Cause::TargetWriteError, "failed to write"),
        ranges: vec![FailedRange { extent, errno: 5 }],
        rest_is_written: true,
    }
}

/// a promotion that has to wait for a set is answered once that is on the volume, or is not. It is never
/// accepted and then dropped.
#[test]
fn r_6_a_promotion_that_waits_for_a_set_is_answered_by_what_becomes_of_it() {
    let (mut core, work) = writing();
    let replied = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Reply(..)));
    assert!(!replied(&ask(&mut core, 7, promotion())), "too early");
    let effects = core.take(at(1), Input::Written(work, Err(not_written(8192))));
    let refused = effects.iter().find_map(|effect| match effect {
        Effect::Reply(7, Response::Refused(refusal)) => Some(refusal.message.clone()),
        _ => None,
    });
    assert!(
        refused.is_some_and(|why| why.contains("cut 1.2")),
        "{effects:?}"
    );
    assert!(!answered(&ask(&mut core, 8, promotion()), 8));
    // The next attempt works, and the promotion that was asked for during it is recorded first.
    let work = begun(&core.take(at(1001), Input::Tick)).expect("it is not tried again");
    assert!(!replied(&ask(&mut core, 9, promotion())));
    let effects = core.take(at(1002), Input::Written(work, Ok(1)));
    assert!(!replied(&effects), "before it is durable");
    let effects = saved(&mut core, &effects);
    let effects = saved(&mut core, &effects);
    assert!(answered(&effects, 9), "{effects:?}");
    assert_eq!(core.side().record().unwrap().role, Role::Primary);
}

/// what failed, and nothing else, is tried again by itself, ever more rarely, and is shown meanwhile.
#[test]
fn r_2_only_what_failed_is_tried_again_with_growing_pauses() {
    let (mut core, mut work) = writing();
    let mut now = 0;
    for pause in [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
        let effects = core.take(at(now), Input::Written(work, Err(not_written(8192))));
        let shown = effects.iter().find_map(|effect| match effect {
            Effect::Show(status) => Some(status.unwritten.clone()),
            _ => None,
        });
        assert!(shown.is_none_or(|ranges| ranges == not_written(8192).ranges));
        assert_eq!(core.shown.unwritten, not_written(8192).ranges);
        assert_eq!(begun(&core.take(at(now + pause - 1), Input::Tick)), None);
        now += pause;
        let effects = core.take(at(now), Input::Tick);
        let only = effects.iter().find_map(|effect| match effect {
            Effect::Begin(number, Work::Apply { only, .. }) => Some((*number, only.clone())),
            _ => None,
        });
        let Some((number, Some(only))) = only else {
            panic!("it is not tried again after {pause} ms: {effects:?}");
        };
        work = number;
        assert_eq!(only, [protocol::units::Extent::new(8192, 4096)]);
    }
    let effects = core.take(at(now), Input::Written(work, Ok(1)));
    saved(&mut core, &effects);
    assert!(core.shown.unwritten.is_empty());
}

/// What a mover has found is among what it does at once, so that it can be shown before anybody is
/// served: a site with a superblock never passes for a blank one.
#[test]
fn what_was_found_is_shown_at_once() {
    let mut core = blank();
    let effects = ask(&mut core, 1, init());
    saved(&mut core, &effects);
    for image in [ImageState::None, ImageState::Redo(Point::new(1, 2))] {
        let found = Superblock {
            image,
            ..core.superblock.clone().unwrap()
        };
        let (_, effects) = opened(Ok(Some(found)));
        let shown = effects.iter().find_map(|effect| match effect {
            Effect::Show(status) => status.superblock.as_ref(),
            _ => None,
        });
        assert_eq!(shown.map(|superblock| superblock.image), Some(image));
    }
}
