//! Wrong rules: each breaks one promise of the mover, where the promise is kept.
//!
//! The simulator has to notice every one of them. Without the feature `mutations` no rule can be
//! broken: [`Rules`] is empty, and what asks it is left out by the compiler.

use protocol::changes::Limits;
use protocol::pair::Record;
use protocol::pair::change_plan::{Candidates, Compare, Plan};
use protocol::pair::side::Command;
use protocol::units::{ChangeSource, Decision, HandshakeRow, ImageState, Role};

/// What the pieces of a mover work by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How much goes into a batch, a request, a window.
    pub limits: Limits,
    /// Which rule is broken; none in the product.
    pub rules: Rules,
}

/// A rule that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A set whose connection broke is taken for complete, whatever its sum.
    AppliesUnsealed,
    /// What is staged stays where it is.
    StagingStays,
    /// Consent counts whatever epoch it was given for.
    ConsentForAnyEpoch,
    /// A promotion takes along what is staged, complete or not.
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
    /// A cycle that was interrupted begins at the beginning.
    BeginsFromScratch,
    /// An old primary counts as closed at its last commit.
    DemotedAsClean,
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

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 20] = [
        Rule::AppliesUnsealed,
        Rule::StagingStays,
        Rule::ConsentForAnyEpoch,
        Rule::PromotesUncommitted,
        Rule::ZerosSkipped,
        Rule::ResumesTooFar,
        Rule::PersistsLast,
        Rule::LowerEpochAdmitted,
        Rule::DigestsOfAnotherCut,
        Rule::ForkNotUnited,
        Rule::RedoNotFinished,
        Rule::AppliesAtOnce,
        Rule::BeginsFromScratch,
        Rule::DemotedAsClean,
        Rule::VerifiedByKeptDigests,
        Rule::ForgetsAfterError,
        Rule::BatchesUnsplit,
        Rule::DigestsUnproved,
        Rule::PrimaryAlwaysRight,
        Rule::ShortSourceShipped,
    ];
}

/// Which rule is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    #[cfg(feature = "mutations")]
    broken: Option<Rule>,
}

impl Rules {
    /// Rules of which one may be broken.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn breaking(broken: Option<Rule>) -> Rules {
        Rules { broken }
    }

    /// Whether this rule is broken.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn breaks(self, rule: Rule) -> bool {
        self.broken == Some(rule)
    }

    /// Whether this rule is broken: none ever is.
    #[cfg(not(feature = "mutations"))]
    #[must_use]
    #[inline]
    pub fn breaks(self, _rule: Rule) -> bool {
        false
    }
}

impl Rules {
    /// The request as a mover takes it that minds neither its epoch nor what it has written.
    #[must_use]
    pub(crate) fn mutate_request(self, record: Option<&Record>, mut request: Command) -> Command {
        match (record, &mut request) {
            (Some(record), Command::Promote(promote))
                if self.breaks(Rule::LowerEpochAdmitted)
                    && record.role == Role::Standby
                    && promote.epoch <= record.epoch =>
            {
                promote.epoch = record.epoch.next();
            }
            (Some(record), Command::Demote(demote))
                if self.breaks(Rule::DemotedAsClean) && record.role == Role::Primary =>
            {
                demote.clean_at = record.committed;
            }
            (_, Command::Ship(ship))
                if self.breaks(Rule::ConsentForAnyEpoch) && ship.consent.is_some() =>
            {
                ship.consent = Some(ship.cycle.epoch);
            }
            _ => {}
        }
        request
    }

    /// The plan of a mover that believes digests which it must not.
    #[must_use]
    pub(crate) fn mutate_plan(self, mut plan: Plan, decision: Option<&Decision>) -> Plan {
        let forked = decision.is_some_and(|d| d.row == HandshakeRow::DivergedTail);
        if self.breaks(Rule::DigestsOfAnotherCut) && plan.compare == Compare::Standby
            || self.breaks(Rule::VerifiedByKeptDigests)
                && plan.change_source.source == ChangeSource::Verify
        {
            plan.compare = Compare::Kept;
        }
        if self.breaks(Rule::ForkNotUnited) && forked {
            plan.candidates = Candidates::Everything;
            plan.compare = Compare::Kept;
        }
        plan
    }

    /// The record after a crash, with a complete set taken for applied.
    #[must_use]
    pub(crate) fn mutate_record(self, record: Record) -> Record {
        match record.image {
            ImageState::Redo(cycle)
                if self.breaks(Rule::RedoNotFinished) && record.role == Role::Standby =>
            {
                Record {
                    image: ImageState::Consistent(cycle),
                    applied: Some(cycle),
                    diverged: false,
                    ..record
                }
            }
            _ => record,
        }
    }
}
