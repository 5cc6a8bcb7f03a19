//! A verification: both sides read the image of the committed point, and what differs is shipped.
//!
//! Both images are of one and the same point, so a difference is damage, never news. It goes the way
//! of every change: fully staged, then atomically applied, so that the standby is promotable all the
//! while. What has to hold before, on each side, is checked here.

use crate::pair::change_plan::{Candidates, Compare, Plan};
use crate::pair::message::Begin;
use crate::pair::source::Ship;
use crate::pair::{Action, Cause, Record, Refused};
use crate::units::{
    ChangeSource, ChangeSourceUse, CyclePhase, Decision, Extent, HandshakeMode, Point,
};

/// Lets a command to verify pass where it names the committed point and a range of the volume. Any
/// other command to ship passes too.
///
/// # Errors
/// What is wrong with it.
pub fn asked(record: &Record, ship: &Ship) -> Result<(), Refused> {
    let Some(range) = ship.verify else {
        return Ok(());
    };
    if record.committed != Some(ship.cycle) {
        return Err(not_committed(ship.cycle, record.committed, "this side"));
    }
    let end = range.offset.checked_add(range.len);
    if range.len == 0 || end.is_none_or(|end| end > ship.size) {
        return Err(Refused::new(
            Cause::OutOfOrder,
            format!(
                "{} bytes from {} can't be verified: the volume has {} bytes",
                range.len, range.offset, ship.size
            ),
        ));
    }
    Ok(())
}

/// Why the source does not verify against a standby for which the handshake came to `decision`: only
/// the very image of the cut is compared with it.
#[must_use]
pub fn unfit(ship: &Ship, decision: &Decision) -> Option<Refused> {
    let fits = ship.verify.is_none() || decision.mode == HandshakeMode::None;
    (!fits).then(|| {
        Refused::new(
            Cause::OutOfOrder,
            format!(
                "the standby is not at cut {}, so there is nothing to verify: {}",
                ship.cycle, decision.reason
            ),
        )
    })
}

/// What the target checks for itself before a verification begins.
///
/// # Errors
/// When its image is not the committed one of that cut.
pub fn admits(record: &Record, begin: &Begin) -> Result<(), Refused> {
    if begin.change_source != ChangeSource::Verify {
        return Ok(());
    }
    let cycle = Some(begin.cycle);
    if record.committed != cycle || record.head() != cycle || record.diverged {
        return Err(not_committed(begin.cycle, record.committed, "the standby"));
    }
    Ok(())
}

/// How differences are found: everything in `range` is read here and there.
#[must_use]
pub fn plan(range: Extent) -> Plan {
    Plan {
        candidates: Candidates::Range(range),
        compare: Compare::Standby,
        change_source: ChangeSourceUse {
            source: ChangeSource::Verify,
            reason: "the committed image is read on both sides and compared".into(),
        },
    }
}

/// What follows once what differed is on the volume: the cut was committed before.
#[must_use]
pub fn done(cycle: Point) -> [Action; 2] {
    [
        Action::KeepDigests(cycle),
        Action::Phase(CyclePhase::Committed),
    ]
}

fn not_committed(cycle: Point, committed: Option<Point>, whose: &str) -> Refused {
    let committed = committed.map_or("nothing".into(), |point| point.to_string());
    Refused::new(
        Cause::OutOfOrder,
        format!("cut {cycle} can't be verified: {whose} has committed {committed}"),
    )
}
