//! What a side knows about itself for good: the part of its superblock that the protocol reads.

use crate::units::{Epoch, Generation, ImageState, Lineage, PairId, Point, Role, Seq, SiteName};

/// The persistent truth of one side (semantics 1.8). Every change of it is made durable before
/// anything that follows from it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The pair's identity.
    pub pair_id: PairId,
    /// The part that this side plays in `epoch`.
    pub role: Role,
    /// The newest epoch known here; every lower one is refused.
    pub epoch: Epoch,
    /// The history of this side's image.
    pub lineage: Lineage,
    /// Standby: the committed point. Primary: the newest cut that both sides hold.
    pub committed: Option<Point>,
    /// Standby: the newest cut that is completely on the volume; never behind `committed`. Primary: the
    /// newest cut that was asked to be shipped, so that no number is used twice, whoever else has
    /// forgotten it.
    pub applied: Option<Point>,
    /// The image's state.
    pub image: ImageState,
    /// Whether this side may hold writes that nobody else has.
    pub diverged: bool,
    /// Whether the volume is known never to have been writable in this pair.
    pub never_writable: bool,
    /// The request that the operator has handled last.
    pub requested_primary: SiteName,
}

/// What the first record of a side is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// The pair's identity.
    pub pair_id: PairId,
    /// The part that the side starts with.
    pub role: Role,
    /// The epoch that the pair starts in.
    pub epoch: Epoch,
    /// The identity of that epoch.
    pub generation: Generation,
    /// The first sequence number of that epoch.
    pub start: Seq,
    /// Whether the volume is known never to have been writable in this pair.
    pub never_writable: bool,
    /// The request that the operator has handled last.
    pub requested_primary: SiteName,
}

impl Record {
    /// The record of a side that starts now. A standby starts without any image and without a
    /// history; a primary's history starts with its epoch.
    #[must_use]
    pub fn starting(init: Init) -> Record {
        let lineage = match init.role {
            Role::Primary => Lineage::starting(init.epoch, init.generation, init.start),
            Role::Standby => Lineage::default(),
        };
        Record {
            pair_id: init.pair_id,
            role: init.role,
            epoch: init.epoch,
            lineage,
            committed: None,
            applied: None,
            image: ImageState::None,
            diverged: false,
            never_writable: init.never_writable && init.role == Role::Standby,
            requested_primary: init.requested_primary,
        }
    }

    /// The point that the image is exactly at, if it is at one. A set that is fully staged counts
    /// only once it is applied: a Redo image finishes its apply before it says Hello.
    #[must_use]
    pub fn head(&self) -> Option<Point> {
        match self.image {
            ImageState::Consistent(point) => Some(point),
            ImageState::None | ImageState::Redo(_) | ImageState::Inconsistent => None,
        }
    }

    /// Whether all that this side holds, or is torn between, was written by those whose history this
    /// is. An image that is at no point was at its committed point before; so what differs is found by
    /// comparing, and nobody's consent is needed to replace it (D-10).
    #[must_use]
    pub fn follows(&self, history: &Lineage) -> bool {
        let newest = self.head().or(self.applied).or(self.committed);
        self.role == Role::Standby
            && !self.diverged
            && newest.is_some_and(|point| history.contains(&self.lineage, point))
    }

    /// Whether the volume holds this cut completely.
    #[must_use]
    pub fn holds(&self, cycle: Point) -> bool {
        let applied = self.applied == Some(cycle) && !self.diverged;
        match self.image {
            // A first copy counts as an image only once it is committed.
            ImageState::Consistent(_) | ImageState::None => applied,
            // So does a copy in place over an image that was at no point. But one that is torn is at no
            // cut, not even at the one that it was at before (D-13).
            ImageState::Inconsistent => applied && self.committed != Some(cycle),
            ImageState::Redo(_) => false,
        }
    }

    /// Whether this is a standby that counts on what its volume holds.
    #[must_use]
    pub fn counts_on_volume(&self) -> bool {
        let image = matches!(self.image, ImageState::Consistent(_) | ImageState::Redo(_));
        self.role == Role::Standby && !self.diverged && image
    }

