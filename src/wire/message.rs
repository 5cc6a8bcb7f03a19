//! What movers, and movers and operators, say to each other.

use serde::{Deserialize, Serialize};

use crate::control::{RefusalKind, Response};
use crate::{Asked, Batch, VersionRange};
use protocol::changes::{BlockDigest, CycleId, CycleSum};
use protocol::units::{
    ChangeSource, Decision, Epoch, Extent, ImageState, Lineage, PairId, Point, Role, SiteName,
};

/// One message. Source and target are the movers of a cycle's two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Both ways, first: who is there and what it knows.
    Hello(Box<Hello>),
    /// Either way: the connection ends here, and why.
    Refuse(Refuse),
    /// Either way: answer with a pong of the same number.
    Ping(u64),
    /// The answer to a ping.
    Pong(u64),
    /// Operator to mover.
    Request(Box<Asked>),
    /// Mover to operator.
    Response(Box<Response>),
    /// Source to target: what the handshake decided.
    Decision(Decision),
    /// Source to target: a cycle starts, or starts again.
    CycleBegin(CycleBegin),
    /// Target to source: from where to send.
    Resume(Resume),
    /// Source to target: changes.
    Batch(Batch),
    /// Target to source: everything below this byte of the volume is durable.
    Progress(Resume),
    /// Source to target: that was all; and the totals and digest that it must have.
    CycleEnd(CycleEnd),
    /// Target to source: the change set is complete, checked and durable.
    Staged(CycleId),
    /// Target to source: the volume holds the cut, flushed.
    Applied(Applied),
    /// Either way: this cycle ends early, the connection may stay.
    Abort(Refuse),
    /// Source to target: tell me the digests of your blocks.
    DigestRequest(DigestRequest),
    /// Target to source: the digests.
    Digests(Digests),
}

/// What one side is and knows (semantics H, state per node).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The versions that the sender speaks. They travel in the part that never changes.
    #[serde(skip, default = "ours")]
    pub versions: VersionRange,
    /// The pair's identity; `None` where there is no readable superblock.
    pub pair_id: Option<PairId>,
    /// The sender's site.
    pub site: SiteName,
    /// Whether a superblock exists that can't be read: not blank, but unknown.
    pub unreadable: bool,
    /// The sender's part in `epoch`.
    pub role: Role,
    /// The newest epoch that the sender knows.
    pub epoch: Epoch,
    /// The history of the sender's image.
    pub lineage: Lineage,
    /// The committed point.
    pub committed: Option<Point>,
    /// The newest cut that is completely on the sender's volume.
    pub applied: Option<Point>,
    /// The cut that the sender wants to ship; only a source names one.
    pub cut: Option<Point>,
    /// The state of the sender's image.
    pub image: ImageState,
    /// The size of the sender's volume in bytes.
    pub size_bytes: u64,
    /// Whether the sender may hold writes that nobody else has.
    pub diverged: bool,
    /// Whether the sender is known never to have been writable in this pair.
    pub never_writable: bool,
    /// The point whose digests an export is compared with; only salvage names one.
    pub digests_of: Option<Point>,
}

fn ours() -> VersionRange {
    VersionRange::OURS
}

/// How a target takes a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferForm {
    /// Fully staged, then atomically applied.
    Staged,
    /// Written to the volume as it comes: only where there is no image to protect.
    InPlace,
}

/// A cycle starts, or starts again after an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleBegin {
    /// Which change set.
    pub id: CycleId,
    /// The size of the source's volume at the cut, in bytes.
    pub size_bytes: u64,
    /// How the target is to take it.
    pub form: TransferForm,
    /// The change source that the source starts on. A cycle is resumed only on the change source it was begun on:
    /// another change source may cover other ranges.
    pub change_source: ChangeSource,
    /// Consent to overwrite a diverged target, valid for exactly this epoch.
    pub consent: Option<Epoch>,
}

/// Where a cycle stands in the target: nothing below this byte of the volume has to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Which change set.
    pub id: CycleId,
    /// Everything that changed below this byte of the volume is durable at the target.
    pub through: u64,
}

/// A cycle was sent whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleEnd {
    /// Which change set.
    pub id: CycleId,
    /// The totals and digest that all of it must have, with what was sent before an interruption.
    pub sum: CycleSum,
}

/// A cycle was applied completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Which change set.
    pub id: CycleId,
    /// Milliseconds that applying and flushing took.
    pub apply_ms: u64,
}

/// Tell me the digests of your blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRequest {
    /// Which range; it starts at a block. At most [`crate::DIGESTS_PER_FRAME_MAX`] blocks.
    pub extent: Extent,
}

/// The digests of the blocks of a range, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Which range.
    pub extent: Extent,
    /// One for each block.
    pub digests: Vec<BlockDigest>,
}

/// Why something ends here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// What kind of reason.
    pub kind: RefusalKind,
    /// What, where and what to do, as a sentence for people.
    pub message: String,
}
