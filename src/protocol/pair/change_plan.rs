//! How a cycle learns what has changed, and how it falls back when a change source breaks.
//!
//! ```text
//! Delta ──> Allocated (+ digests) ──> kept digests ──> the standby's digests ──> full read
//! ```
//!
//! Every change source covers every change between the standby's image and the cut, so any mix of change sources in
//! one cycle is right as long as each byte's range is dealt with by one of them. That is why a fall
//! in the middle of a cycle goes on from the position that the broken change source had reached.

use crate::units::{ChangeSource, ChangeSourceUse, Extent, HandshakeMode, Point};

use crate::pair::handshake::Log;
use crate::pair::verify;

/// The list that the operator feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// All that changed since `base`.
    Delta {
        /// The cut that the list counts from.
        base: Point,
    },
    /// All that is allocated at the cut.
    Allocated,
    /// None.
    Nothing,
}

/// What candidates are compared with, so that equal ones are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Nothing: every candidate is sent.
    Nothing,
    /// The digests kept here when the standby's point was committed.
    Kept,
    /// Digests that the standby computes of its own image now.
    Standby,
}

/// Which ranges are candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Those on the operator's list of changes, and no others.
    Delta,
    /// The whole volume; what is not on the operator's list of allocated ranges is zero, unread.
    Allocated,
    /// The whole volume, read.
    Everything,
    /// This range, read.
    Range(Extent),
    /// None: the standby holds the cut.
    None,
}

/// How one cycle (or the rest of it) learns what has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which ranges are read.
    pub candidates: Candidates,
    /// What they are compared with.
    pub compare: Compare,
    /// The change source's name and why it is no better one, for status.
    pub change_source: ChangeSourceUse,
}

/// What there is to plan with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Means {
    /// What the handshake decided.
    pub mode: HandshakeMode,
    /// The point that the standby's image is at.
    pub standby: Option<Point>,
    /// The operator's list.
    pub list: List,
    /// Why the list is no better, in the operator's words.
    pub list_reason: String,
    /// The cut that the digests kept here describe.
    pub kept: Option<Point>,
    /// The range to verify, where nothing new is shipped.
    pub verify: Option<Extent>,
}

/// What Snapshot mode passes for the handshake's log: the changes since the standby's point are
/// known when the operator's list, or the digests kept here, count from exactly that point. A list
/// that counts from an older cut is not enough: a block that was changed and changed back is not
/// on it, though the standby holds the value in between.
#[must_use]
pub fn snapshot_log(
    cut: Point,
    standby: Option<Point>,
    list: List,
    kept: Option<Point>,
) -> Option<Log> {
    let standby = standby?;
    let listed = list == List::Delta { base: standby };
    (listed || kept == Some(standby)).then(|| Log {
        tail: standby.seq.next(),
        head: cut.seq,
    })
}

/// The best change source that these means allow.
#[must_use]
pub fn plan(means: &Means) -> Plan {
    if let Some(range) = means.verify {
        return verify::plan(range);
    }
    match means.mode {
        HandshakeMode::None => Plan {
            candidates: Candidates::None,
            compare: Compare::Nothing,
            change_source: use_of(
                ChangeSource::Delta,
                "the standby holds this very cut".into(),
            ),
        },
        HandshakeMode::Full => whole(means),
        HandshakeMode::Log | HandshakeMode::Bitmap => difference(means),
        HandshakeMode::Diverged | HandshakeMode::Refuse => Plan {
            candidates: Candidates::None,
            compare: Compare::Nothing,
            change_source: use_of(ChangeSource::FullRead, "the handshake ships nothing".into()),
        },
    }
}

/// The next change source after the operator's list broke, for what it had not covered yet.
#[must_use]
pub fn fall(means: &Means, why: &str) -> Plan {
    let broken = Means {
        list: List::Nothing,
        list_reason: format!("the list of changes broke: {why}"),
        ..means.clone()
    };
    plan(&broken)
}

fn whole(means: &Means) -> Plan {
    let no_image = "the standby has no image to build on";
    let (candidates, source, reason) = match means.list {
        List::Allocated => (
            Candidates::Allocated,
            ChangeSource::Allocated,
            no_image.into(),
        ),
        // A list of what is allocated would have spared reading the rest: people see why there is none.
        List::Delta { base } => (
            Candidates::Everything,
            ChangeSource::FullRead,
            format!("{no_image}, and the list from cut {base} does not say what is allocated"),
        ),
        List::Nothing => (
            Candidates::Everything,
            ChangeSource::FullRead,
            format!("{no_image}; {}", why_no_list(means)),
        ),
    };
    Plan {
        candidates,
        compare: Compare::Nothing,
        change_source: use_of(source, reason),
    }
}

fn difference(means: &Means) -> Plan {
    if let (List::Delta { base }, Some(standby)) = (means.list, means.standby)
        && base == standby
        && means.mode == HandshakeMode::Log
    {
        // Drivers track changes in larger pieces than blocks: digests of the same cut, where they are
        // kept, sort out what of them really changed.
        let kept = means.kept == Some(standby);
        return Plan {
            candidates: Candidates::Delta,
            compare: if kept {
                Compare::Kept
            } else {
                Compare::Nothing
            },
            change_source: use_of(
                ChangeSource::Delta,
                format!("the changes since cut {base} are listed"),
            ),
        };
    }
    let mut reason = why_not_delta(means);
    let kept = means.kept.is_some() && means.kept == means.standby;
    let compare = if kept {
        Compare::Kept
    } else {
        reason.push_str("; ");
        reason.push_str(&match (means.kept, means.standby) {
            (Some(kept), Some(standby)) => format!(
                "the digests kept here are of cut {kept}, not {standby}, \
                 so the standby computes those of its image"
            ),
            (_, None) => {
                "the standby's image is at no cut, so it computes the digests of what is there"
                    .to_string()
            }
            (None, Some(_)) => {
                "no digests are kept here, so the standby computes those of its image".to_string()
            }
        });
        Compare::Standby
    };
    let (candidates, change_source) = match means.list {
        List::Allocated => (Candidates::Allocated, ChangeSource::Allocated),
        List::Delta { .. } | List::Nothing => (Candidates::Everything, ChangeSource::Digests),
    };
    Plan {
        candidates,
        compare,
        change_source: use_of(change_source, reason),
    }
}

