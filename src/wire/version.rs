//! Versions of the protocol.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of the protocol. Each says what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u16);

impl Version {
    /// The second version; the first had hello, cycles in batches, digests and control. A hello and the beginning of a cycle without the fields that nothing was decided on; a source
    /// names its cut in a field of that name. Fields are missing, so version 1 is not spoken any more.
    pub const V2: Version = Version(2);
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
        min: Version::V2,
        max: Version::V2,
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
