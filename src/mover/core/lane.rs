//! The lane: work on the volumes goes one piece after another, so that nothing that was stopped
//! still writes where the next piece begins.
//!
//! ```text
//! waiting ──(nothing is under way)──> under way ──Stop──> stopping
//!    │ dropped                            │ end               │ end
//!    ▼                                    ▼                   ▼
//!  gone                                 idle                idle
//! ```

use std::collections::VecDeque;

use crate::effect::Work;

/// What is under way.
#[derive(Debug)]
struct Current {
    number: u64,
    receives: bool,
    ships: bool,
    applies: bool,
    /// When it was asked to stop, in milliseconds.
    stopping_ms: Option<u64>,
}

/// How a piece of work stood when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was wanted: what it reports counts.
    Wanted,
    /// It was asked to stop, or is of an earlier time: what it reports is ignored.
    Unwanted,
}

/// Work under way and work that waits for it.
#[derive(Debug, Default)]
pub struct Lane {
    current: Option<Current>,
    waiting: VecDeque<(u64, Work)>,
}

impl Lane {
    /// Adds a piece of work with a number of its own.
    pub fn add(&mut self, number: u64, work: Work) {
        self.waiting.push_back((number, work));
    }

    /// The next piece, if nothing is under way.
    pub fn begin(&mut self) -> Option<(u64, Work)> {
        if self.current.is_some() {
            return None;
        }
        let (number, work) = self.waiting.pop_front()?;
        self.current = Some(Current {
            number,
            receives: work.receives(),
            ships: work.ships(),
            applies: matches!(work, Work::Apply { .. }),
            stopping_ms: None,
        });
        Some((number, work))
    }

    /// Whether nothing is under way, and nothing waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// Whether the piece with this number is under way and wanted.
    #[must_use]
    pub fn is_wanted(&self, number: u64) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|now| now.number == number && now.stopping_ms.is_none())
    }

    /// The number of the receiving that is under way and wanted.
    #[must_use]
    pub fn receiving(&self) -> Option<u64> {
        let current = self.current.as_ref();
        let wanted = current.filter(|now| now.receives && now.stopping_ms.is_none());
        wanted.map(|now| now.number)
    }

    /// The number of the shipping that is under way and wanted.
    #[must_use]
    pub fn shipping(&self) -> Option<u64> {
        let current = self.current.as_ref();
        let wanted = current.filter(|now| now.ships && now.stopping_ms.is_none());
        wanted.map(|now| now.number)
    }

    /// Whether a set is being applied.
    #[must_use]
    pub fn applies(&self) -> bool {
        self.current.as_ref().is_some_and(|now| now.applies)
    }

    /// Takes note that a piece has ended; whether it was wanted.
    pub fn ended(&mut self, number: u64) -> Ended {
        match &self.current {
            Some(now) if now.number == number => {
                let wanted = now.stopping_ms.is_none();
                self.current = None;
                match wanted {
                    true => Ended::Wanted,
                    false => Ended::Unwanted,
                }
            }
            _ => Ended::Unwanted,
        }
    }

    /// Drops what waits and receives; the number of what has to be stopped, once.
    pub fn stop_receiving(&mut self, now_ms: u64) -> Option<u64> {
        self.waiting.retain(|(_, work)| !work.receives());
        self.stop(now_ms, |now| now.receives)
    }

    /// Drops what waits and ships; the number of what has to be stopped, once.
    pub fn stop_shipping(&mut self, now_ms: u64) -> Option<u64> {
        self.waiting.retain(|(_, work)| !work.ships());
        self.stop(now_ms, |now| now.ships)
    }

    /// For how long the work under way has been stopping, in milliseconds.
    #[must_use]
    pub fn stopping_for(&self, now_ms: u64) -> Option<u64> {
        let since = self.current.as_ref()?.stopping_ms?;
        Some(now_ms.saturating_sub(since))
    }

    fn stop(&mut self, now_ms: u64, which: impl Fn(&Current) -> bool) -> Option<u64> {
        let now = self.current.as_mut()?;
        if !which(now) || now.stopping_ms.is_some() {
            return None;
        }
        now.stopping_ms = Some(now_ms);
        Some(now.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Discard;
    use protocol::changes::CycleId;
    use protocol::units::Point;

    fn overwrite() -> Work {
        Work::Overwrite {
            id: CycleId {
                cycle: Point::new(1, 1),
                from: None,
            },
            size: 4096,
            change_source: protocol::units::ChangeSource::FullRead,
        }
    }

    #[test]
    fn what_was_stopped_ends_before_the_next_begins() {
        let mut lane = Lane::default();
        lane.add(1, overwrite());
        assert!(matches!(lane.begin(), Some((1, Work::Overwrite { .. }))));
        assert_eq!(lane.receiving(), Some(1));
        lane.add(2, overwrite());
        lane.add(3, Work::Discard(Discard::All));
        assert!(lane.begin().is_none());
        assert_eq!(lane.stop_shipping(5), None, "nothing is shipped");
        assert_eq!(lane.stop_receiving(5), Some(1));
        assert_eq!(lane.stop_receiving(6), None, "it is asked once");
        assert_eq!(lane.stopping_for(9), Some(4));
        assert_eq!(lane.receiving(), None);
        assert!(lane.begin().is_none());
        assert_eq!(lane.ended(7), Ended::Unwanted, "of another time");
        assert_eq!(lane.ended(1), Ended::Unwanted);
        // What waited to receive went with the stop; the rest stays.
        assert!(matches!(lane.begin(), Some((3, Work::Discard(_)))));
        assert_eq!(lane.ended(3), Ended::Wanted);
        assert!(lane.begin().is_none());
    }
}
