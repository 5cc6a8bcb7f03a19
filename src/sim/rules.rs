//! Wrong rules: each breaks one promise, and the simulator has to notice. Those of the mover are broken
//! in the mover itself ([`mover_core::mutations`]), those of disks and of the operator here.

use mover_core::Rule;

/// A rule of the protocol, done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The commit is ordered before the standby's snapshot is cut.
    CommitsBeforeSnapshot,
    /// A set whose connection broke is taken for whole, whatever its sum.
    AppliesUnsealed,
    /// What is staged stays where it is.
    StagingStays,
    /// Consent counts whatever epoch it was given for.
    ConsentForAnyEpoch,
    /// A promotion takes along what is staged, whole or not.
    PromotesUncommitted,
    /// Zeros are not sent.
    ZerosSkipped,
    /// A resumed cycle goes on after the place where the target is.
    ResumesTooFar,
    /// The record is made durable after everything that follows from it.
    PersistsLast,
    /// A promotion of an epoch that is over is carried out as one of the next.
    LowerEpochAdmitted,
    /// The digests kept here are believed, whichever cut they are of.
    DigestsOfAnotherCut,
    /// After a fork only what the primary changed is replaced.
    ForkNotUnited,
    /// After a crash a complete set counts as applied.
    RedoNotFinished,
    /// Changes are written to the volume as they come.
    AppliesAtOnce,
    /// The volume is not flushed before it counts as written.
    FlushSkipped,
    /// A cycle that was interrupted begins at the beginning.
    BeginsFromScratch,
    /// The snapshots of the common base go before there is a newer one.
    BaseDroppedEarly,
    /// A cut gets the number after the one that the primary has committed, used or not.
    NumbersReused,
    /// An old primary counts as closed at its last commit.
    DemotedAsClean,
    /// A write that finds no room counts as done.
    FullIgnored,
    /// A range is verified by the digests that are kept, not by what the standby holds.
    VerifiedByKeptDigests,
    /// What is staged is discarded when a disk fails.
    ForgetsAfterError,
    /// More regions go into a batch than the target takes.
    BatchesUnsplit,
    /// Kept digests are compared with though nothing proves that they are complete and current (D-1).
    DigestsUnproved,
    /// A verification repairs in one direction only: what the primary reads is right (D-4).
    PrimaryAlwaysRight,
    /// A cut that is shorter than the volume was is shipped (D-5).
    ShortSourceShipped,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Wrong; 25] = [
        Wrong::CommitsBeforeSnapshot,
        Wrong::AppliesUnsealed,
        Wrong::StagingStays,
        Wrong::ConsentForAnyEpoch,
        Wrong::PromotesUncommitted,
        Wrong::ZerosSkipped,
        Wrong::ResumesTooFar,
        Wrong::PersistsLast,
        Wrong::LowerEpochAdmitted,
        Wrong::DigestsOfAnotherCut,
        Wrong::ForkNotUnited,
        Wrong::RedoNotFinished,
        Wrong::AppliesAtOnce,
        Wrong::FlushSkipped,
        Wrong::BeginsFromScratch,
        Wrong::BaseDroppedEarly,
        Wrong::NumbersReused,
        Wrong::DemotedAsClean,
        Wrong::FullIgnored,
        Wrong::VerifiedByKeptDigests,
        Wrong::ForgetsAfterError,
        Wrong::BatchesUnsplit,
        Wrong::DigestsUnproved,
        Wrong::PrimaryAlwaysRight,
        Wrong::ShortSourceShipped,
    ];

    /// The rule of the mover's core that is broken, if it is one of those.
    #[must_use]
    pub fn rule(self) -> Option<Rule> {
        Some(match self {
            Wrong::AppliesUnsealed => Rule::AppliesUnsealed,
            Wrong::StagingStays => Rule::StagingStays,
            Wrong::ConsentForAnyEpoch => Rule::ConsentForAnyEpoch,
            Wrong::PromotesUncommitted => Rule::PromotesUncommitted,
            Wrong::ZerosSkipped => Rule::ZerosSkipped,
            Wrong::ResumesTooFar => Rule::ResumesTooFar,
            Wrong::PersistsLast => Rule::PersistsLast,
            Wrong::LowerEpochAdmitted => Rule::LowerEpochAdmitted,
            Wrong::DigestsOfAnotherCut => Rule::DigestsOfAnotherCut,
            Wrong::ForkNotUnited => Rule::ForkNotUnited,
            Wrong::RedoNotFinished => Rule::RedoNotFinished,
            Wrong::AppliesAtOnce => Rule::AppliesAtOnce,
            Wrong::BeginsFromScratch => Rule::BeginsFromScratch,
            Wrong::DemotedAsClean => Rule::DemotedAsClean,
            Wrong::VerifiedByKeptDigests => Rule::VerifiedByKeptDigests,
            Wrong::ForgetsAfterError => Rule::ForgetsAfterError,
            Wrong::BatchesUnsplit => Rule::BatchesUnsplit,
            Wrong::DigestsUnproved => Rule::DigestsUnproved,
            Wrong::PrimaryAlwaysRight => Rule::PrimaryAlwaysRight,
            Wrong::ShortSourceShipped => Rule::ShortSourceShipped,
            Wrong::CommitsBeforeSnapshot
            | Wrong::FlushSkipped
            | Wrong::BaseDroppedEarly
            | Wrong::NumbersReused
            | Wrong::FullIgnored => return None,
        })
    }
}
