//! The one coordinate of a pair: which epoch, and which cut or write in it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many times the primary role has been given out. A higher epoch fences every lower one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch in which a new pair starts.
    pub const FIRST: Epoch = Epoch(1);

    /// The epoch that a promotion out of this one starts.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// A place in the pair's single sequence of cuts and writes. It never goes back, not even when the
/// epoch changes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place that follows this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// The label of every cut, snapshot, staging, bitmap and report (semantics 1.1).
///
/// Points of one lineage are ordered by epoch, then by sequence. Points of diverged lineages are
/// not comparable; [`crate::units::Lineage`] decides that.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Point {
    /// The epoch in which the cut was made.
    pub epoch: Epoch,
    /// The cut's place in the pair's sequence.
    pub seq: Seq,
}

impl Point {
    /// The point at `seq` of `epoch`.
    #[must_use]
    pub const fn new(epoch: u64, seq: u64) -> Point {
        Point {
            epoch: Epoch(epoch),
            seq: Seq(seq),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}
