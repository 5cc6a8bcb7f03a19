//! Versions of the protocol.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the protocol, newest first. Each says what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u16);

impl Version {
    /// The first version: hello, cycles in batches, digests, control.
    pub const V1: Version = Version(1);
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
        min: Version::V1,
        max: Version::V1,
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
