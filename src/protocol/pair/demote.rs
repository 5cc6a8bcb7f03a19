//! An old primary becomes standby of the new epoch: the state of its image afterwards.

use crate::pair::{Cause, Record, Refused, fence};
use crate::units::{Epoch, ImageState, Lineage, Point, Role, SiteName};

/// The command to leave the primary role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demote {
    /// The epoch in which the peer is primary.
    pub epoch: Epoch,
    /// The new primary's history.
    pub lineage: Lineage,
    /// The final cut, when the volume was closed before it: then nothing was written after it.
    pub clean_at: Option<Point>,
    /// The request that this fulfils.
    pub requested_primary: SiteName,
}

/// The record after the command. A side that was closed at a cut which both hold follows as if it had
/// always been standby; any other may hold writes that nobody else has, and is held for consent.
///
/// # Errors
/// [`Cause::StaleEpoch`] for a lower epoch; [`Cause::OutOfOrder`] for the epoch in which this very
/// side is primary. Nothing has changed then.
pub fn demoted(record: &Record, command: &Demote) -> Result<Record, Refused> {
    fence::admit(record.epoch, command.epoch, "the demotion")?;
    if record.role == Role::Standby {
        // Done before, or a standby that hears of a newer epoch: its image stays what it is.
        return Ok(Record {
            epoch: command.epoch,
            requested_primary: command.requested_primary.clone(),
            ..record.clone()
        });
    }
    if command.epoch == record.epoch {
        return Err(Refused::new(
            Cause::OutOfOrder,
            format!(
                "this side is the primary of epoch {}: only a higher epoch can take the role from it",
                record.epoch
            ),
        ));
    }
    let demoted = Record {
        role: Role::Standby,
        epoch: command.epoch,
        requested_primary: command.requested_primary.clone(),
        ..record.clone()
    };
    Ok(match clean_point(record, command) {
        Some(point) => Record {
            committed: Some(point),
            applied: Some(point),
            image: ImageState::Consistent(point),
            diverged: false,
            ..demoted
        },
        None => Record {
            applied: None,
            image: ImageState::Inconsistent,
            diverged: true,
            ..demoted
        },
    })
}

/// The final cut, if all of the image is known to be on the new primary's history: the cut was
/// committed at the peer, and the new epoch starts at or after it.
fn clean_point(record: &Record, command: &Demote) -> Option<Point> {
    let point = command.clean_at?;
    let shipped = record.committed == Some(point);
    (shipped && command.lineage.contains(&record.lineage, point)).then_some(point)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::units::{Generation, PairId, Seq};

    fn lineage() -> Lineage {
        Lineage::starting(Epoch(1), Generation(Uuid::from_u128(1)), Seq(1))
    }

    fn primary() -> Record {
        Record {
            pair_id: PairId(Uuid::from_u128(1)),
            role: Role::Primary,
            epoch: Epoch(1),
            lineage: lineage(),
            committed: Some(Point::new(1, 10)),
            applied: None,
            image: ImageState::None,
            diverged: false,
            never_writable: false,
            requested_primary: "east".parse().unwrap(),
        }
    }

    fn command(clean_at: Option<Point>, promoted: Point) -> Demote {
        Demote {
            epoch: Epoch(2),
            lineage: lineage().promoted(promoted, Epoch(2), Generation(Uuid::from_u128(2))),
            clean_at,
            requested_primary: "west".parse().unwrap(),
        }
    }

    #[test]
    fn only_a_closed_and_committed_final_cut_is_a_clean_end() {
        let at = Point::new(1, 10);
        let written = Record {
            applied: Some(Point::new(1, 9)),
            ..primary()
        };
        let clean = demoted(&written, &command(Some(at), at)).unwrap();
        assert_eq!(
            (clean.applied, clean.image, clean.diverged),
            (Some(at), ImageState::Consistent(at), false)
        );
        clean.check().unwrap();
        for (clean_at, promoted) in [
            (None, at),
            (Some(Point::new(1, 11)), Point::new(1, 11)),
            (Some(at), Point::new(1, 9)),
        ] {
            let held = demoted(&written, &command(clean_at, promoted)).unwrap();
            assert_eq!(
                (held.applied, held.image, held.diverged),
                (None, ImageState::Inconsistent, true)
            );
            held.check().unwrap();
        }
    }

    #[test]
    fn the_command_can_be_repeated_and_a_lower_one_is_refused() {
        let at = Point::new(1, 10);
        let once = demoted(&primary(), &command(None, at)).unwrap();
        // Repeating the command as a clean one does not wash the side clean.
        assert_eq!(demoted(&once, &command(Some(at), at)).unwrap(), once);
        let mut old = command(None, at);
        old.epoch = Epoch(1);
        assert_eq!(demoted(&once, &old).unwrap_err().cause, Cause::StaleEpoch);
        assert_eq!(
            demoted(&primary(), &old).unwrap_err().cause,
            Cause::OutOfOrder
        );
    }
}
