//! What an operator asks of a mover, and what the mover reports.
//!
//! The operator dials the mover's one listener over mTLS with the name `ferry://operator`. Every
//! request gets exactly one response, in order. Requests are idempotent: repeating one that is under
//! way or done changes nothing, so an operator that was restarted simply asks again. A mover never
//! acts on its own: it ships, commits, promotes and demotes only on a request.

use serde::{Deserialize, Serialize};

use protocol::units::{
    ChangeSource, ChangeSourceUse, Decision, Epoch, Extent, FailedRange, Generation, ImageState,
    Lineage, PairId, Point, Progress, Role, Seq, SiteName,
};

/// The most extents in one [`Request::Extents`]; a longer list comes in several.
pub const EXTENTS_PER_BATCH_MAX: usize = 16 * 1024;

/// The longest that [`Request::Status`] may be held open, in milliseconds.
pub const STATUS_WAIT_MAX_MS: u32 = 30_000;

/// What the operator may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Answer with [`Response::Status`] as soon as its `version` is above `after`, or after
    /// `wait_ms` (at most [`STATUS_WAIT_MAX_MS`]) with what there is.
    Status {
        /// The newest version that the operator has seen; 0 for any.
        after: u64,
        /// How long to wait for a newer one, in milliseconds.
        wait_ms: u32,
    },
    /// Write the first superblock of a site that has none. Refused where one exists that differs.
    Init(InitRequest),
    /// Source: ship a cut to the peer. The target applies it but does not commit it.
    Ship(ShipRequest),
    /// Source: the next part of the list that [`ShipRequest::changes`] announced, ascending.
    Extents(ExtentBatch),
    /// Source: the announced list broke; fall to the next change source for what is not covered yet.
    ExtentsFailed {
        /// The cut whose list broke.
        cycle: Point,
        /// Which list it is.
        changes: ChangeList,
        /// Why, for status.
        reason: String,
    },
    /// Target: take this cycle from this peer, and from no other.
    Receive(ReceiveRequest),
    /// Both: the cut `cycle` is the committed point from now on (the snapshots exist).
    Commit {
        /// The cut.
        cycle: Point,
    },
    /// Both: stop the running cycle. Staging that is whole stays; other staging may be resumed.
    Abort {
        /// Why, for status.
        reason: String,
    },
    /// Standby becomes primary: finish whole staging or drop the rest, then record the new epoch.
    Promote(PromoteRequest),
    /// Old primary becomes standby of the new epoch.
    Demote(DemoteRequest),
    /// Change the sending rate while a cycle runs; `None` lifts the limit.
    SetBandwidth {
        /// Bytes a second on the wire.
        bytes_per_second: Option<u64>,
    },
    /// End the process after finishing what is durable.
    Shutdown,
    /// Source: compare a range of the committed image with the target's, and repair what differs.
    Verify(VerifyRequest),
}

/// The first superblock of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitRequest {
    /// The pair's identity; the same at both sites.
    pub pair_id: PairId,
    /// The part that the site starts with.
    pub role: Role,
    /// The epoch that the pair starts in.
    pub epoch: Epoch,
    /// The identity of that epoch.
    pub generation: Generation,
    /// The first sequence number of that epoch.
    pub start: Seq,
    /// Whether the site is known never to have been writable in this pair. Only then may row 4 of
    /// the handshake call it blank.
    pub never_writable: bool,
    /// The value of `spec.primary` that the operator has handled last. Kept with the data, so that
    /// a stale manifest never flips a role back.
    pub requested_primary: SiteName,
    /// Whether it takes the place of a superblock that can't be read. Somebody has consented, in this
    /// epoch, to discard what that one stood for; without it a damaged superblock stops everything.
    pub over_damage: bool,
}

/// How the operator will help the source to find what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeList {
    /// [`Request::Extents`] batches follow with all that changed between `base` and the cut.
    Delta {
        /// The cut that the list counts from.
        base: Point,
    },
    /// [`Request::Extents`] batches follow with all that is allocated at the cut.
    Allocated,
    /// No list: the mover uses kept digests or reads everything.
    Nothing,
}

/// Ship one cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipRequest {
    /// The cut whose image is on the source's device.
    pub cycle: Point,
    /// The target mover's address, `host:port`.
    pub peer: String,
    /// The target's site, checked against its certificate.
    pub peer_site: SiteName,
    /// What list of changes follows.
    pub changes: ChangeList,
    /// Why `changes` is no better, for status.
    pub changes_reason: String,
    /// Consent to overwrite a diverged target, valid for exactly this epoch.
    pub discard_consent: Option<Epoch>,
    /// What the device of a first cut has to be; `None` where nothing is known of the volume.
    pub image: Option<BlockImage>,
    /// How to send.
    pub transfer: Transfer,
}

/// What the image of a volume is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockImage {
    /// The size of the volume in bytes; a device may be larger.
    pub bytes: u64,
    /// Whether the volume has a file system, by whose signature it is known.
    pub file_system: bool,
}

