//! The bandwidth limit in force: the daily schedule, read by the wall clock of its time zone.
//!
//! A window counts by what the wall clock shows, so it is an hour shorter or longer on the day on
//! which the clock is changed inside it, and needs no rule of its own for that day.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::api::v1alpha1::TransferSpec;
use crate::operator::validate::settings::bytes;

/// One window of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: Time,
    to: Time,
    bytes_per_second: Option<u64>,
}

/// The limit in force, and when to look at it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Bytes a second; `None` for no limit.
    pub bytes_per_second: Option<u64>,
    /// The next moment at which it may change; `None` when it never does.
    pub until: Option<Timestamp>,
}

/// The limit of `spec` at `now`. What can't be read in it is left out; [`problem`] says what.
#[must_use]
pub fn limit(spec: &TransferSpec, now: Timestamp) -> Limit {
    let otherwise = spec.bandwidth.as_deref().and_then(|text| bytes(text).ok());
    let (Ok(windows), Ok(zone)) = (windows(spec), zone(spec)) else {
        return Limit {
            bytes_per_second: otherwise,
            until: None,
        };
    };
    let clock = now.to_zoned(zone.clone()).time();
    let open = windows.iter().find(|window| window.holds(clock));
    Limit {
        bytes_per_second: open.map_or(otherwise, |window| window.bytes_per_second),
        until: next_change(&windows, &zone, now),
    }
}

/// What can't be read in the schedule of `spec`, as a sentence.
#[must_use]
pub fn problem(spec: &TransferSpec) -> Option<String> {
    windows(spec).err().or_else(|| zone(spec).err())
}

impl Window {
    /// Whether the window is open when the wall clock shows `clock`.
    fn holds(&self, clock: Time) -> bool {
        if self.from < self.to {
            self.from <= clock && clock < self.to
        } else {
            clock >= self.from || clock < self.to
        }
    }
}

/// The next moment at which a window opens or closes, or at which the clock is changed, whichever is
/// first. At a changed clock nothing need happen; looking once too often does no harm.
fn next_change(windows: &[Window], zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    if windows.is_empty() {
        return None;
    }
    let today = now.to_zoned(zone.clone()).date();
    let days = (0..=2).filter_map(|days| today.checked_add(days.days()).ok());
    let edges = days.flat_map(|day| {
        windows
            .iter()
            .flat_map(move |window| [window.from, window.to])
            .map(move |time| DateTime::from_parts(day, time))
    });
    // An hour that the clock shows twice has each edge twice.
    let moments = edges.flat_map(|edge| {
        let twice = zone.to_ambiguous_zoned(edge);
        [twice.clone().earlier(), twice.later()]
    });
    let changed = zone.following(now).next().map(|change| change.timestamp());
    moments
        .filter_map(|moment| Some(moment.ok()?.timestamp()))
        .chain(changed)
        .filter(|moment| *moment > now)
        .min()
}

fn windows(spec: &TransferSpec) -> Result<Vec<Window>, String> {
    let windows = spec.bandwidth_schedule.iter().enumerate();
    windows
        .map(|(index, window)| {
            let field = |name: &str| format!("spec.transfer.bandwidthSchedule[{index}].{name}");
            let time = |name: &str, text: &str| {
                Time::strptime("%H:%M", text).map_err(|_| {
                    format!(
                        "{} {text:?} is no time of the day: write it as 22:00",
                        field(name)
                    )
                })
            };
            let (from, to) = (time("from", &window.from)?, time("to", &window.to)?);
            if from == to {
                return Err(format!(
                    "{} and to are both {}: a window has to have a length",
                    field("from"),
                    window.from
                ));
            }
            let amount = window.bandwidth.as_deref().map(bytes).transpose();
            Ok(Window {
                from,
                to,
                bytes_per_second: amount.map_err(|why| format!("{} {why}", field("bandwidth")))?,
            })
        })
        .collect()
}

fn zone(spec: &TransferSpec) -> Result<TimeZone, String> {
    let Some(name) = &spec.time_zone else {
        return Ok(TimeZone::UTC);
    };
    TimeZone::get(name).map_err(|_| {
        format!(
            "spec.transfer.timeZone {name:?} is no time zone that is known here: use an IANA name such as \
             Europe/Madrid"
        )
    })
}

#[cfg(test)]
#[path = "bandwidth_tests.rs"]
mod tests;
