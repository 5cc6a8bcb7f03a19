//! What the handshake decided, and why.

use serde::{Deserialize, Serialize};

/// How a standby catches up, cheapest first (semantics H).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HandshakeMode {
    /// Nothing to do: the standby holds the primary's head.
    None,
    /// Ship what the log (Snapshot mode: the newest common snapshot) says has changed.
    Log,
    /// Compare regions and ship those that differ.
    Bitmap,
    /// Ship everything that is allocated.
    Full,
    /// Hold: the standby has writes that nobody else has.
    Diverged,
    /// The two must not talk.
    Refuse,
}

/// The row of the handshake table that matched, in the order of semantics H.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HandshakeRow {
    /// 1: another pair.
    WrongPeer,
    /// 1: a standby smaller than the primary.
    StandbyTooSmall,
    /// 2: the standby knows a higher epoch.
    StalePrimary,
    /// 3: both claim to be primary in one epoch.
    SplitBrain,
    /// 4: the standby is blank.
    Blank,
    /// 5: diverged tail, with the fork and both dirty sets known.
    DivergedTail,
    /// 6: no common ancestor, or a set that row 5 needs is lost.
    NoCommonAncestor,
    /// 7: the heads are equal.
    SameHead,
    /// 8: the log still holds everything that the standby lacks.
    InLog,
    /// 9: a dirty map or a common snapshot bounds the difference.
    Bounded,
    /// 10: anything else.
    Unbounded,
}

/// The outcome of one handshake: stored by the primary, shown in status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// How the standby catches up.
    pub mode: HandshakeMode,
    /// Which row of the table said so.
    pub row: HandshakeRow,
    /// Why, as a sentence for people.
    pub reason: String,
}
