//! What a target checks for itself before it takes a cycle, whatever the source has decided.

use crate::pair::message::Begin;
use crate::pair::{Cause, Record, Refused, fence, verify};
use crate::units::{HandshakeMode, Point};

/// Lets a cycle pass when all is right: the epoch, the size, that a
/// difference counts from this very image, and consent before writes of its own are replaced. `size`
/// is that of the volume in bytes; `expected` is the cut that was asked for.
///
/// # Errors
/// What is wrong, as a refusal that nothing has changed before.
pub fn admits(record: &Record, size: u64, expected: Point, begin: &Begin) -> Result<(), Refused> {
    fence::admit(record.epoch, begin.cycle.epoch, "the cycle")?;
    if begin.cycle != expected {
        return Err(Refused::new(
            Cause::OutOfOrder,
            format!("cut {expected} is expected here, not {}", begin.cycle),
        ));
    }
    if size < begin.size {
        return Err(Refused::new(
            Cause::TargetTooSmall,
            format!(
                "the volume here has {size} bytes, the cut {}: grow this volume first",
                begin.size
            ),
        ));
    }
    let consented = fence::consents(begin.consent, begin.cycle.epoch);
    let head = record.head();
    let follows = record.follows(&begin.lineage);
    let untouched = record.never_writable && !record.diverged;
    if !consented && !follows && !untouched {
        return Err(Refused::new(
            Cause::Diverged,
            format!(
                "this side may hold writes that nobody else has: consent for epoch {} is needed \
                 to replace them",
                begin.cycle.epoch
            ),
        ));
    }
    if begin.base != head && begin.decision.mode != HandshakeMode::Full {
        let name = |point: Option<Point>| point.map_or("no cut".into(), |p| p.to_string());
        return Err(Refused::new(
            Cause::OutOfOrder,
            format!(
                "the changes count from {}, but the image here is at {}",
                name(begin.base),
                name(head)
            ),
        ));
    }
    if head.is_some_and(|point| follows && begin.cycle.seq < point.seq) {
        return Err(Refused::new(
            Cause::OutOfOrder,
            format!("cut {} is older than the image here", begin.cycle),
        ));
    }
    verify::admits(record, begin)
}