/// Why the changes can't be taken from a list.
fn why_not_delta(means: &Means) -> String {
    match (means.list, means.standby) {
        (List::Delta { base }, Some(standby)) => {
            format!("the list counts from cut {base}, but the standby is at {standby}")
        }
        (List::Delta { base }, None) => {
            format!("the list counts from cut {base}, but the standby is at no cut")
        }
        (List::Allocated | List::Nothing, _) => why_no_list(means),
    }
}

/// Why there is no list, or no better one.
fn why_no_list(means: &Means) -> String {
    match means.list_reason.as_str() {
        "" => "no list of changes was given".into(),
        reason => reason.into(),
    }
}

fn use_of(source: ChangeSource, reason: String) -> ChangeSourceUse {
    ChangeSourceUse { source, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(mode: HandshakeMode, list: List, kept: Option<Point>) -> Means {
        Means {
            mode,
            standby: Some(Point::new(1, 5)),
            list,
            list_reason: "the driver has no SnapshotMetadata".into(),
            kept,
            verify: None,
        }
    }

    #[test]
    fn the_best_change_source_that_can_be_trusted_is_taken() {
        let at = Some(Point::new(1, 5));
        let older = Some(Point::new(1, 4));
        let delta = |seq| List::Delta {
            base: Point::new(1, seq),
        };
        use ChangeSource::{Allocated, Delta, Digests, FullRead};
        use HandshakeMode::{Bitmap, Full, Log};
        for (mode, list, kept, change_source, compare) in [
            (Log, delta(5), at, Delta, Compare::Kept),
            (Log, delta(5), older, Delta, Compare::Nothing),
            (Log, delta(4), at, Digests, Compare::Kept),
            (Bitmap, delta(5), at, Digests, Compare::Kept),
            (Bitmap, delta(4), older, Digests, Compare::Standby),
            (Log, List::Allocated, at, Allocated, Compare::Kept),
            (Bitmap, List::Allocated, None, Allocated, Compare::Standby),
            (Bitmap, List::Nothing, None, Digests, Compare::Standby),
            (Full, List::Allocated, at, Allocated, Compare::Nothing),
            (Full, List::Nothing, at, FullRead, Compare::Nothing),
            (Full, delta(5), at, FullRead, Compare::Nothing),
        ] {
            let plan = plan(&means(mode, list, kept));
            assert_eq!(
                (plan.change_source.source, plan.compare),
                (change_source, compare),
                "{mode:?} {list:?} {kept:?}"
            );
            assert!(!plan.change_source.reason.is_empty());
        }
    }

    /// The reason that hides behind "no image to build on": an operator whose driver's service can't be
    /// reached learns of it at the first copy, not at the second cycle.
    #[test]
    fn a_full_copy_is_explained_by_the_image_and_by_what_would_have_spared_reading() {
        let at = Point::new(1, 5);
        for (list, also) in [
            (List::Delta { base: at }, "does not say what is allocated"),
            (List::Nothing, "the driver has no SnapshotMetadata"),
            (List::Allocated, ""),
        ] {
            let full = means(HandshakeMode::Full, list, Some(at));
            let reason = plan(&full).change_source.reason;
            assert!(reason.contains("no image to build on"), "{reason}");
            assert!(reason.contains(also), "{reason}");
        }
        let listed = means(HandshakeMode::Full, List::Allocated, None);
        let fallen = fall(&listed, "stream ended early").change_source.reason;
        assert!(fallen.contains("stream ended early"), "{fallen}");
    }

    #[test]
    fn a_broken_list_falls_to_digests_and_says_why() {
        let log = means(
            HandshakeMode::Log,
            List::Delta {
                base: Point::new(1, 5),
            },
            Some(Point::new(1, 5)),
        );
        let plan = fall(&log, "stream ended early");
        assert_eq!(
            (plan.change_source.source, plan.compare),
            (ChangeSource::Digests, Compare::Kept)
        );
        assert!(plan.change_source.reason.contains("stream ended early"));
    }

    #[test]
    fn a_missing_list_is_reported_though_no_reason_is_given() {
        for list in [List::Nothing, List::Allocated] {
            let silent = Means {
                list_reason: String::new(),
                ..means(HandshakeMode::Bitmap, list, None)
            };
            let reason = plan(&silent).change_source.reason;
            assert!(reason.starts_with("no list of changes"), "{reason}");
        }
    }

    #[test]
    fn only_a_list_from_the_standbys_very_point_is_a_log() {
        let cut = Point::new(1, 9);
        let at = Some(Point::new(1, 5));
        let delta = |seq| List::Delta {
            base: Point::new(1, seq),
        };
        assert!(snapshot_log(cut, at, delta(5), None).is_some());
        assert!(snapshot_log(cut, at, delta(4), None).is_none());
        assert!(snapshot_log(cut, at, delta(4), at).is_some());
        assert!(snapshot_log(cut, None, delta(4), at).is_none());
    }
}
