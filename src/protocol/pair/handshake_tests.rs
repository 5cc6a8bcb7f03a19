//! The handshake table is walked over every combination of its inputs.

use std::collections::BTreeSet;

use super::*;
use crate::units::{Generation, ImageState};
use uuid::Uuid;

/// Calls `check` with every combination of facts.
fn every_combination(mut check: impl FnMut(Facts)) {
    let kinds = [Kind::Blank, Kind::Unreadable, Kind::Known];
    let epochs = [EpochIs::Lower, EpochIs::Same, EpochIs::Higher];
    let tails = [Tail::Contained, Tail::Forked, Tail::Unrelated];
    let heads = [HeadIs::Equal, HeadIs::InLog, HeadIs::Beyond];
    for bits in 0_u32..1 << 8 {
        let bit = |n: u32| bits & (1 << n) != 0;
        for kind in kinds {
            for epoch in epochs {
                for tail in tails {
                    for head in heads {
                        check(Facts {
                            same_pair: bit(0),
                            large_enough: bit(1),
                            kind,
                            never_writable: bit(2),
                            epoch,
                            claims_primary: bit(3),
                            tail,
                            dirty_known: bit(4),
                            consent: bit(5),
                            head,
                            consistent: bit(6),
                            bounded: bit(7),
                        });
                    }
                }
            }
        }
    }
}

/// The rows as the specification words them, written a second time and in another form: each is
/// what makes it match once no row above it has.
fn expected(f: &Facts) -> (HandshakeRow, HandshakeMode) {
    use HandshakeMode as M;
    use HandshakeRow as R;
    let hold = |mode| if f.consent { mode } else { M::Diverged };
    let known = f.kind == Kind::Known;
    if !f.same_pair {
        (R::WrongPeer, M::Refuse)
    } else if !f.large_enough {
        (R::StandbyTooSmall, M::Refuse)
    } else if known && f.epoch == EpochIs::Higher {
        (R::StalePrimary, M::Refuse)
    } else if known && f.epoch == EpochIs::Same && f.claims_primary {
        (R::SplitBrain, M::Refuse)
    } else if f.kind == Kind::Blank || (!known && f.never_writable) {
        (R::Blank, M::Full)
    } else if known && f.tail == Tail::Forked && f.dirty_known {
        (R::DivergedTail, hold(M::Bitmap))
    } else if !known || f.tail != Tail::Contained {
        (R::NoCommonAncestor, hold(M::Full))
    } else if !f.consistent {
        if f.bounded {
            (R::Bounded, M::Bitmap)
        } else {
            (R::Unbounded, M::Full)
        }
    } else {
        match (f.head, f.bounded) {
            (HeadIs::Equal, _) => (R::SameHead, M::None),
            (HeadIs::InLog, _) => (R::InLog, M::Log),
            (HeadIs::Beyond, true) => (R::Bounded, M::Bitmap),
            (HeadIs::Beyond, false) => (R::Unbounded, M::Full),
        }
    }
}

#[test]
fn every_combination_has_one_winner_and_every_row_is_reached() {
    let mut reached = BTreeSet::new();
    let mut walked = 0_u32;
    every_combination(|facts| {
        let decision = decide_by(&facts);
        assert_eq!((decision.row, decision.mode), expected(&facts), "{facts:?}");
        assert!(!decision.reason.is_empty());
        reached.insert(decision.row);
        walked += 1;
    });
    assert_eq!(walked, 256 * 81);
    assert_eq!(reached.len(), TABLE.len(), "reached only {reached:?}");
}

#[test]
fn the_rows_stand_in_the_command_of_the_specification() {
    let rows: Vec<HandshakeRow> = TABLE.iter().map(|rule| rule.row).collect();
    assert!(rows.is_sorted(), "{rows:?}");
}

/// I4: no path overwrites a diverged standby without recorded consent.
#[test]
fn nothing_overwrites_a_side_with_writes_of_its_own_without_consent() {
    every_combination(|facts| {
        let own_writes = facts.kind == Kind::Known && facts.tail != Tail::Contained;
        let unknown = facts.kind == Kind::Unreadable && !facts.never_writable;
        if (own_writes || unknown) && !facts.consent {
            let mode = decide_by(&facts).mode;
            assert!(
                matches!(mode, HandshakeMode::Diverged | HandshakeMode::Refuse),
                "{facts:?} led to {mode:?}"
            );
        }
    });
}

fn lineage() -> Lineage {
    Lineage::starting(Epoch(1), Generation(Uuid::from_u128(1)), Seq(1))
}

fn record(role: Role, image: ImageState) -> Record {
    let applied = match image {
        ImageState::Consistent(point) => Some(point),
        _ => None,
    };
    Record {
        pair_id: PairId(Uuid::from_u128(9)),
        role,
        epoch: Epoch(1),
        lineage: lineage(),
        committed: applied,
        applied,
        image,
        diverged: false,
        never_writable: false,
        requested_primary: "east".parse().unwrap(),
    }
}

fn inputs(standby: Superblock) -> Inputs {
    Inputs {
        primary: PrimaryView {
            pair_id: PairId(Uuid::from_u128(9)),
            size: 100,
            epoch: Epoch(1),
            lineage: lineage(),
            head: Point::new(1, 10),
            log: Some(Log {
                tail: Seq(6),
                head: Seq(10),
            }),
            dirty_base: None,
            common: None,
            peer_never_writable: false,
        },
        standby: StandbyView {
            superblock: standby,
            size: 100,
            dirty_known: true,
        },
        consent: None,
    }
}

