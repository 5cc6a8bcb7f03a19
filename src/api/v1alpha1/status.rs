//! What Ferry reports. All of it can be lost: the truth lives with the data.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Reason;
use crate::v1alpha1::{
    ConsentStatus, CyclePhase, FailingAction, QuiesceState, RequestStatus, SiteRole, SwitchKind,
    SwitchStep, VerificationStatus,
};
use protocol::units::{Point, VolumeId};

/// How the pair is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationPairStatus {
    /// The generation of the spec that this report answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds and what does not; see the list of types and reasons in the documentation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The pair's identity, as written on both state volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_id: Option<String>,
    /// The current epoch: how many times the primary role has been given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The identity of the current epoch, as written on both state volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The site that is primary now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// The value of `spec.primary` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_primary: Option<String>,
    /// The UID of the Resync by which the primary's new volume was adopted: a consent counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_by: Option<String>,
    /// The consent to discard what only one site holds that is followed, until that site follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentStatus>,
    /// The newest point that the standby holds completely: what a promotion would bring up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_point: Option<PointStatus>,
    /// The highest number that was ever given to a cut, also to one that was not taken in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<i64>,
    /// The newest cut in which nothing had changed since the committed point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<UnchangedStatus>,
    /// The newest cut taken at the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cut: Option<PointStatus>,
    /// The cycle that is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<CycleStatus>,
    /// The last cycle that was committed, with what it moved and how long its parts took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cycle: Option<FinishedCycle>,
    /// The last cycle that failed, until one is committed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureStatus>,
    /// What the last handshake decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake: Option<HandshakeStatus>,
    /// How the running or last cycle learns what changed, and why no better way is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_source: Option<ChangeSourceStatus>,
    /// The last quiesce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiesce: Option<QuiesceStatus>,
    /// The move of the primary role that is under way, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<SwitchStatus>,
    /// What Ferry waits for, if it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitStatus>,
    /// What could not be done when it was tried last, and is tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<FailingAction>,
    /// The objects of each site.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<SiteStatus>,
    /// The `spec.syncTrigger` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_trigger: Option<String>,
    /// The last comparison of the two images, and the one under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationStatus>,
    /// What the pair's movers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub movers: Option<MoversStatus>,
}

/// What movers run, so that a pod beside them can run the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MoversStatus {
    /// The image.
    pub image: String,
    /// Names of the secrets that it is pulled with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
}

/// A point of the pair's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PointStatus {
    /// `epoch.seq`, as people read it.
    pub label: String,
    /// The epoch of the cut.
    pub epoch: i64,
    /// The cut's number; it never goes back.
    pub seq: i64,
    /// When the cut was made at the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_at: Option<Time>,
}

impl PointStatus {
    /// The report of `point`, cut at `cut_at`.
    #[must_use]
    pub fn new(point: Point, cut_at: Option<Time>) -> PointStatus {
        let int = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        PointStatus {
            label: point.to_string(),
            epoch: int(point.epoch.0),
            seq: int(point.seq.0),
            cut_at,
        }
    }

    /// The point; negative numbers, which only a person can have written, count as 0.
    #[must_use]
    pub fn point(&self) -> Point {
        Point::new(
            u64::try_from(self.epoch).unwrap_or(0),
            u64::try_from(self.seq).unwrap_or(0),
        )
    }
}

/// A cut that was abandoned: the standby held all that the primary had written when it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnchangedStatus {
    /// The cut.
    pub point: PointStatus,
    /// The label of the committed point that it equals; without that point this says nothing.
    pub since: String,
    /// From the beginning of its cycle to its end, in milliseconds.
    pub total_ms: i64,
    /// Taking the snapshot, in milliseconds.
    pub snapshot_ms: i64,
}

impl ReplicationPairStatus {
    /// The cut that the committed point was last found to equal, if it is newer than that point.
    #[must_use]
    pub fn unchanged_cut(&self) -> Option<&PointStatus> {
        let committed = self.committed_point.as_ref()?;
        let unchanged = self.unchanged.as_ref()?;
        (unchanged.since == committed.label).then_some(&unchanged.point)
    }

