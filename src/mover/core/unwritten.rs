//! A staged set that could not be written to the volume: what failed is shown, tried again by itself, and
//! keeps a promotion from being accepted.

use crate::input::{NotWritten, RequestId};
use crate::machine::Core;
use crate::translate;
use protocol::pair::side::Event;
use protocol::pair::{Cause, Refused, promote, target};
use protocol::units::{Epoch, Extent, FailedRange, Point, Role};
use wire::control::{Request, Response, UNWRITTEN_MAX};

/// The pause before what failed is tried again, in milliseconds. It doubles each time, up to
/// [`PAUSE_MS_MAX`].
const PAUSE_MS: u64 = 1000;

/// The longest pause before what failed is tried again, in milliseconds.
const PAUSE_MS_MAX: u64 = 60_000;

/// A set of which not everything is on the volume.
#[derive(Debug)]
pub(super) struct Unwritten {
    cycle: Point,
    /// The ranges that could not be written, ascending.
    ranges: Vec<FailedRange>,
    /// Whether everything else is written.
    rest_is_written: bool,
    /// Failed attempts.
    attempts: u32,
    /// When it is tried again, in milliseconds; `None` while an attempt is under way.
    again_ms: Option<u64>,
}

impl Core {
    /// What of the staged set of `cycle` is still to be written; `None` for all of it.
    pub(super) fn still_unwritten(&self, cycle: Point) -> Option<Vec<Extent>> {
        let unwritten = self.target.unwritten.as_ref()?;
        let known = unwritten.cycle == cycle && unwritten.rest_is_written;
        known.then(|| unwritten.ranges.iter().map(|range| range.extent).collect())
    }

    /// The ranges that status shows.
    pub(super) fn shown_unwritten(&self) -> Vec<FailedRange> {
        let unwritten = self.target.unwritten.as_ref();
        unwritten.map_or_else(Vec::new, |unwritten| {
            FailedRange::at_most(&unwritten.ranges, UNWRITTEN_MAX)
        })
    }

    /// Ranges that could not be written are shown as soon as they are found, while the rest is written.
    pub(super) fn unwritable(&mut self, number: u64, ranges: Vec<FailedRange>) {
        let Some(cycle) = self
            .side
            .receiving()
            .filter(|_| self.lane.is_wanted(number))
        else {
            return;
        };
        let unwritten = self.target.unwritten.get_or_insert(Unwritten {
            cycle,
            ranges: Vec::new(),
            rest_is_written: false,
            attempts: 0,
            again_ms: None,
        });
        // An attempt knows less than the one before until it has ended.
        if unwritten.attempts == 0 {
            unwritten.ranges = ranges;
        }
    }

    /// Notes how an attempt has failed. A set that is damaged itself is not tried again.
    pub(super) fn not_written(&mut self, not: NotWritten) {
        let NotWritten {
            refused,
            ranges,
            rest_is_written,
        } = not;
        let before = self.target.unwritten.take();
        let cycle = self.side.receiving();
        if let Some(cycle) = cycle.filter(|_| refused.cause != Cause::Corrupt) {
            let attempts = before.map_or(0, |before| before.attempts) + 1;
            let pause = PAUSE_MS.saturating_mul(1 << attempts.saturating_sub(1).min(16));
            self.target.unwritten = Some(Unwritten {
                cycle,
                ranges,
                rest_is_written,
                attempts,
                again_ms: Some(self.at.now_ms + pause.min(PAUSE_MS_MAX)),
            });
        }
        self.feed(Event::Target(target::Event::NotWritten(refused.clone())));
        self.answer_promotions(cycle, Some(&refused));
    }

    /// Tries what failed again, once its pause is over. A volume of which a flush has failed has to be opened
    /// again for that, by the next process.
    pub(super) fn try_again(&mut self) {
        let now = self.at.now_ms;
        let idle = self.lane.is_idle() && self.side.receiving().is_none();
        let Some(unwritten) = self.target.unwritten.as_mut().filter(|_| idle) else {
            return;
        };
        if unwritten.again_ms.is_none_or(|again| now < again) {
            return;
        }
        unwritten.again_ms = None;
        if self.at.device_poisoned {
            self.ending = true;
            return;
        }
        self.feed(Event::Target(target::Event::TryAgain));
    }

    /// The epoch of a promotion that was just requested and waits for a set to be on the volume: it is answered
    /// once that has come to an end, so that it is never accepted and then dropped.
    pub(super) fn waits_for_the_volume(&self, request: &Request) -> Option<Epoch> {
        let promotes = matches!(request, Request::Promote(_));
        self.side.promotes_once_written().filter(|_| promotes)
    }

    /// Answers the promotions that waited for the set of `cycle`, which is on the volume now, or is not because
    /// it `failed`.
    pub(super) fn answer_promotions(&mut self, cycle: Option<Point>, failed: Option<&Refused>) {
        let waiting: Vec<(RequestId, Epoch)> = std::mem::take(&mut self.target.promotions);
        for (id, epoch) in waiting {
            let record = self.side.record();
            let done = record.is_some_and(|r| r.role == Role::Primary && r.epoch == epoch);
            let refused = match (cycle, failed) {
                (Some(cycle), Some(why)) => promote::unwritten(cycle, why),
                _ => Refused::new(
                    Cause::Aborted,
                    format!(
                        "the promotion to epoch {epoch} was withdrawn before it could be recorded"
                    ),
                ),
            };
            let response = match done {
                true => Response::Accepted,
                false => Response::Refused(translate::refusal(&refused)),
            };
            self.reply(id, response);
        }
    }
}