/// Compare a range of the image of a committed cut with the target's, and repair what differs. The
/// target is asked to [`Request::Receive`] the same cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// The committed cut, whose image is on the source's device.
    pub cycle: Point,
    /// The target mover's address, `host:port`.
    pub peer: String,
    /// The target's site, checked against its certificate.
    pub peer_site: SiteName,
    /// What is compared. It is widened to whole blocks and cut off at the end of the volume.
    pub range: Extent,
    /// The most bytes a second that each side reads; `None` for no limit.
    pub read_bytes_per_second: Option<u64>,
    /// How to send what differs.
    pub transfer: Transfer,
}

/// How to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The most bytes a second on the wire; `None` for no limit.
    pub bytes_per_second: Option<u64>,
    /// Whether payloads are compressed.
    pub compression: Compression,
    /// The attempt fails when nothing has moved for this long, in milliseconds.
    pub stall_timeout_ms: u64,
}

/// Whether payloads are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// Never.
    Off,
    /// Always lz4.
    Lz4,
    /// Always zstd.
    Zstd,
    /// Measure, and stop where it does not pay.
    #[default]
    Auto,
}

/// A part of the list of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtentBatch {
    /// The cut that the list belongs to.
    pub cycle: Point,
    /// Which list it is, as [`ShipRequest::changes`] announced it.
    pub changes: ChangeList,
    /// The byte up to which the parts before this one reach: the end of the last range before it, or 0.
    /// This part names every range of the list from there to the end of its own last range, and the
    /// last part every one to the end of the volume.
    pub from: u64,
    /// The ranges, ascending and disjoint, also across parts.
    pub extents: Vec<Extent>,
    /// Whether this is the last part. Without it the list counts as broken.
    pub last: bool,
}

/// Take one cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveRequest {
    /// The cut that the source is about to ship.
    pub cycle: Point,
    /// The source's site, checked against its certificate.
    pub peer_site: SiteName,
}

/// Take the primary role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromoteRequest {
    /// The epoch that this promotion starts; must be the side's epoch plus one, or the very epoch
    /// that an earlier try has recorded already.
    pub epoch: Epoch,
    /// The identity of that epoch, chosen by the operator before the first try.
    pub generation: Generation,
    /// The newest point known of the old primary, so that the new epoch starts after it.
    pub peer_head: Option<Point>,
    /// The value of `spec.primary` that the operator has handled last. Kept with the data, so that
    /// a stale manifest never flips a role back.
    pub requested_primary: SiteName,
}

/// Leave the primary role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoteRequest {
    /// The epoch in which the peer is primary.
    pub epoch: Epoch,
    /// The new primary's lineage.
    pub lineage: Lineage,
    /// The final cut, when the volume was closed before it and it was shipped: a clean demotion.
    /// `None` means that the side may hold writes that nobody else has.
    pub clean_at: Option<Point>,
    /// The value of `spec.primary` that the operator has handled last. Kept with the data, so that
    /// a stale manifest never flips a role back.
    pub requested_primary: SiteName,
}

/// What a mover answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The request was taken; how it goes on is in the status.
    Accepted,
    /// The request was not taken, and nothing has changed.
    Refused(Refusal),
    /// The state of affairs.
    Status(Box<MoverStatus>),
}

/// Why a request was not taken, or why a cycle failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of refusal, for conditions and metrics.
    pub kind: RefusalKind,
    /// What, where and what to do, as a sentence for people.
    pub message: String,
}

/// Kinds of refusal and failure. The names are stable: they become condition reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalKind {
    /// The request does not fit the role, the phase or the epoch.
    OutOfOrder,
    /// The epoch of the request or of the peer is older than ours.
    StaleEpoch,
    /// The handshake refused (rows 1 to 3).
    HandshakeRefused,
    /// The target holds writes that nobody else has, and there is no consent (rows 5 and 6).
    Diverged,
    /// Nothing has been committed here, so there is nothing to promote.
    NoCommittedPoint,
    /// The change set does not fit into staging.
    StagingTooSmall,
    /// The state volume is full.
    StateVolumeFull,
    /// The peer could not be reached, or the connection broke.
    PeerUnreachable,
    /// The peer's certificate is not that of the peer that was asked for.
    WrongIdentity,
    /// Nothing moved for the stall time-out.
    Stalled,
    /// Reading the source's device failed.
    SourceReadError,
    /// Writing or flushing the target's device failed.
    TargetWriteError,
    /// Something on disk or on the wire did not match its checksum.
    Corrupt,
    /// The superblock is of a newer version, or unreadable.
    SuperblockUnreadable,
    /// The target's volume is smaller than the source's.
    TargetTooSmall,
    /// The operator stopped it.
    Aborted,
    /// A defect of ours.
    Internal,
    /// The primary's committed cut has rotted, and the standby's has not.
    PrimaryDamaged,
    /// The cut's device is shorter than the volume was.
    SourceShrunk,
    /// What was made of the first cut is no image of the volume.
    NotABlockImage,
    /// The state volume failed, which may pass.
    StateVolumeFailed,
}

