//! A standby becomes primary: which image it takes along, and what it records.
//!
//! Two steps, so that a crash between them is harmless: first what is staged is finished when it is
//! whole or dropped when it is not, then the new epoch is recorded. Only a complete image is ever
//! promoted, never an empty one and never one with writes that nobody else has.

use crate::pair::{Action, Cause, Record, Refused, fence};
use crate::units::{Epoch, Generation, ImageState, Point, Role, SiteName};

/// The command to become primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promote {
    /// The epoch that it starts.
    pub epoch: Epoch,
    /// The identity of that epoch.
    pub generation: Generation,
    /// The newest point known of the old primary, for the account of what is lost. The new epoch
    /// starts right after the promoted point whatever this says: only so does the old primary's
    /// tail is past the end of its epoch (semantics 1.1 and 1.2).
    pub peer_head: Option<Point>,
    /// The request that this fulfils.
    pub requested_primary: SiteName,
}

/// What has to be done before the new epoch is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: this very promotion is recorded already.
    Done,
    /// The set that is fully staged goes forward.
    Finish(Point),
    /// What is staged, if anything, is not whole and is dropped.
    Drop,
}

/// Whether the command can be followed, and what comes first.
///
/// # Errors
/// [`Cause::StaleEpoch`], [`Cause::OutOfOrder`], [`Cause::Diverged`] or
/// [`Cause::NoCommittedPoint`]; nothing has changed then.
pub fn prepare(record: &Record, command: &Promote) -> Result<Before, Refused> {
    if is_done(record, command) {
        return Ok(Before::Done);
    }
    fence::admit(record.epoch.next(), command.epoch, "the promotion")?;
    if command.epoch != record.epoch.next() {
        return Err(Refused::new(
            Cause::OutOfOrder,
            format!(
                "the promotion starts epoch {}, but this side knows epoch {} and can only start {}",
                command.epoch,
                record.epoch,
                record.epoch.next()
            ),
        ));
    }
    if record.role == Role::Primary {
        return Err(Refused::new(
            Cause::OutOfOrder,
            format!("this side is primary in epoch {} already", record.epoch),
        ));
    }
    if record.diverged {
        return Err(Refused::new(
            Cause::Diverged,
            "this side left the primary role with writes that nobody else has: \
             its image is at no point, so it can't be promoted before it has followed",
        ));
    }
    match record.image {
        ImageState::Redo(point) => Ok(Before::Finish(point)),
        ImageState::Consistent(_) => Ok(Before::Drop),
        ImageState::None | ImageState::Inconsistent => Err(Refused::new(
            Cause::NoCommittedPoint,
            "nothing has been committed here, so there is no image to promote: \
             wait for the first full copy",
        )),
    }
}

/// Why the set of `cycle` keeps a side from being promoted: it is complete, but could not be written to the
/// volume, so that this holds neither that cut nor the one before.
#[must_use]
pub fn unwritten(cycle: Point, why: &Refused) -> Refused {
    Refused::new(
        why.cause,
        format!(
            "this side can't be promoted now: cut {cycle} is here completely, but could not be written to \
             the volume, which is at no cut until it is: {why}. What failed is tried again by itself: repair \
             the storage and promote again, or promote by hand a volume made from the newest snapshot of \
             this site"
        ),
    )
}

/// The record after the promotion, once staging is finished or dropped.
///
/// # Errors
/// [`Cause::NoCommittedPoint`] when the image is not exactly one point, [`Cause::StaleEpoch`] when a
/// higher epoch was seen since the preparation.
pub fn promoted(record: &Record, command: &Promote) -> Result<Record, Refused> {
    if is_done(record, command) {
        return Ok(record.clone());
    }
    fence::admit(record.epoch.next(), command.epoch, "the promotion")?;
    let Some(point) = record.head() else {
        return Err(Refused::new(
            Cause::NoCommittedPoint,
            "the image is not exactly one point, so it can't be promoted",
        ));
    };
    Ok(Record {
        role: Role::Primary,
        epoch: command.epoch,
        lineage: record
            .lineage
            .promoted(point, command.epoch, command.generation),
        committed: Some(point),
        applied: Some(point),
        image: ImageState::Consistent(point),
        diverged: false,
        never_writable: false,
        requested_primary: command.requested_primary.clone(),
        pair_id: record.pair_id,
    })
}

