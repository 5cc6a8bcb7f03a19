//! What a machine asks of whoever drives it.

use crate::pair::change_plan::Plan;
use crate::pair::message::{Begin, Message};
use crate::pair::{Record, Refused};
use crate::units::{CyclePhase, Decision, Epoch, Point};

/// One thing to do. Actions are carried out in order; one that changes what is durable is durable
/// before the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make this record durable. When that fails the process ends: what is on disk is not known.
    Persist(Box<Record>),
    /// Tell the peer.
    Send(Message),
    /// Source: open a link to the asked for peer, then report that it is up.
    Dial,
    /// Close the link, if it is up.
    Hangup,
    /// Show the decision in status.
    Decided(Decision),
    /// Show where the cycle stands.
    Phase(CyclePhase),
    /// Source: find and send what `plan` says from byte `from` on, then report that it is drained.
    Ship {
        /// How changes are found.
        plan: Plan,
        /// The first byte of the volume that the target lacks.
        from: u64,
    },
    /// Source: what is not covered yet goes by this plan.
    Fall(Plan),
    /// Source: stop reading and sending; forget what was found.
    StopShipping,
    /// The digests gathered in this cycle are of the committed cut from now on.
    KeepDigests(Point),
    /// Target: open staging for this cycle, taking up what is durable of it already, then report
    /// where to go on.
    OpenStaging(Box<Begin>),
    /// Target: prepare to write this cycle in place, then report where to go on.
    OpenInPlace(Box<Begin>),
    /// Target: stop taking data in. What is durable stays, to be resumed.
    StopReceiving,
    /// Target: check count, bytes and digest; make the set durable as whole (or, in place, flush
    /// the volume), then report.
    Seal,
    /// Target: write the whole staged set to the volume, flush, then report.
    Apply(Point),
    /// Target: forget what is staged, durably, then report if asked to.
    DropStaging {
        /// Whether the machine waits for it.
        report: bool,
    },
    /// The cycle ended on this side.
    Finish(Outcome),
    /// The promotion that started this epoch is recorded.
    Promoted(Epoch),
}

/// How a cycle ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target's volume holds the cut.
    Applied(Point),
    /// It ended early; what was committed before still is.
    Failed(Point, Refused),
}
