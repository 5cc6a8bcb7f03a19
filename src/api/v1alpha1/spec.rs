//! What people ask for.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::v1alpha1::ReplicationPairStatus;

/// What a duration looks like: numbers with a unit, largest unit first.
pub(super) const DURATION: &str = r"^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";

/// One volume at two sites: the claim at the primary site is replicated to the other one, and the
/// primary role can be moved without losing data.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column has a type of its own"
)]
#[kube(
    group = "ferry.dev",
    version = "v1alpha1",
    kind = "ReplicationPair",
    plural = "replicationpairs",
    shortname = "rp",
    category = "ferry",
    namespaced,
    status = "ReplicationPairStatus",
    derive = "PartialEq",
    doc = "One volume at two sites. Apply it beside the claim; `kubectl ferry status` shows how it goes.",
    selectable = ".spec.claimName",
    selectable = ".status.primary",
    printcolumn(
        name = "Primary",
        type_ = "string",
        json_path = ".status.primary",
        description = "The site that the application writes at."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the standby can be promoted and replication goes on."
    ),
    printcolumn(
        name = "Point",
        type_ = "string",
        json_path = ".status.committedPoint.label",
        description = "The newest point that the standby holds completely."
    ),
    printcolumn(
        name = "Last-Cut",
        type_ = "date",
        json_path = ".status.committedPoint.cutAt",
        description = "When that point was cut at the primary."
    ),
    printcolumn(
        name = "Claim",
        type_ = "string",
        json_path = ".spec.claimName",
        priority = "1",
        description = "The claim that the application mounts."
    ),
    printcolumn(
        name = "ChangeSource",
        type_ = "string",
        json_path = ".status.changeSource.source",
        priority = "1",
        description = "How the last cycle learnt what had changed."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = "1",
        description = "Why Ready is what it is."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.claimName == oldSelf.claimName")
    .message("claimName can't be changed: a pair belongs to one volume. Create another pair for another claim."))]
#[x_kube(validation = Rule::new("self.sites.all(s, oldSelf.sites.exists(o, o.name == s.name))")
    .message("the names of the two sites can't be changed: each names a copy of the data. Create another pair."))]
#[x_kube(validation = Rule::new("self.sites.size() != 2 || self.sites[0].name != self.sites[1].name")
    .message("sites must be two different sites"))]
#[x_kube(validation = Rule::new("self.sites.exists(s, s.name == self.primary)")
    .message("primary must be the name of one of the two sites"))]
pub struct ReplicationPairSpec {
    /// Name of the claim that the application mounts, in this namespace. It never changes; Ferry
    /// binds it to the primary site's volume.
    #[x_kube(validation = Rule::new("self.size() > 0").message("claimName must name a claim"))]
    #[schemars(length(max = 253))]
    pub claim_name: String,

    /// The site that should be primary. Changing it asks for a planned switch, which loses nothing
    /// or does not happen. A manifest that is applied again unchanged never moves the role.
    #[schemars(length(min = 1, max = 63))]
    pub primary: String,

    /// The two sites, each with the storage that its copy lives on.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(min = 2, max = 2))]
    pub sites: Vec<SiteSpec>,

    /// How changes are found. `Snapshot` works with every CSI driver that takes snapshots; `Journal`
    /// is not there yet and is refused with a condition.
    #[serde(default)]
    pub mode: Mode,

    /// When and with what snapshots are taken.
    #[serde(default)]
    pub snapshot: SnapshotSpec,

    /// What is run in the application's pods round a snapshot.
    #[serde(default)]
    pub quiesce: QuiesceSpec,

    /// How data travels.
    #[serde(default)]
    pub transfer: TransferSpec,

    /// The workload that uses the claim. When named, Ferry scales it down for a switch and up again
    /// after it. Without it Ferry waits until no pod uses the claim, and names those that do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationRef>,

