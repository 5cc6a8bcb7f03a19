//! Why a condition holds or an event happened, as stable names. Each has a page in `docs/runbook.md`.

use crate::text_enum::text_enum;

text_enum! {
/// The reason of a condition, an event or a failed cycle.
Reason {
    /// All is well.
    AllGood,
    /// The first copy is still being made.
    Baseline,
    /// The claim does not exist.
    ClaimNotFound,
    /// The claim is not bound to a volume yet.
    ClaimNotBound,
    /// A claim is bound to another volume than the pair's.
    VolumeReplaced,
    /// The application's volume is the one of the site that the spec does not call primary.
    SitesSwapped,
    /// No snapshot class is named and none fits, or the named one does not exist.
    SnapshotClassNotFound,
    /// The claim's driver takes no snapshots.
    DriverWithoutSnapshots,
    /// The snapshot class belongs to another driver than the volume.
    SnapshotClassMismatch,
    /// The storage class does not exist.
    StorageClassNotFound,
    /// A site's name is not one of this install, or the two are not two.
    SitesInvalid,
    /// The interval is below ten seconds, or not a duration.
    IntervalTooShort,
    /// Another pair already has this claim.
    ClaimInTwoPairs,
    /// The replica is smaller than the source.
    ReplicaTooSmall,
    /// The standby's volume is in use by a pod that is not ours.
    ReplicaInUse,
    /// `mode: Journal` is not there yet.
    ModeNotSupported,
    /// The pair's name is too long to derive names from.
    NameTooLong,
    /// A quantity or a duration of the spec can't be read.
    QuantityInvalid,
    /// The site to promote has no committed point: an empty volume is never promoted.
    NoCommittedPoint,
    /// The request or consent is for another epoch than the current one.
    ConsentForOtherEpoch,
    /// This is the request that counts.
    Following,
    /// A newer request counts instead of this one.
    Superseded,
    /// A forced move is under way, which a planned one can't replace.
    ForcedUnderWay,
    /// The site to promote is primary already.
    AlreadyPrimary,
    /// More would be lost than the request accepts.
    LossTooLarge,
    /// Whoever asked has taken the request back.
    CancelledByRequest,
    /// The site holds nothing that the primary lacks.
    NothingToDiscard,
    /// What only one site held was discarded by consent, and it follows.
    Discarded,
    /// Another volume became the primary's by consent.
    VolumeAdopted,
    /// A side holds writes that nobody else has; consent is needed to discard them.
    Diverged,
    /// Both sides are as they should be.
    NotDiverged,
    /// A quiesce hook failed.
    QuiesceFailed,
    /// The snapshot could not be taken.
    SnapshotFailed,
    /// A mover's pod does not start.
    MoverNotStarting,
    /// A mover runs and does not answer, or does not end.
    MoverNotAnswering,
    /// The API server, or a rule that only a person can judge, refuses what has to be done.
    ActionRefused,
    /// What has to be done fails, because somebody can't be reached.
    ActionFailed,
    /// The cycle failed; see the message.
    CycleFailed,
    /// The change set does not fit into the standby's staging.
    StagingTooSmall,
    /// The primary's committed cut has rotted, and the standby's has not.
    PrimaryDamaged,
    /// A cut's device is shorter than the volume was.
    SourceShrunk,
    /// What the driver made of the first cut is no image of the volume.
    NotABlockImage,
    /// A state volume is full.
    StateVolumeFull,
    /// What a state volume holds can't be read: its side is held.
    StateVolumeUnreadable,
    /// The application still uses the claim.
    WaitingForApplication,
    /// The role is being moved.
    SwitchInProgress,
    /// A planned move of the role was cancelled, and is not tried again by itself.
    RoleChangeCancelled,
    /// The workload deletes its claims when it is scaled down.
    ClaimsGoWhenScaled,
    /// A storage gives its snapshots times that can't be.
    StorageClockOff,
    /// No move of the role is under way.
    NoSwitch,
    /// The committed point is older than twice the interval.
    Behind,
    /// The manifest names another primary than the data.
    ManifestIsStale,
    /// The manifest and the data name the same primary.
    ManifestAgrees,
    /// A cycle was committed.
    CycleCommitted,
    /// The images were never compared.
    NotVerified,
    /// The images were compared and are equal.
    NoDifference,
    /// The images differ; each range is repaired as it is found.
    DifferenceFound,
    /// The images differed, and are equal again.
    DifferenceRepaired,
    /// Comparing the images failed.
    VerifyFailed,
    /// No new cycle begins, because `spec.paused` is set.
    Paused,
    /// A newer version of Ferry has recorded what this one does not know.
    WrittenByNewerVersion,
    /// The role was moved.
    Promoted,
}
}