    /// Up to when the standby holds everything that was written at the primary.
    #[must_use]
    pub fn standby_as_of(&self) -> Option<&Time> {
        let equal = self.unchanged_cut().and_then(|cut| cut.cut_at.as_ref());
        equal.or_else(|| self.committed_point.as_ref()?.cut_at.as_ref())
    }
}

/// A running cycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CycleStatus {
    /// The cut that is being shipped.
    pub point: PointStatus,
    /// `Quiescing`, `Cutting`, `Starting`, `Shipping`, `Applying`, `Committing`.
    pub phase: CyclePhase,
    /// When the cycle began.
    pub started_at: Time,
    /// How many times it has been tried.
    #[serde(default)]
    pub attempt: i64,
    /// Bytes that have to be read, as far as known.
    #[serde(default)]
    pub planned_bytes: i64,
    /// Bytes of those that are done.
    #[serde(default)]
    pub done_bytes: i64,
    /// Bytes put on the wire.
    #[serde(default)]
    pub wire_bytes: i64,
    /// Bytes a second on the wire since shipping began.
    #[serde(default)]
    pub bytes_per_second: i64,
    /// Seconds until shipping is done, at the present rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<i64>,
    /// When the mover pods were first asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_done_at: Option<Time>,
}

/// A committed cycle: what it moved, and where the time went (milliseconds).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinishedCycle {
    /// The point's label, `epoch.seq`.
    pub point: String,
    /// How it learnt what had changed.
    pub change_source: String,
    /// Changed bytes that are data.
    pub data_bytes: i64,
    /// Changed bytes that are zero.
    pub zero_bytes: i64,
    /// Bytes read from the source.
    pub read_bytes: i64,
    /// Bytes on the wire.
    pub wire_bytes: i64,
    /// From the beginning to the commit.
    pub total_ms: i64,
    /// The application was held by hooks.
    pub held_ms: i64,
    /// Taking the snapshot.
    pub snapshot_ms: i64,
    /// Waiting for the movers' pods and volumes.
    pub start_ms: i64,
    /// Agreeing on how to catch up.
    pub handshake_ms: i64,
    /// Reading, sending and staging.
    pub ship_ms: i64,
    /// Applying and flushing.
    pub apply_ms: i64,
    /// Cutting the standby's snapshot and recording the commit.
    pub commit_ms: i64,
    /// When it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Time>,
}

/// A failed cycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureStatus {
    /// The point's label, `epoch.seq`.
    pub point: String,
    /// A stable reason.
    pub reason: Reason,
    /// What happened and what to do.
    pub message: String,
    /// How many times in a row.
    pub attempts: i64,
    /// When.
    pub at: Time,
}

/// A handshake's outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HandshakeStatus {
    /// `None`, `Log`, `Bitmap`, `Full`, `Diverged` or `Refuse`.
    pub mode: String,
    /// The row of the table that matched.
    pub row: String,
    /// Why.
    pub reason: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// The change source in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeSourceStatus {
    /// `Delta`, `Allocated`, `Digests`, `FullRead` or `Verify`.
    pub source: String,
    /// Why no better one.
    pub reason: String,
}

/// A quiesce.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuiesceStatus {
    /// The cut's label, `epoch.seq`.
    pub point: String,
    /// When the first `pre` hook was started.
    pub held_at: Time,
    /// When the last `post` hook ended; absent while the application may still be held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
    /// How long the application was held, in milliseconds.
    #[serde(default)]
    pub held_ms: i64,
    /// `Held`, `Released`, or `Failed` with the message below.
    pub state: QuiesceState,
    /// What a hook said when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Pods in which `pre` was tried, so that `post` is run there after a restart too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
}

