//! The lines of the comparison: what is done, by whom, and which goals hold for it.

use std::time::Duration;

use anyhow::Result;

use crate::copier::Work;
use crate::ferry::Finds;
use crate::image::{Images, Kind};
use crate::proxy::Proxy;

/// What a goal asks of Ferry.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Wall time is at most so many times that of the fastest of these.
    WallRatio(f64, &'static [&'static str]),
    /// Speed is at least this share of that of the fastest of these.
    SpeedShare(f64, &'static [&'static str]),
    /// Bytes on the wire are at most so many times those that have changed.
    WireRatio(f64),
    /// Changed bytes a second are at least this share of what the line's link carries.
    LineRate(f64),
    /// Wall time in seconds is at most this.
    Wall(f64),
    /// Bytes on the wire are at most this.
    Wire(f64),
}

/// What the target begins with, and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// From nothing to the base, in each round.
    Fresh,
    /// From the base to this image and back, in turn.
    Turns(Kind),
    /// From the base to this image, in each round.
    Anew(Kind),
}

/// A line.
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    /// From what to what.
    pub course: Course,
    /// How Ferry finds what has changed.
    pub finds: Finds,
    /// Through which link, if not straight over loopback. It is crossed once by what loopback
    /// counts twice.
    pub link: Option<Proxy>,
    /// Who does it beside Ferry.
    pub others: &'static [&'static str],
    /// What is asked.
    pub goals: &'static [Goal],
}

const PLAIN: &[&str] = &["nbdcopy", "qemu-img convert", "rsync -W"];
/// None that keeps digests can be had; these compute them at both sides.
const SCANNERS: &[&str] = &["rsync", "rsync -B4096", "diskrsync"];
const FLOOR: &[&str] = &["floor"];

/// All lines.
pub const LINES: [Line; 7] = [
    Line {
        name: "full",
        what: "full copy",
        course: Course::Fresh,
        finds: Finds::Listed,
        link: None,
        others: &[
            "nbdcopy",
            "qemu-img convert",
            "rsync -W",
            "diskrsync",
            "floor",
        ],
        goals: &[Goal::WallRatio(1.35, PLAIN)],
    },
    Line {
        name: "random",
        what: "1 % random 4 KiB changes, extents known",
        course: Course::Turns(Kind::Random),
        finds: Finds::Listed,
        link: None,
        others: &[
            "floor",
            "rsync",
            "rsync -B4096",
            "diskrsync",
            "nbdcopy",
            "bdsync",
        ],
        goals: &[
            Goal::WallRatio(1.3, FLOOR),
            Goal::WallRatio(0.12, SCANNERS),
            Goal::WireRatio(1.05),
        ],
    },
    Line {
        name: "digests",
        what: "1 % random 4 KiB changes, extents unknown, digests kept",
        course: Course::Turns(Kind::Random),
        finds: Finds::Digests,
        link: None,
        others: SCANNERS,
        goals: &[Goal::WallRatio(0.7, SCANNERS)],
    },
    Line {
        name: "nothing",
        what: "nothing changed, extents known",
        course: Course::Turns(Kind::Base),
        finds: Finds::Listed,
        link: None,
        others: &["floor", "rsync", "rsync -B4096", "diskrsync"],
        goals: &[Goal::Wall(0.050), Goal::Wire(65_536.0)],
    },
    Line {
        name: "large",
        what: "one large sequential change",
        course: Course::Turns(Kind::Large),
        finds: Finds::Listed,
        link: None,
        others: FLOOR,
        goals: &[Goal::SpeedShare(0.8, FLOOR)],
    },
    Line {
        name: "zeros",
        what: "a quarter overwritten with zeros, a fifth discarded",
        course: Course::Anew(Kind::Zeros),
        finds: Finds::Listed,
        link: None,
        others: &["nbdcopy"],
        goals: &[Goal::WireRatio(0.01)],
    },
    Line {
        name: "wan",
        what: "one large sequential change over 1 Gbit/s with a round trip of 50 ms",
        course: Course::Turns(Kind::Large),
        finds: Finds::Listed,
        link: Some(Proxy {
            delay: Duration::from_millis(25),
            rate: 125e6,
        }),
        others: &[],
        goals: &[Goal::LineRate(0.9)],
    },
];

impl Line {
    /// The work of a round, counted from 0.
    pub fn work(&self, images: &Images, round: usize) -> Result<Work> {
        let (from, to) = match self.course {
            Course::Fresh => {
                return Ok(Work {
                    source: images.file(Kind::Base)?,
                    before: None,
                    extents: images.allocated(),
                });
            }
            Course::Anew(kind) => (Kind::Base, kind),
            Course::Turns(kind) if round.is_multiple_of(2) => (Kind::Base, kind),
            Course::Turns(kind) => (kind, Kind::Base),
        };
        let differs = if from == Kind::Base { to } else { from };
        Ok(Work {
            source: images.file(to)?,
            before: Some(images.file(from)?),
            extents: images.changed(differs),
        })
    }

    /// Bytes that Ferry has to ship in a round.
    pub fn bytes(&self, images: &Images) -> u64 {
        let extents = match self.course {
            Course::Fresh => images.allocated(),
            Course::Turns(kind) | Course::Anew(kind) => images.changed(kind),
        };
        extents.iter().map(|extent| extent.len).sum()
    }
}