fn known(record: Record) -> Superblock {
    Superblock::Known(Box::new(record))
}

#[test]
fn heads_map_to_rows() {
    let at = |seq| {
        known(record(
            Role::Standby,
            ImageState::Consistent(Point::new(1, seq)),
        ))
    };
    assert_eq!(decide(&inputs(at(10))).row, HandshakeRow::SameHead);
    assert_eq!(decide(&inputs(at(5))).row, HandshakeRow::InLog);
    assert_eq!(decide(&inputs(at(4))).row, HandshakeRow::Unbounded);
    let mut bounded = inputs(at(4));
    bounded.primary.common = Some(Point::new(1, 4));
    assert_eq!(decide(&bounded).row, HandshakeRow::Bounded);
    bounded.primary.common = Some(Point::new(1, 3));
    assert_eq!(decide(&bounded).row, HandshakeRow::Unbounded);
}

#[test]
fn a_returning_primary_is_held_until_consent_for_this_epoch() {
    let mut old = record(Role::Primary, ImageState::Consistent(Point::new(1, 5)));
    old.committed = Some(Point::new(1, 9));
    let mut inputs = inputs(known(old));
    inputs.primary.epoch = Epoch(2);
    inputs.primary.lineage =
        lineage().promoted(Point::new(1, 9), Epoch(2), Generation(Uuid::from_u128(2)));
    inputs.primary.head = Point::new(2, 11);
    let held = decide(&inputs);
    assert_eq!(
        (held.row, held.mode),
        (HandshakeRow::DivergedTail, HandshakeMode::Diverged)
    );
    inputs.consent = Some(Epoch(1));
    assert_eq!(decide(&inputs).mode, HandshakeMode::Diverged);
    inputs.consent = Some(Epoch(2));
    assert_eq!(decide(&inputs).mode, HandshakeMode::Bitmap);
    inputs.standby.dirty_known = false;
    assert_eq!(decide(&inputs).row, HandshakeRow::NoCommonAncestor);
}

/// H-8: an ex-primary whose superblock is corrupt is held until consent, never overwritten.
#[test]
fn h_8_an_unreadable_superblock_is_held_unless_the_side_was_never_writable() {
    let mut inputs = inputs(Superblock::Unreadable);
    assert_eq!(decide(&inputs).mode, HandshakeMode::Diverged);
    inputs.primary.peer_never_writable = true;
    assert_eq!(decide(&inputs).row, HandshakeRow::Blank);
}

/// H-4: a blank standby is copied in full.
#[test]
fn h_4_a_blank_standby_gets_everything() {
    let mut fresh = record(Role::Standby, ImageState::None);
    fresh.lineage = Lineage::default();
    assert_eq!(
        decide(&inputs(known(fresh.clone()))).row,
        HandshakeRow::NoCommonAncestor,
        "a side that may have been writable is not blank"
    );
    fresh.never_writable = true;
    for standby in [Superblock::Blank, known(fresh)] {
        assert_eq!(decide(&inputs(standby)).mode, HandshakeMode::Full);
    }
}

#[test]
fn a_map_of_changes_bounds_the_difference_when_it_begins_at_or_before_the_head() {
    let at = |seq| Point::new(1, seq);
    let row = |base, image| {
        let mut inputs = inputs(known(record(Role::Standby, image)));
        inputs.primary.log = None;
        inputs.primary.dirty_base = Some(base);
        decide(&inputs).row
    };
    let head = ImageState::Consistent(at(4));
    assert_eq!(row(at(3), head), HandshakeRow::Bounded);
    assert_eq!(row(at(4), head), HandshakeRow::Bounded);
    assert_eq!(row(at(5), head), HandshakeRow::Unbounded);
}

#[test]
fn a_head_past_the_log_is_beyond_it() {
    let mut inputs = inputs(known(record(
        Role::Standby,
        ImageState::Consistent(Point::new(1, 12)),
    )));
    assert_eq!(facts(&inputs).head, HeadIs::Beyond);
    inputs.primary.log = Some(Log {
        tail: Seq(6),
        head: Seq(12),
    });
    assert_eq!(facts(&inputs).head, HeadIs::InLog);
}

/// The fork of a side with writes of its own is known only with a cut that both sides hold.
#[test]
fn a_torn_image_goes_back_to_the_cut_that_it_committed() {
    let mut torn = record(Role::Standby, ImageState::Inconsistent);
    torn.committed = Some(Point::new(1, 5));
    torn.applied = Some(Point::new(1, 5));
    let mut bounded = inputs(known(torn.clone()));
    bounded.primary.common = Some(Point::new(1, 5));
    assert_eq!(facts(&bounded).tail, Tail::Contained);
    assert_eq!(decide(&bounded).row, HandshakeRow::Bounded);
    torn.diverged = true;
    torn.applied = None;
    assert_eq!(facts(&inputs(known(torn.clone()))).tail, Tail::Forked);
    torn.committed = None;
    assert_eq!(facts(&inputs(known(torn))).tail, Tail::Unrelated);
}