/// All that a mover knows about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoverStatus {
    /// Rises with every change of anything below.
    pub version: u64,
    /// The mover's site.
    pub site: SiteName,
    /// What the state volume says; `None` when it is blank.
    pub superblock: Option<SuperblockReport>,
    /// Why the superblock can't be used, when it can't.
    pub superblock_error: Option<Refusal>,
    /// Size of the volume's device in bytes; `None` without one.
    pub device_bytes: Option<u64>,
    /// What is going on.
    pub activity: Activity,
    /// The running cycle, or the last one.
    pub progress: Option<Progress>,
    /// Source: what the last handshake decided.
    pub decision: Option<Decision>,
    /// Source: the change source that the running or last cycle stands on.
    pub change_source: Option<ChangeSourceUse>,
    /// How the last cycle ended on this side.
    pub last: Option<CycleOutcome>,
    /// The ranges of the volume that a set which is here completely could not be written to, ascending; at
    /// most [`UNWRITTEN_MAX`]. They are tried again by themselves.
    pub unwritten: Vec<FailedRange>,
}

/// The most ranges that [`MoverStatus::unwritten`] names; of more, the nearest are joined.
pub const UNWRITTEN_MAX: usize = 64;

/// What a mover is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Nothing.
    Idle,
    /// Shipping this cut.
    Shipping(Point),
    /// Waiting for, receiving or applying this cut.
    Receiving(Point),
    /// Finishing or dropping staging before a promotion.
    Promoting(Epoch),
}

/// What the superblock says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuperblockReport {
    /// The pair's identity.
    pub pair_id: PairId,
    /// The part that this site plays in `epoch`.
    pub role: Role,
    /// The newest epoch known here.
    pub epoch: Epoch,
    /// The history of this site's image.
    pub lineage: Lineage,
    /// Standby: the committed point. Primary: the newest point known to be committed at the peer.
    pub committed: Option<Point>,
    /// Standby: the newest cut that is completely on the volume; from `committed` to one cycle ahead.
    /// Primary: the newest cut that was asked to be shipped.
    pub applied: Option<Point>,
    /// The state of the image. A primary's is what it was when it was promoted.
    pub image: ImageState,
    /// Whether this site may hold writes that nobody else has.
    pub diverged: bool,
    /// The value of `spec.primary` that the operator has handled last. Kept with the data, so that
    /// a stale manifest never flips a role back.
    pub requested_primary: SiteName,
}

/// How a cycle ended on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CycleOutcome {
    /// The target's volume holds the cut; a [`Request::Commit`] may follow.
    Applied(CycleReport),
    /// The cycle ended early. What was committed before still is.
    Failed {
        /// The cut.
        cycle: Point,
        /// Why.
        cause: Refusal,
        /// Whether trying the same cycle again can help.
        retryable: bool,
    },
    /// Source: a range was compared, and what differed is repaired.
    Verified(Box<VerifyReport>),
}

/// What a finished cycle moved and how long it took. Times are milliseconds, amounts bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleReport {
    /// The cut.
    pub cycle: Point,
    /// Its change source.
    pub change_source: ChangeSource,
    /// Bytes that were read from the source's device.
    pub read_bytes: u64,
    /// Changed bytes that are data.
    pub data_bytes: u64,
    /// Changed bytes that are zero.
    pub zero_bytes: u64,
    /// Bytes on the wire, both directions, before encryption.
    pub wire_bytes: u64,
    /// BLAKE3 over the cycle's extents in order (offset, length, kind, payload), hexadecimal.
    pub digest: String,
    /// Handshake.
    pub handshake_ms: u64,
    /// Reading, sending and staging, which overlap.
    pub ship_ms: u64,
    /// Applying and flushing.
    pub apply_ms: u64,
}

/// The most ranges that a [`VerifyReport`] names.
pub const DIFFERING_MAX: usize = 16;

/// What a verification found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// What was compared.
    pub range: Extent,
    /// The first ranges that differed, at most [`DIFFERING_MAX`]. How many bytes they all are is
    /// the sum of the data and the zeros in `cycle`.
    pub differing: Vec<Extent>,
    /// What was read and moved. Everything that differed was repaired.
    pub cycle: CycleReport,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_read_back() {
        let request = Request::Ship(ShipRequest {
            cycle: Point::new(1, 2),
            peer: "10.0.0.1:7400".into(),
            peer_site: "west".parse().unwrap(),
            changes: ChangeList::Delta {
                base: Point::new(1, 1),
            },
            changes_reason: String::new(),
            discard_consent: None,
            image: None,
            transfer: Transfer {
                bytes_per_second: None,
                compression: Compression::Auto,
                stall_timeout_ms: 60_000,
            },
        });
        let bytes = postcard::to_stdvec(&request).unwrap();
        assert_eq!(postcard::from_bytes::<Request>(&bytes).unwrap(), request);
    }
}
