//! What the core asks its host to do. The host performs effects in the order in which they come.

use crate::input::{LinkId, RequestId};
use protocol::changes::{CycleId, CycleSum};
use protocol::pair::change_plan::Plan;
use protocol::units::{ChangeSource, Extent, PeerName, Point};
use storage::journal::{StagingSpec, Superblock};
use wire::control::{ChangeList, Compression, MoverStatus, Response};
use wire::{DigestRequest, Digests, Message};

/// One thing to do.
///
/// After [`Effect::Persist`] no effect comes before the core has got the report that the superblock is
/// durable, so that whatever follows from a record follows the record.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make this superblock durable, then report [`Persisted`](super::Input::Persisted).
    Persist {
        /// The number to report with.
        number: u64,
        /// What to save.
        superblock: Box<Superblock>,
        /// Whether it takes the place of one that is damaged.
        over_damage: bool,
    },
    /// Send a message, ahead of all batches.
    Send(LinkId, Message),
    /// Send a message after all batches that were handed to the link.
    SendLast(LinkId, Message),
    /// Connect to a mover, then report [`Dialed`](super::Input::Dialed). A peer that can't be
    /// reached is dialed again for a while: it may still be starting.
    Dial {
        /// The number to report with.
        number: u64,
        /// Where, `host:port`.
        address: String,
        /// Who has to be there.
        peer: PeerName,
    },
    /// Close a connection; what was sent on it is still delivered.
    Hangup(LinkId),
    /// Send at most so many bytes a second from now on; `None` for no limit.
    SetBandwidth(Option<u64>),
    /// Take this list of changes for this cut from the operator; every list before it is dropped.
    ExpectList(Point, ChangeList),
    /// Drop the operator's list of changes.
    DropList,
    /// Begin a piece of work that holds the volume or the state volume; its end is reported with the
    /// number. Only one is under way at a time.
    Begin(u64, Work),
    /// End the work with this number as soon as it can be: it still reports its end.
    Stop(u64),
    /// Receiving: everything was sent, and this is what it has to come to.
    Seal(u64, CycleSum),
    /// Shipping: what is not covered yet goes by this plan.
    FallBack(u64, Plan),
    /// Shipping: everything below this byte of the volume is durable at the target.
    Durable(u64, u64),
    /// Shipping: digests of the standby's image.
    Answer(u64, Digests),
    /// Read digests of this side's image, then report [`Digested`](super::Input::Digested).
    ReadDigests {
        /// The link that they are asked on.
        link: LinkId,
        /// Which.
        request: DigestRequest,
        /// Whether the volume has to be made to show what its storage holds first.
        settle: bool,
    },
    /// Answer a request of the operator.
    Reply(RequestId, Response),
    /// Show this status; the host numbers its versions.
    Show(Box<MoverStatus>),
    /// End the process: well, or because what is on disk is not known, and why.
    Exit(Result<(), String>),
}

/// Work that takes long and that excludes all other work.
#[derive(Clone, Debug)]
pub enum Work {
    /// Open staging where it was left, or a new one, report
    /// [`Opened`](super::Input::Opened), and receive.
    Stage {
        /// What is staged.
        spec: StagingSpec,
        /// The cut that the image is at.
        applied: Option<Point>,
    },
    /// Open the volume for a first copy, report [`Opened`](super::Input::Opened), and receive.
    Overwrite {
        /// The change set.
        id: CycleId,
        /// The size of the cut's image in bytes.
        size: u64,
        /// How the changes are found.
        change_source: ChangeSource,
    },
    /// Write the staged set of a cut to the volume and flush it. Ranges that can't be written are reported
    /// as they are found, [`Unwritable`](super::Input::Unwritable).
    Apply {
        /// The cut.
        cycle: Point,
        /// All that is still to be written of it; `None` for everything.
        only: Option<Vec<Extent>>,
    },
    /// Discard what is staged.
    Discard(Discard),
    /// Commit the digests that were gathered for this cut.
    CommitDigests(Point),
    /// Find and send changes.
    Ship(Box<ShipWork>),
}

/// What is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// The staged set, not how far a first copy has come.
    Staged,
    /// Both.
    All,
}

/// What a shipment works by.
#[derive(Clone, Debug)]
pub struct ShipWork {
    /// The link that batches go to.
    pub link: LinkId,
    /// The change set.
    pub id: CycleId,
    /// How changes are found.
    pub plan: Plan,
    /// What ends at or before this byte is at the target already.
    pub resume_at: u64,
    /// The cut that the kept digests have to be of, where the plan compares with them.
    pub kept: Option<Point>,
    /// Whether to compress.
    pub compression: Compression,
    /// The most bytes a second that each side reads of a range that is verified.
    pub read_rate: Option<u64>,
    /// It fails when nothing was read for so many milliseconds.
    pub stall_ms: u64,
}

impl Work {
    /// Whether it receives a cycle.
    #[must_use]
    pub fn receives(&self) -> bool {
        matches!(self, Work::Stage { .. } | Work::Overwrite { .. })
    }

    /// Whether it ships a cycle.
    #[must_use]
    pub fn ships(&self) -> bool {
        matches!(self, Work::Ship(_))
    }
}