    /// Whether nothing of worth can be on the volume: it was never writable here, and nothing has
    /// been copied whole.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.never_writable && self.image == ImageState::None && !self.diverged
    }

    /// The record once a set may be on the volume in part and will never be whole. A commit that is
    /// repeated late must not make it count again.
    #[must_use]
    pub fn torn(&self) -> Record {
        Record {
            image: ImageState::Inconsistent,
            applied: self.committed,
            ..self.clone()
        }
    }

    /// What must hold of every record; a breach is a defect of ours.
    ///
    /// # Errors
    /// The rule that is broken, as a sentence.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.role == Role::Primary && self.lineage.last().map(|e| e.epoch) != Some(self.epoch) {
            return Err("a primary's lineage must end with its own epoch");
        }
        if self.role == Role::Primary && self.never_writable {
            return Err("a primary's volume is writable");
        }
        if self.role == Role::Primary && self.diverged {
            return Err("only a side that left the primary role can be diverged");
        }
        if self.role == Role::Standby && self.diverged && self.head().is_some() {
            return Err("a diverged image is at no point");
        }
        if self.role == Role::Standby
            && let (Some(head), Some(applied)) = (self.head(), self.applied)
            && head != applied
        {
            return Err("a standby's image is at the newest applied cut");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn starting(role: Role, never_writable: bool) -> Record {
        Record::starting(Init {
            pair_id: PairId(Uuid::from_u128(1)),
            role,
            epoch: Epoch(3),
            generation: Generation(Uuid::from_u128(3)),
            start: Seq(9),
            never_writable,
            requested_primary: "east".parse().unwrap(),
        })
    }

    fn at(seq: u64) -> Point {
        Point::new(3, seq)
    }

    #[test]
    fn a_primary_starts_with_a_history_and_a_standby_with_nothing() {
        let primary = starting(Role::Primary, true);
        assert_eq!(primary.lineage.entry(Epoch(3)).unwrap().start, Seq(9));
        assert!(!primary.never_writable && !primary.is_blank());
        let standby = starting(Role::Standby, true);
        assert_eq!(standby.lineage, Lineage::default());
        assert!(standby.never_writable && standby.is_blank());
        assert!(!starting(Role::Standby, false).is_blank());
        assert_eq!((primary.check(), standby.check()), (Ok(()), Ok(())));
    }

    #[test]
    fn blank_is_only_what_was_never_written_or_copied() {
        let blank = starting(Role::Standby, true);
        for image in [
            ImageState::Consistent(at(9)),
            ImageState::Redo(at(9)),
            ImageState::Inconsistent,
        ] {
            let copied = Record {
                image,
                ..blank.clone()
            };
            assert!(!copied.is_blank());
        }
        let diverged = Record {
            diverged: true,
            ..blank
        };
        assert!(!diverged.is_blank());
    }

    #[test]
    fn a_torn_record_holds_applied_only_what_is_committed() {
        let record = Record {
            committed: Some(at(8)),
            applied: Some(at(9)),
            image: ImageState::Redo(at(9)),
            ..starting(Role::Standby, false)
        };
        let torn = record.torn();
        assert_eq!((torn.committed, torn.applied), (Some(at(8)), Some(at(8))));
        assert_eq!(torn.image, ImageState::Inconsistent);
    }

    /// D-13: "a torn image never answers Applied, for no cut".
    #[test]
    fn only_a_cut_that_is_completely_on_the_volume_is_held() {
        let copied = |image, committed, applied| Record {
            image,
            committed,
            applied,
            ..starting(Role::Standby, false)
        };
        let (eight, nine) = (Some(at(8)), Some(at(9)));
        let held = [
            copied(ImageState::Consistent(at(9)), nine, nine),
            copied(ImageState::Consistent(at(9)), eight, nine),
            copied(ImageState::None, None, nine),
            copied(ImageState::Inconsistent, eight, nine),
        ];
        for record in held {
            assert!(record.holds(at(9)) && !record.holds(at(8)), "{record:?}");
            let diverged = Record {
                diverged: true,
                ..record
            };
            assert!(!diverged.holds(at(9)));
        }
        let redo = copied(ImageState::Redo(at(9)), eight, eight);
        for record in [redo.torn(), redo] {
            assert!(!record.holds(at(8)) && !record.holds(at(9)), "{record:?}");
        }
    }

    #[test]
    fn every_rule_is_kept() {
        let primary = starting(Role::Primary, false);
        let standby = Record {
            image: ImageState::Consistent(at(9)),
            applied: Some(at(9)),
            ..starting(Role::Standby, true)
        };
        assert_eq!(standby.check(), Ok(()));
        let broken: [(&str, Record); 5] = [
            (
                "lineage",
                Record {
                    epoch: Epoch(4),
                    ..primary.clone()
                },
            ),
            (
                "writable",
                Record {
                    never_writable: true,
                    ..primary.clone()
                },
            ),
            (
                "only a side that left",
                Record {
                    diverged: true,
                    ..primary.clone()
                },
            ),
            (
                "at no point",
                Record {
                    diverged: true,
                    ..standby.clone()
                },
            ),
            (
                "newest applied",
                Record {
                    applied: Some(at(8)),
                    ..standby.clone()
                },
            ),
        ];
        for (rule, record) in broken {
            let said = record.check().unwrap_err();
            assert!(said.contains(rule), "{said:?} instead of {rule:?}");
        }
        // What is a breach in one role is none in the other.
        let image = Record {
            image: ImageState::Consistent(at(9)),
            applied: Some(at(8)),
            ..primary
        };
        let followed = Record {
            diverged: true,
            image: ImageState::Inconsistent,
            never_writable: false,
            ..standby
        };
        assert_eq!((image.check(), followed.check()), (Ok(()), Ok(())));
    }
}
