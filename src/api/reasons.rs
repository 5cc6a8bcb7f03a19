//! Stable reasons of conditions and events. Each has a heading in `docs/runbook.md`.

/// All is well.
pub const ALL_GOOD: &str = "AllGood";
/// The first copy is still being made.
pub const BASELINE: &str = "Baseline";
/// The claim does not exist.
pub const CLAIM_NOT_FOUND: &str = "ClaimNotFound";
/// The claim is not bound to a volume yet.
pub const CLAIM_NOT_BOUND: &str = "ClaimNotBound";
/// No snapshot class is named and none fits, or the named one does not exist.
pub const SNAPSHOT_CLASS_NOT_FOUND: &str = "SnapshotClassNotFound";
/// The claim's driver takes no snapshots.
pub const DRIVER_WITHOUT_SNAPSHOTS: &str = "DriverWithoutSnapshots";
/// The snapshot class belongs to another driver than the volume.
pub const SNAPSHOT_CLASS_MISMATCH: &str = "SnapshotClassMismatch";
/// The storage class does not exist.
pub const STORAGE_CLASS_NOT_FOUND: &str = "StorageClassNotFound";
/// A site's name is not one of this install, or the two are not two.
pub const SITES_INVALID: &str = "SitesInvalid";
/// The interval is below ten seconds, or not a duration.
pub const INTERVAL_TOO_SHORT: &str = "IntervalTooShort";
/// Another pair already has this claim.
pub const CLAIM_IN_TWO_PAIRS: &str = "ClaimInTwoPairs";
/// The replica is smaller than the source.
pub const REPLICA_TOO_SMALL: &str = "ReplicaTooSmall";
/// The standby's volume is in use by a pod that is not ours.
pub const REPLICA_IN_USE: &str = "ReplicaInUse";
/// `mode: Journal` is not there yet.
pub const MODE_NOT_SUPPORTED: &str = "ModeNotSupported";
/// The pair's name is too long to derive names from.
pub const NAME_TOO_LONG: &str = "NameTooLong";
/// A quantity or a duration of the spec can't be read.
pub const QUANTITY_INVALID: &str = "QuantityInvalid";
/// The site to promote has no committed point: an empty volume is never promoted.
pub const NO_COMMITTED_POINT: &str = "NoCommittedPoint";
/// The order or consent is for another epoch than the current one.
pub const CONSENT_FOR_OTHER_EPOCH: &str = "ConsentForOtherEpoch";
/// A side holds writes that nobody else has; consent is needed to discard them.
pub const DIVERGED: &str = "Diverged";
/// Both sides are as they should be.
pub const NOT_DIVERGED: &str = "NotDiverged";
/// A quiesce hook failed.
pub const QUIESCE_FAILED: &str = "QuiesceFailed";
/// The snapshot could not be taken.
pub const SNAPSHOT_FAILED: &str = "SnapshotFailed";
/// A mover's pod does not start.
pub const MOVER_NOT_STARTING: &str = "MoverNotStarting";
/// The cycle failed; see the message.
pub const CYCLE_FAILED: &str = "CycleFailed";
/// The change set does not fit into the standby's staging.
pub const STAGING_TOO_SMALL: &str = "StagingTooSmall";
/// A metadata volume is full.
pub const METADATA_FULL: &str = "MetadataFull";
/// What a metadata volume holds can't be read: its side is held.
pub const METADATA_UNREADABLE: &str = "MetadataUnreadable";
/// The application still uses the claim.
pub const WAITING_FOR_APPLICATION: &str = "WaitingForApplication";
/// The role is being moved.
pub const SWITCH_IN_PROGRESS: &str = "SwitchInProgress";
/// No move of the role is under way.
pub const NO_SWITCH: &str = "NoSwitch";
/// The committed point is older than twice the interval.
pub const BEHIND: &str = "Behind";
/// The manifest names another primary than the data.
pub const MANIFEST_IS_STALE: &str = "ManifestIsStale";
/// The manifest and the data name the same primary.
pub const MANIFEST_AGREES: &str = "ManifestAgrees";
/// A cycle was committed.
pub const CYCLE_COMMITTED: &str = "CycleCommitted";
/// The images were never compared.
pub const NOT_VERIFIED: &str = "NotVerified";
/// The images were compared and are equal.
pub const NO_DIFFERENCE: &str = "NoDifference";
/// The images differ; each range is repaired as it is found.
pub const DIFFERENCE_FOUND: &str = "DifferenceFound";
/// The images differed, and are equal again.
pub const DIFFERENCE_REPAIRED: &str = "DifferenceRepaired";
/// Comparing the images failed.
pub const VERIFY_FAILED: &str = "VerifyFailed";
/// The role was moved.
pub const PROMOTED: &str = "Promoted";
/// The pair is being deleted.
pub const DELETING: &str = "Deleting";
