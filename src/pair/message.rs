//! What the two sides say to each other, apart from the volume's bytes. The wire layer has its own
//! frames for these; the mover translates.

use crate::units::{Decision, Epoch, Lineage, PairId, Point};

use crate::pair::handshake::Superblock;
use crate::pair::{Record, Refused};

/// The source's first word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The pair's identity.
    pub pair_id: PairId,
    /// The source's epoch.
    pub epoch: Epoch,
    /// The source's history.
    pub lineage: Lineage,
    /// The cut that it wants to ship.
    pub cycle: Point,
    /// The size of the cut's image in bytes.
    pub size: u64,
}

/// The target's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What its superblock says.
    pub superblock: Superblock,
    /// The size of its volume in bytes.
    pub size: u64,
}

/// What the source is about to ship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The cut.
    pub cycle: Point,
    /// The source's history; the image's own once the cut is on the volume.
    pub lineage: Lineage,
    /// The size of the cut's image in bytes.
    pub size: u64,
    /// What the handshake decided.
    pub decision: Decision,
    /// The point that the change set counts from; `None` for a set that covers the whole volume or
    /// was found by comparing with the target's own content.
    pub base: Option<Point>,
    /// Consent to overwrite a diverged target, for exactly this epoch.
    pub consent: Option<Epoch>,
}

/// How far the target has come with this cycle before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Ship everything from this byte of the volume on; what lies before is durable.
    From(u64),
    /// The cut is on the volume.
    Applied,
}

/// One word of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Source: who I am and what I want to ship.
    Hello(Hello),
    /// Target: who I am.
    Greeting(Greeting),
    /// Source: what comes.
    Begin(Begin),
    /// Target: go on from here.
    Ready(Ready),
    /// Source: everything has been sent.
    End,
    /// Target: the set is whole, checked and durable.
    Staged,
    /// Target: the volume holds the cut.
    Applied,
    /// Either: it goes no further, and why.
    Refuse(Refused),
}

impl Greeting {
    /// The record in it, if there is one that can be read.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match &self.superblock {
            Superblock::Known(record) => Some(record),
            Superblock::Blank | Superblock::Unreadable => None,
        }
    }
}
