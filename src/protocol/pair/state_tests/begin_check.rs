//! What a target ignores, gate by gate: each case differs from one that passes in one thing.

use super::parts::{SIZE, begin, generation, lineage, standby};
use crate::pair::begin_check::admits;
use crate::pair::message::Begin;
use crate::pair::{Cause, Record};
use crate::units::{Epoch, HandshakeMode, ImageState, Lineage, Point, Seq};

const AT: Point = Point::new(2, 5);
const CUT: Point = Point::new(2, 6);

fn known() -> Record {
    standby(ImageState::Consistent(AT))
}

fn delta() -> Begin {
    begin(CUT, HandshakeMode::Log, Some(AT))
}

/// A history that has nothing in common with the pair's.
fn foreign() -> Lineage {
    Lineage::starting(Epoch(2), generation(9), Seq(1))
}

fn refused(record: &Record, size: u64, begin: &Begin) -> Option<Cause> {
    admits(record, size, CUT, begin).err().map(|r| r.cause)
}

#[test]
fn a_difference_from_this_very_image_passes_and_every_other_is_refused() {
    assert_eq!(refused(&known(), SIZE, &delta()), None);
    assert_eq!(refused(&known(), SIZE + 1, &delta()), None);
    assert_eq!(
        refused(&known(), SIZE - 1, &delta()),
        Some(Cause::TargetTooSmall)
    );
    let other_cut = begin(Point::new(2, 7), HandshakeMode::Log, Some(AT));
    let other_base = begin(CUT, HandshakeMode::Bitmap, Some(Point::new(2, 4)));
    let no_base = begin(CUT, HandshakeMode::Log, None);
    for wrong in [other_cut, other_base, no_base] {
        assert_eq!(
            refused(&known(), SIZE, &wrong),
            Some(Cause::OutOfOrder),
            "{wrong:?}"
        );
    }
    // A full copy counts from nothing.
    let full = begin(CUT, HandshakeMode::Full, None);
    assert_eq!(refused(&known(), SIZE, &full), None);
    let newer = Record {
        epoch: Epoch(3),
        ..known()
    };
    assert_eq!(refused(&newer, SIZE, &delta()), Some(Cause::StaleEpoch));
}

#[test]
fn writes_of_its_own_are_replaced_only_by_consent_for_this_epoch() {
    let diverged = Record {
        diverged: true,
        ..known()
    };
    let unrelated = Record {
        lineage: foreign(),
        never_writable: false,
        ..known()
    };
    let blank = Record {
        never_writable: false,
        ..standby(ImageState::None)
    };
    for held in [diverged, unrelated, blank] {
        let full = begin(CUT, HandshakeMode::Full, None);
        for consent in [None, Some(Epoch(1)), Some(Epoch(3))] {
            let begin = Begin {
                consent,
                ..full.clone()
            };
            assert_eq!(
                refused(&held, SIZE, &begin),
                Some(Cause::Diverged),
                "{held:?} with {consent:?}"
            );
        }
        let consented = Begin {
            consent: Some(Epoch(2)),
            ..full
        };
        assert_eq!(refused(&held, SIZE, &consented), None, "{held:?}");
    }
    // Where nobody ever wrote there is nothing to lose.
    let never = standby(ImageState::None);
    let full = begin(CUT, HandshakeMode::Full, None);
    assert_eq!(refused(&never, SIZE, &full), None);
}

/// D-10: "damaged staging, a trimmed history, a torn image of a side that was once primary lead to a
/// comparison, not to a demand for consent". What the source decides the target admits.
#[test]
fn an_image_that_is_torn_is_compared_whether_it_was_primary_once_or_not() {
    for never_writable in [true, false] {
        let redo = Record {
            never_writable,
            committed: Some(AT),
            applied: Some(AT),
            ..standby(ImageState::Redo(CUT))
        };
        let overwritten = Record {
            applied: None,
            ..redo.torn()
        };
        for torn in [redo.torn(), overwritten] {
            assert!(torn.follows(&lineage()));
            let compared = begin(CUT, HandshakeMode::Bitmap, None);
            assert_eq!(refused(&torn, SIZE, &compared), None, "{torn:?}");
            let diverged = Record {
                diverged: true,
                ..torn.clone()
            };
            let elsewhere = Record {
                lineage: foreign(),
                never_writable: false,
                ..torn
            };
            for held in [diverged, elsewhere] {
                assert!(!held.follows(&lineage()));
                assert_eq!(refused(&held, SIZE, &compared), Some(Cause::Diverged));
            }
        }
    }
}

#[test]
fn a_cut_older_than_the_image_is_refused_and_the_same_passes() {
    let full = begin(CUT, HandshakeMode::Full, None);
    for (seq, cause) in [(5, None), (6, None), (7, Some(Cause::OutOfOrder))] {
        let image = standby(ImageState::Consistent(Point::new(2, seq)));
        assert_eq!(refused(&image, SIZE, &full), cause, "an image at 2.{seq}");
    }
}
