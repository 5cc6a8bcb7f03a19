//! The inputs of the core, and the moment at which each arrives.

use protocol::changes::CycleSum;
use protocol::pair::Refused;
use protocol::units::{Extent, FailedRange, PeerName, Point};
use storage::journal::{JournalError, Superblock};
use wire::control::{Refusal, RefusalKind, Request};
use wire::{Digests, Message};

/// Tells one connection from another; the host counts them.
pub type LinkId = u64;

/// Tells one request of the operator from another; the host counts them.
pub type RequestId = u64;

/// When an input comes, and what can be seen at that moment without asking anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds on the monotonic clock.
    pub now_ms: u64,
    /// What links and work have counted.
    pub counters: Counters,
    /// Whether a flush of the volume has failed, so that it has to be opened again.
    pub device_poisoned: bool,
}

/// What rises while something moves, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Across the current link, both ways, before encryption.
    pub wire: u64,
    /// Received on the current link, of messages with much data, while they are under way.
    pub data_received: u64,
    /// Of the newest shipment.
    pub ship: ShipCounters,
    /// Of the newest cycle that is received.
    pub receive: ReceiveCounters,
    /// Read back while a cycle is resumed.
    pub read_back: u64,
    /// Covered by the newest set that is applied.
    pub applied: u64,
}

/// What a shipment has counted, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShipCounters {
    /// Read from the device.
    pub read: u64,
    /// Probed at, read or not.
    pub looked: u64,
    /// Changed, and data now.
    pub data: u64,
    /// Changed, and zero now.
    pub zero: u64,
    /// Everything below this byte of the volume has been looked at.
    pub through: u64,
}

/// What a receiver has counted, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// Data.
    pub data: u64,
    /// Zeros.
    pub zero: u64,
    /// Everything below this byte of the volume has been received.
    pub through: u64,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Input {
    /// The operator asks for something.
    Request(RequestId, Box<Request>),
    /// A mover of our pair has connected.
    Accepted(LinkId, PeerName),
    /// Dialing has ended; the number says which.
    Dialed(u64, Result<LinkId, Refused>),
    /// The peer has sent a message.
    Message(LinkId, Message),
    /// The connection has ended, and why.
    LinkLost(LinkId, String),
    /// A superblock is durable, or it is not known whether it is, and why.
    Persisted(u64, Result<(), String>),
    /// Receiving with this number is open: everything before this byte of the volume is durable.
    Opened(u64, u64),
    /// Receiving with this number reports.
    Receive(u64, ReceiveEvent),
    /// Applying with this number can't write these ranges, all that it has found so far; it goes on.
    Unwritable(u64, Vec<FailedRange>),
    /// Applying with this number has ended, in so many milliseconds.
    Written(u64, Result<u64, NotWritten>),
    /// What had to be discarded is discarded.
    Discarded(u64),
    /// Digests were committed; the kept ones are of this cut now.
    DigestsCommitted(u64, Option<Point>),
    /// The shipment with this number reports.
    Ship(u64, ShipEvent),
    /// What the source asked to know of this side's image, for the link that it came on.
    Digested(LinkId, Result<Digests, Refused>),
    /// Time has passed.
    Tick,
}

/// Why a staged set is not on the volume, or not all of it.
#[derive(Clone, Debug)]
pub struct NotWritten {
    /// The failure.
    pub refused: Refused,
    /// The ranges that could not be written, ascending; none where it failed otherwise.
    pub ranges: Vec<FailedRange>,
    /// Whether everything outside the ranges was written.
    pub rest_is_written: bool,
}

impl From<Refused> for NotWritten {
    fn from(refused: Refused) -> NotWritten {
        NotWritten {
            refused,
            ranges: Vec::new(),
            rest_is_written: false,
        }
    }
}

/// What a shipment reports. All but the first end it.
#[derive(Clone, Debug)]
pub enum ShipEvent {
    /// The operator's list broke; it waits for what to do instead.
    ListBroke(String),
    /// Everything was read and handed to the link.
    Drained {
        /// What the complete set comes to.
        sum: CycleSum,
        /// The first ranges that differed, where a range is verified.
        differing: Vec<Extent>,
    },
    /// The digests kept here could not be proved complete and current, and why; they are dropped, and
    /// nothing was sent.
    KeptLost(String),
    /// It can't go on.
    Failed(Refused),
    /// It has stopped, as requested.
    Stopped,
}

/// What a receiver reports. All but the first end it.
#[derive(Clone, Debug)]
pub enum ReceiveEvent {
    /// Everything below this byte of the volume is durable.
    Durable(u64),
    /// The set is complete, checked and durable.
    Sealed,
    /// It can't go on.
    Failed(Refused),
    /// It has stopped, as requested.
    Stopped,
}

/// A superblock that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Why, for people.
    pub refusal: Refusal,
    /// Whether consent may discard it: damage can be discarded, a newer format can't.
    pub discardable: bool,
}

impl Unusable {
    /// Of a state volume that could not be opened for this reason.
    #[must_use]
    pub fn of(error: &JournalError) -> Unusable {
        let (kind, what) = match error {
            JournalError::Disk(_) => (RefusalKind::StateVolumeFailed, "the next mover tries again"),
            _ => (
                RefusalKind::SuperblockUnreadable,
                "nothing is done here until the state volume is repaired",
            ),
        };
        Unusable {
            refusal: Refusal {
                kind,
                message: format!("{error}; {what}"),
            },
            discardable: error.is_damage(),
        }
    }

    /// Whether the disk failed, which may pass: another process may find what this one did not.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.refusal.kind == RefusalKind::StateVolumeFailed
    }
}

/// What is known of a superblock when a mover starts.
pub type FoundSuperblock = Result<Option<Superblock>, Unusable>;