    /// The longest that a planned change of the primary role may stand still. Beyond it the change is
    /// cancelled, and the application runs again where it was.
    #[serde(default = "role_change_timeout")]
    #[schemars(length(min = 2, max = 32))]
    pub role_change_timeout: String,

    /// Any text; a cycle is started when it changes, and `status.lastSyncTrigger` then repeats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub sync_trigger: Option<String>,

    /// When and how fast the standby's image is compared with the primary's, and repaired where it
    /// differs. The application is not touched, and cycles go first.
    #[serde(default)]
    pub verify: VerifySpec,

    /// Any text; a verification is started when it changes, and `status.verification.trigger` repeats
    /// it at the end. `kubectl ferry verify` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub verify_trigger: Option<String>,

    /// Begin no new cycle and no verification. The cycle that runs is finished, and the primary role
    /// can still be moved. `kubectl ferry pause` and `kubectl ferry resume` write it.
    #[serde(default)]
    pub paused: bool,

    /// What becomes of the standby's volume when the pair is deleted. The application's volume is
    /// never touched.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// One end of the pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteSpec {
    /// The site's name: one of those that the operators were installed for.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Storage class of the volumes that Ferry makes at this site. The cluster's default class when
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// Snapshot class at this site; overrides `snapshot.volumeSnapshotClassName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub volume_snapshot_class_name: Option<String>,
    /// A claim of the replica's name that an earlier pair has left here (`deletionPolicy: Retain`): it is
    /// taken over, and what it holds is overwritten. Without it such a claim is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub replica_claim_name: Option<String>,
}

/// How changes are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// CSI snapshots at an interval; the application's write path is not touched.
    #[default]
    Snapshot,
    /// Every write is numbered and shipped continuously. Not there yet.
    Journal,
}

/// When and with what snapshots are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSpec {
    /// Time from one cut to the next, such as `30s`, `5m`, `1h30m` or `1d`; at least `10s`.
    #[serde(default = "default_interval")]
    #[x_kube(validation = Rule::new("self.contains('d') || duration(self) >= duration('10s')")
        .message("the shortest interval is 10s: below it, snapshots and pods would cost more than the copy"))]
    #[schemars(
        length(min = 2, max = 16),
        regex(pattern = DURATION)
    )]
    pub interval: String,
    /// Snapshot class for both sites. When left out, the one class of the claim's driver is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub volume_snapshot_class_name: Option<String>,
}

/// What is run in the application's pods round a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuiesceSpec {
    /// Hooks, run in this order before the cut and in reverse order after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub hooks: Vec<HookSpec>,
}

/// One quiesce hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookSpec {
    /// Labels of the pods to run it in; without any, the running pods that use the claim.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub pod_labels: std::collections::BTreeMap<String, String>,
    /// Container to run it in; the pod's first one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub container: Option<String>,
    /// Command that holds the application before the cut.
    #[schemars(length(min = 1, max = 64))]
    pub pre: Vec<String>,
    /// Command that releases it. It always runs once `pre` was tried, also when the cut fails or
    /// the operator restarts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub post: Vec<String>,
    /// Longest time for either command, in seconds.
    #[serde(default = "default_hook_timeout")]
    #[schemars(range(min = 1, max = 600))]
    pub timeout_seconds: i64,
    /// What to do when `pre` fails or takes too long.
    #[serde(default)]
    pub on_failure: HookFailure,
}

/// What to do when a `pre` hook fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookFailure {
    /// Take no cut; try again at the next interval.
    #[default]
    Abort,
    /// Take the cut all the same; it is then only crash-consistent, and status says so.
    Continue,
}

