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
    /// Wall time of this other way of ours is at most so many times that of the fastest of these.
    OtherRatio(&'static str, f64, &'static [&'static str]),
    /// The most memory that a mover has resident, in bytes, is at most this.
    Peak(f64),
    /// Wall time in seconds is at most this.
    Wall(f64),
    /// Bytes on the wire are at most this.
    Wire(f64),
}

/// What the target begins with, and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// From nothing to this image, in each round.
    Fresh(Kind),
    /// From what this image was made from to it and back, in turn.
    Turns(Kind),
    /// From the base to this image, in each round.
    FromScratch(Kind),
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
const SCANNERS: &[&str] = &["rsync", "rsync -B4096", "diskrsync"];
/// None that keeps digests is available; these compute them at both sides.
const DIGESTERS: &[&str] = &["rsync -B4096", "diskrsync"];
const FLOOR: &[&str] = &["floor"];

/// What a mover may take at any size of its volume, in bytes.
const MEMORY: f64 = 64.0 * 1024.0 * 1024.0;

/// All lines.
pub const LINES: [Line; 11] = [
    Line {
        name: "full",
        what: "full copy",
        course: Course::Fresh(Kind::Base),
        finds: Finds::Listed,
        link: None,
        others: &[
            "nbdcopy",
            "qemu-img convert",
            "rsync -W",
            "diskrsync",
            "floor",
            "one process",
        ],
        goals: &[
            Goal::WallRatio(1.35, PLAIN),
            Goal::OtherRatio("one process", 1.0, PLAIN),
        ],
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
            "btrfs send -p",
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
        others: DIGESTERS,
        goals: &[Goal::WallRatio(0.7, DIGESTERS)],
    },
    Line {
        name: "nothing",
        what: "nothing changed, extents known",
        course: Course::Turns(Kind::Base),
        finds: Finds::Listed,
        link: None,
        others: &["floor", "rsync -B4096", "diskrsync"],
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
        course: Course::FromScratch(Kind::Zeros),
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
        others: FLOOR,
        goals: &[Goal::LineRate(0.9)],
    },
    Line {
        name: "sparse-64g",
        what: "first copy of 64 GiB with 256 MiB in them",
        course: Course::Fresh(Kind::Sparse(64)),
        finds: Finds::Listed,
        link: None,
        others: &[],
        goals: &[Goal::Peak(MEMORY)],
    },
    Line {
        name: "sparse-64g-delta",
        what: "16,384 blocks spread over 64 GiB, extents known",
        course: Course::Turns(Kind::SparseChanged(64)),
        finds: Finds::Listed,
        link: None,
        others: &[],
        goals: &[Goal::Peak(MEMORY)],
    },
    Line {
        name: "sparse-4t",
        what: "first copy of 4 TiB with 256 MiB in them",
        course: Course::Fresh(Kind::Sparse(4096)),
        finds: Finds::Listed,
        link: None,
        others: &[],
        goals: &[Goal::Peak(MEMORY)],
    },
    Line {
        name: "sparse-4t-delta",
        what: "16,384 blocks spread over 4 TiB, extents known",
        course: Course::Turns(Kind::SparseChanged(4096)),
        finds: Finds::Listed,
        link: None,
        others: &[],
        goals: &[Goal::Peak(MEMORY)],
    },
];

impl Line {
    /// The work of a round, counted from 0.
    pub fn work(&self, images: &Images, round: usize) -> Result<Work> {
        let (from, to) = match self.course {
            Course::Fresh(kind) => {
                return Ok(Work {
                    source: images.file(kind)?,
                    before: None,
                    extents: images.allocated(kind)?,
                });
            }
            Course::FromScratch(kind) => (kind.origin(), kind),
            Course::Turns(kind) if round.is_multiple_of(2) => (kind.origin(), kind),
            Course::Turns(kind) => (kind, kind.origin()),
        };
        let differs = if to.origin() == from { to } else { from };
        Ok(Work {
            source: images.file(to)?,
            before: Some(images.file(from)?),
            extents: images.changed(differs),
        })
    }

    /// Bytes that Ferry has to ship in a round.
    pub fn bytes(&self, images: &Images) -> Result<u64> {
        let extents = match self.course {
            Course::Fresh(kind) => images.allocated(kind)?,
            Course::Turns(kind) | Course::FromScratch(kind) => images.changed(kind),
        };
        Ok(extents.iter().map(|extent| extent.len).sum())
    }
}
