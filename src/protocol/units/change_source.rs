//! The ways to learn what changed, in the order of preference.

use serde::{Deserialize, Serialize};

/// One way to learn what changed between two cuts, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeSource {
    /// CSI SnapshotMetadata names the changed extents (KEP-3314 `GetMetadataDelta`).
    Delta,
    /// CSI SnapshotMetadata names the allocated extents; kept digests tell which of them changed.
    Allocated,
    /// The whole volume is read; digests kept from the last cycle tell what changed.
    Digests,
    /// The whole volume is read and every non-zero block is sent.
    FullRead,
    /// A verification: nothing is said to have changed, and both sides read their image.
    Verify,
}

/// The change source that a cycle stands on, and why it is no better one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSourceUse {
    /// The change source in use.
    pub source: ChangeSource,
    /// Why this change source: what the better ones lack, as a sentence for people.
    pub reason: String,
}