/// How data travels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransferSpec {
    /// The most bytes a second on the wire, such as `200Mi`; unlimited when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$")
    )]
    pub bandwidth: Option<String>,
    /// Windows of the day with a limit of their own. The first window that is open counts; outside
    /// all of them `bandwidth` does. A change takes effect at once, also in the middle of a cycle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub bandwidth_schedule: Vec<BandwidthWindow>,
    /// Time zone of `bandwidthSchedule`, by its IANA name, such as `Europe/Madrid`; UTC when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: Option<String>,
    /// Whether payloads are compressed; `auto` measures and stops where it does not pay.
    #[serde(default)]
    pub compression: CompressionSpec,
    /// A cycle's attempt fails when nothing has moved for this many seconds.
    #[serde(default = "default_stall_timeout")]
    #[schemars(range(min = 5, max = 3600))]
    pub stall_timeout_seconds: i64,
    /// Size of each site's state claim (staging, digests, superblock), such as `2Gi`. When left
    /// out: a tenth of the volume, at least 512Mi. A cycle's changes have to fit. Raised later, the
    /// claims grow; they never shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$")
    )]
    pub state_volume_size: Option<String>,
}

/// When and how fast the images of both sites are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifySpec {
    /// Time from the end of one verification to the beginning of the next, such as `7d`; at least
    /// `1m`. Only on demand when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.contains('d') || duration(self) >= duration('1m')")
        .message("the shortest interval of comparisons is 1m"))]
    #[schemars(
        length(min = 2, max = 16),
        regex(pattern = DURATION)
    )]
    pub interval: Option<String>,
    /// The most bytes a second that each side reads for it, such as `200Mi`; at least `1Mi`.
    #[serde(default = "default_verify_rate")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$")
    )]
    pub rate: String,
}

/// A window of the day, by the wall clock, with a limit of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.from != self.to")
    .message("a window has to have a length: from and to must differ"))]
pub struct BandwidthWindow {
    /// When it opens, such as `22:00`.
    #[schemars(
        length(min = 5, max = 5),
        regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    )]
    pub from: String,
    /// When it closes; on the next day when that is not after `from`.
    #[schemars(
        length(min = 5, max = 5),
        regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    )]
    pub to: String,
    /// The most bytes a second on the wire while it is open, such as `1Gi`; unlimited when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        regex(pattern = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$")
    )]
    pub bandwidth: Option<String>,
}

/// Whether payloads are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CompressionSpec {
    /// Never. Not called `off`: YAML 1.1, which Kubernetes reads, takes that for `false`.
    #[serde(rename = "none")]
    Off,
    /// Always lz4.
    Lz4,
    /// Always zstd.
    Zstd,
    /// Measure, and stop where it does not pay.
    #[default]
    Auto,
}

/// A workload in the pair's namespace that has a `scale` subresource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationRef {
    /// API version, such as `apps/v1`.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// Kind, such as `Deployment` or `StatefulSet`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The name of the workload, in the namespace of the pair.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What becomes of the standby's volume when the pair is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The replica claim and its volume stay.
    #[default]
    Retain,
    /// The replica claim is deleted, and its volume by its storage class's rule.
    Delete,
}

impl Default for SnapshotSpec {
    fn default() -> SnapshotSpec {
        SnapshotSpec {
            interval: default_interval(),
            volume_snapshot_class_name: None,
        }
    }
}

impl Default for TransferSpec {
    fn default() -> TransferSpec {
        TransferSpec {
            bandwidth: None,
            bandwidth_schedule: Vec::new(),
            time_zone: None,
            compression: CompressionSpec::default(),
            stall_timeout_seconds: default_stall_timeout(),
            state_volume_size: None,
        }
    }
}

impl Default for VerifySpec {
    fn default() -> VerifySpec {
        VerifySpec {
            interval: None,
            rate: default_verify_rate(),
        }
    }
}

fn default_verify_rate() -> String {
    "64Mi".into()
}

fn default_interval() -> String {
    "5m".into()
}

fn role_change_timeout() -> String {
    "2m".into()
}

fn default_hook_timeout() -> i64 {
    30
}

fn default_stall_timeout() -> i64 {
    60
}