/// A move of the primary role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwitchStatus {
    /// `Planned` or `Forced`.
    pub kind: SwitchKind,
    /// The Promotion that it was begun for; absent where `spec.primary` was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestStatus>,
    /// The site that was primary.
    pub from: String,
    /// The site that becomes primary.
    pub to: String,
    /// The epoch that the switch starts.
    pub epoch: i64,
    /// The identity of that epoch, drawn before the first try.
    pub generation: String,
    /// The step that is being done; `Done` when all are.
    pub step: SwitchStep,
    /// When it was asked for.
    pub started_at: Time,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The point that was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_point: Option<PointStatus>,
    /// Replicas that the application had before it was scaled down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    /// What a forced switch lost, as far as it can be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Since when it is at this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_since: Option<Time>,
    /// Why the role stays where it was, once that is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
    /// Who used the old volume after the last cut: it is not clean then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbed: Option<String>,
    /// How often the application was scaled up again after it had been stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_ups: Option<i64>,
    /// Whether the application has been seen stopped since it was scaled up last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<bool>,
    /// How many last cuts were begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cuts: Option<i64>,
}

impl SwitchStatus {
    /// A move that begins `now` at `step`, of which nothing else is known.
    #[must_use]
    pub fn at(step: SwitchStep, now: Time) -> SwitchStatus {
        SwitchStatus {
            kind: SwitchKind::Planned,
            request: None,
            from: String::new(),
            to: String::new(),
            epoch: 0,
            generation: String::new(),
            step,
            started_at: now.clone(),
            finished_at: None,
            promoted_point: None,
            replicas: None,
            loss: None,
            step_since: Some(now),
            cancelled: None,
            disturbed: None,
            scale_ups: None,
            stopped: None,
            last_cuts: None,
        }
    }
}

/// Something that Ferry waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitStatus {
    /// What for, as a sentence that names the objects.
    #[serde(rename = "for")]
    pub what: String,
    /// Since when.
    pub since: Time,
}

/// The objects of one site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// The site.
    pub name: String,
    /// `Primary` or `Standby`.
    pub role: String,
    /// The claim that holds the site's volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// The PersistentVolume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// The volume's CSI driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The volume's handle at its driver: what stays when a PersistentVolume object is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// The state claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_claim: Option<String>,
    /// Snapshots that Ferry keeps here, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
    /// The site's last promotion, and which snapshots it had by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<PromotedStatus>,
    /// Whether the site may hold writes that nobody else has.
    #[serde(default)]
    pub diverged: bool,
    /// The committed point whose copy a foreign pod was seen to use: it counts once it was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted: Option<String>,
    /// What its superblock said when a mover read it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superblock: Option<SuperblockStatus>,
}

/// The promotion of a site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotedStatus {
    /// The epoch that began with it.
    pub epoch: i64,
    /// The points of the snapshots that were cut by then. One of an older epoch that is cut later, however
    /// late it was asked for, holds something else: it counts for nothing and is deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
}

impl PromotedStatus {
    /// Whether a snapshot of `point` at the site is of something else, now that the pair is in `epoch`: a
    /// promotion that was withdrawn has begun none.
    #[must_use]
    pub fn is_late(&self, point: Point, epoch: Option<i64>) -> bool {
        let begun = epoch.is_some_and(|epoch| epoch >= self.epoch);
        let older = i64::try_from(point.epoch.0).is_ok_and(|epoch| epoch < self.epoch);
        begun && older && !self.snapshots.contains(&point.to_string())
    }
}

impl SiteStatus {
    /// The site's volume, where it is recorded.
    #[must_use]
    pub fn volume_id(&self) -> Option<VolumeId> {
        Some(VolumeId {
            driver: self.driver.clone()?,
            handle: self.handle.clone()?,
        })
    }
}

/// A site's superblock, as it was read last: the truth about the site's role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuperblockStatus {
    /// `Primary` or `Standby`.
    pub role: SiteRole,
    /// The epoch of that role.
    pub epoch: i64,
    /// The point that the site has recorded as committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<PointStatus>,
}