/// The last step: the new epoch is recorded, unless it was given away meanwhile.
#[must_use]
pub fn record(record: &Record, command: &Promote) -> Vec<Action> {
    match promoted(record, command) {
        Ok(promoted) => vec![
            Action::Persist(Box::new(promoted)),
            Action::Promoted(command.epoch),
        ],
        // A higher epoch was seen in between: it fences this one, and the command is void.
        Err(_) => Vec::new(),
    }
}

fn is_done(record: &Record, command: &Promote) -> bool {
    record.role == Role::Primary
        && record.epoch == command.epoch
        && record.lineage.last().map(|entry| entry.generation) == Some(command.generation)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::pair::record::Init;
    use crate::units::{Lineage, PairId, Seq};

    pub(super) fn standby(image: ImageState) -> Record {
        let mut record = Record::starting(Init {
            pair_id: PairId(Uuid::from_u128(1)),
            role: Role::Standby,
            epoch: Epoch(1),
            generation: Generation(Uuid::from_u128(1)),
            start: Seq(1),
            never_writable: true,
            requested_primary: "east".parse().unwrap(),
        });
        record.lineage = Lineage::starting(Epoch(1), Generation(Uuid::from_u128(1)), Seq(1));
        record.image = image;
        record.applied = record.head();
        record.committed = record.head();
        record
    }

    fn command(epoch: u64) -> Promote {
        Promote {
            epoch: Epoch(epoch),
            generation: Generation(Uuid::from_u128(u128::from(epoch))),
            peer_head: Some(Point::new(1, 12)),
            requested_primary: "west".parse().unwrap(),
        }
    }

    #[test]
    fn an_image_that_is_not_whole_is_never_promoted() {
        for image in [ImageState::None, ImageState::Inconsistent] {
            let refused = prepare(&standby(image), &command(2)).unwrap_err();
            assert_eq!(refused.cause, Cause::NoCommittedPoint);
            assert!(promoted(&standby(image), &command(2)).is_err());
        }
        let mut diverged = standby(ImageState::Inconsistent);
        diverged.diverged = true;
        assert_eq!(
            prepare(&diverged, &command(2)).unwrap_err().cause,
            Cause::Diverged
        );
    }

    #[test]
    fn the_new_epoch_starts_right_after_the_promoted_point() {
        let record = standby(ImageState::Consistent(Point::new(1, 10)));
        assert_eq!(prepare(&record, &command(2)).unwrap(), Before::Drop);
        let new = promoted(&record, &command(2)).unwrap();
        new.check().unwrap();
        assert_eq!(new.lineage.end_of(Epoch(1)), Some(Seq(10)));
        assert!(!new.lineage.contains(&record.lineage, Point::new(1, 12)));
        // The same order again changes nothing; another one for the same epoch is refused.
        assert_eq!(prepare(&new, &command(2)).unwrap(), Before::Done);
        assert_eq!(promoted(&new, &command(2)).unwrap(), new);
        let mut rival = command(2);
        rival.generation = Generation(Uuid::from_u128(99));
        assert_eq!(prepare(&new, &rival).unwrap_err().cause, Cause::StaleEpoch);
    }

    #[test]
    fn a_complete_set_goes_forward_before_the_epoch_is_recorded() {
        let record = standby(ImageState::Redo(Point::new(1, 11)));
        assert_eq!(
            prepare(&record, &command(2)).unwrap(),
            Before::Finish(Point::new(1, 11))
        );
        assert!(promoted(&record, &command(2)).is_err());
    }

    #[test]
    fn only_the_next_epoch_can_be_started() {
        let record = standby(ImageState::Consistent(Point::new(1, 10)));
        assert_eq!(
            prepare(&record, &command(1)).unwrap_err().cause,
            Cause::StaleEpoch
        );
        assert_eq!(
            prepare(&record, &command(3)).unwrap_err().cause,
            Cause::OutOfOrder
        );
    }
}
