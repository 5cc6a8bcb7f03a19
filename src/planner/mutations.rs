//! Wrong rules: each breaks one promise of the planner, where the promise is kept.
//!
//! The simulator has to notice every one of them. Without the feature `mutations` no rule can be
//! broken: [`Rules`] is empty, and what asks it is left out by the compiler.

/// A rule that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The last cut is taken while the application runs.
    ApplicationNotStopped,
    /// A planned change of the role promotes without a last cut.
    LastCutSkipped,
    /// Volumes keep their own reclaim policy while claims are deleted.
    VolumesNotRetained,
    /// Claims are deleted before any volume is reserved for them.
    NothingReserved,
    /// Superseded objects of a volume stay.
    SupersededStays,
    /// The copy of the application's claim is deleted first.
    ForgetsTheClaim,
    /// An old primary of a forced change is demoted as one that has nothing of its own.
    DemotedAsClean,
    /// The snapshots of the common base go before there is a newer one.
    BaseDroppedEarly,
    /// Claims that were made from a cut stay.
    SourceClaimsStay,
    /// The commit is requested before the standby's snapshot is cut.
    CommitsBeforeSnapshot,
    /// The status calls a cut committed before the standby does.
    CommitNotAwaited,
    /// A cut gets the number after the committed one, used or not.
    NumbersReused,
    /// The identity of a new epoch is drawn again at each try.
    GenerationNotRecorded,
    /// A request for an epoch that is over counts.
    StaleRequestCounts,
    /// A request whose object is deleted counts as cancelled.
    DeletionCancels,
    /// A manifest that is applied again moves the role.
    ManifestMovesTheRole,
    /// How many replicas there were is forgotten.
    ReplicasForgotten,
    /// The application's claim stays bound after the last cut.
    ClaimNotParked,
    /// The volume behind a claim is taken for the pair's, whichever it is.
    VolumeNotPinned,
    /// A claim of the right name is the pair's, whoever has made it.
    AdoptedByName,
    /// What a snapshot class retains stays.
    ContentsStay,
    /// A volume whose claim was deleted is not reserved for the next claim of that name.
    VolumeNotReserved,
    /// Consent is passed on whatever epoch it was given for. It shows where the mover does not look at the
    /// epoch either, so it is none of those that show by themselves.
    ConsentEpochIgnored,
}

impl Rule {
    /// All that show by themselves.
    pub const ALL: [Rule; 22] = [
        Rule::AdoptedByName,
        Rule::ContentsStay,
        Rule::ApplicationNotStopped,
        Rule::LastCutSkipped,
        Rule::VolumesNotRetained,
        Rule::NothingReserved,
        Rule::SupersededStays,
        Rule::ForgetsTheClaim,
        Rule::DemotedAsClean,
        Rule::BaseDroppedEarly,
        Rule::SourceClaimsStay,
        Rule::CommitsBeforeSnapshot,
        Rule::CommitNotAwaited,
        Rule::NumbersReused,
        Rule::GenerationNotRecorded,
        Rule::StaleRequestCounts,
        Rule::DeletionCancels,
        Rule::ManifestMovesTheRole,
        Rule::ReplicasForgotten,
        Rule::ClaimNotParked,
        Rule::VolumeNotPinned,
        Rule::VolumeNotReserved,
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
