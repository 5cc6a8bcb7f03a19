//! What a site knows about its own image: the truth that lives with the data.

use serde::{Deserialize, Serialize};

use crate::units::{Epoch, ImageState, Lineage, PairId, Point, Role, SiteName};
use crate::wire::{LastMaster, LastTransfer};

/// How many commits [`Superblock::history`] remembers; older ones are forgotten.
pub(super) const HISTORY_MAX: usize = 8;

/// How many epochs a lineage keeps on disk. A side whose last epoch is older than that finds no
/// common ancestor and is held, which is the safe answer.
pub(super) const LINEAGE_MAX: usize = 96;

/// One site's state in its pair (semantics H, state per node).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Superblock {
    /// The pair's identity.
    pub pair_id: PairId,
    /// This site.
    pub site: SiteName,
    /// Its part in `epoch`.
    pub role: Role,
    /// The newest epoch known here.
    pub epoch: Epoch,
    /// The history of the image.
    pub lineage: Lineage,
    /// Standby: the committed point. Primary: the newest point known to be committed at the peer.
    pub committed: Option<Point>,
    /// The newest cut that is wholly on the volume; from `committed` to one cycle ahead.
    pub applied: Option<Point>,
    /// The newest point that the volume may hold writes of.
    pub last_write: Option<Point>,
    /// What the image is worth.
    pub image: ImageState,
    /// Size of the volume in bytes when the image was last written; 0 before.
    pub size_bytes: u64,
    /// Whether this site was never writable in this pair, so that it holds nothing of its own.
    pub never_writable: bool,
    /// Whether the volume was closed, its last cut shipped and that recorded, when the site last
    /// left the primary role. A primary is not clean.
    pub clean: bool,
    /// Whether the volume may hold writes that nobody else has.
    pub diverged: bool,
    /// The value of `spec.primary` that was honoured last. A stale manifest that says otherwise never
    /// flips the role back.
    pub wish: SiteName,
    /// Who led the last transfer.
    pub last_master: Option<LastMaster>,
    /// How the last transfer ended.
    pub last_transfer: Option<LastTransfer>,
    /// The point that the dirty set counts from; `None` where none is kept.
    pub dirty_base: Option<Point>,
    /// What the peer said last.
    pub peer: Option<PeerKnowledge>,
    /// The last commits, newest first.
    pub history: Vec<CommitRecord>,
}

/// What is known of the peer since it was last heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerKnowledge {
    /// The peer's site.
    pub site: SiteName,
    /// The newest epoch that it knew.
    pub epoch: Epoch,
    /// Its committed point.
    pub committed: Option<Point>,
    /// Its newest applied cut.
    pub applied: Option<Point>,
    /// Whether it was never writable. With this a peer whose superblock is lost may be called blank.
    pub never_writable: bool,
}

/// One commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// The point.
    pub point: Point,
    /// Milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// Bytes of data that the cycle shipped.
    pub data_bytes: u64,
}

impl Superblock {
    /// Notes a commit in the history, forgetting the oldest beyond the limit. Noting the same point
    /// again changes nothing.
    pub fn note_commit(&mut self, record: CommitRecord) {
        if self
            .history
            .first()
            .is_some_and(|r| r.point == record.point)
        {
            return;
        }
        self.history.insert(0, record);
        self.history.truncate(HISTORY_MAX);
    }

    /// The superblock within the limits of its slot.
    pub(super) fn trimmed(&self) -> Superblock {
        let mut trimmed = self.clone();
        trimmed.history.truncate(HISTORY_MAX);
        let excess = trimmed.lineage.0.len().saturating_sub(LINEAGE_MAX);
        trimmed.lineage.0.drain(..excess);
        trimmed
    }
}
