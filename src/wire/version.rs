//! Versions of the protocol.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the protocol. Each says what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u16);

impl Version {
    /// The third version; the first had hello, cycles in batches, digests and control, and the second lacked
    /// the fields that nothing was decided on. A batch and digests may come in several frames, and status names the ranges that
    /// can't be written: an older mover would end the connection.
    pub const V3: Version = Version(3);
}

/// The versions that one side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionRange {
    /// The oldest.
    pub min: Version,
    /// The newest.
    pub max: Version,
}

impl VersionRange {
    /// What this build speaks.
    pub const OURS: VersionRange = VersionRange {
        min: Version::V3,
        max: Version::V3,
    };
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return write!(f, "{}", self.min.0);
        }
        write!(f, "{} to {}", self.min.0, self.max.0)
    }
}
