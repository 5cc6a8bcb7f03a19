//! What goes wrong in a cluster, mixed by the seed.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use rand::Rng;
use rand::rngs::StdRng;

use crate::cluster::admission::{Kind as Refused, PARTS};
use crate::cluster::mover::Mover;
use crate::cluster::reconcile::Operator;
use crate::cluster::run::{ClusterOptions, Focus};
use crate::cluster::scheduler::NODES;
use crate::cluster::world::{APP_CLAIM, APP_POD, PAIR, SITES, World};
use api::names;

/// Which faults a run has, and how often.
pub(crate) struct Faults {
    kinds: Vec<ClusterFault>,
    /// Those that do not happen although they are drawn.
    without: Vec<ClusterFault>,
    one_in: u32,
    /// The role is forced as soon as a part of a set has arrived.
    force_meanwhile: bool,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterFault {
    /// A mover's pod is evicted.
    MoverDies,
    /// Nobody reaches anybody for a while.
    NetworkDown,
    /// An operator ends between two actions; what it kept in memory is gone.
    OperatorDies,
    /// A second operator leads for a lease period.
    SecondLeader,
    /// An operator stands still, another leads, and then it goes on where it was.
    LeaderStalls,
    /// The status is wiped (K-13).
    StatusWiped,
    /// Somebody else writes the pair: the operator's next write conflicts.
    PairTouched,
    /// A driver's snapshotter is stopped.
    SnapshotterStopped,
    /// Snapshots fail.
    SnapshotFails,
    /// Volumes are neither made nor deleted.
    ProvisionerStopped,
    /// The volume controller's cache lags.
    CacheLags,
    /// Claims are over the quota.
    Quota,
    /// Pods are not admitted.
    PodsRefused,
    /// A webhook for snapshots is down.
    WebhookDown,
    /// K-8: a part of all that the operator does is refused.
    ActionsRefused,
    /// K-9: a mover's process is stopped, and does nothing any more.
    MoverHangs,
    /// A node stops answering.
    NodeDead,
    /// Volumes stay attached.
    DetachStopped,
    /// Time passes.
    Clock,
    /// People ask for a planned change.
    Planned,
    /// People ask for a forced one.
    Forced,
    /// The primary is lost while a set arrives at the standby, and people force the role to go there.
    ForcedMeanwhile,
    /// People withdraw their request.
    Withdrawn,
    /// People consent; perhaps it is an old consent before long.
    Consent,
    /// The application's pod is deleted, and made again by its controller.
    AppRestarts,
    /// A GitOps tool applies the manifest of the pair again.
    Reapplied,
    /// A GitOps tool deletes requests that it does not know.
    RequestsPruned,
    /// Somebody creates a request again that was made before.
    AskedAgain,
    /// A GitOps tool creates the application's claim again while a re-binding has it gone.
    ClaimReapplied,
    /// People ask for a comparison of the sides.
    Compared,
    /// A snapshot is ready, and then it is not.
    ReadyFlaps,
    /// Everything works again.
    Heal,
    /// K-4, K-27: somebody scales the application up during a change of the role.
    ScaledUpMeanwhile,
    /// K-1, K-2: somebody deletes the application's claim.
    ClaimDeleted,
    /// K-1: somebody deletes the standby's claim.
    ReplicaDeleted,
    /// K-3: somebody else makes a claim of the name that a replica's would have.
    NameTaken,
    /// K-21: the workload's claims go when it is scaled away.
    ClaimsGoWhenScaled,
}

/// All that are mixed in.
pub const CLUSTER_FAULTS: [ClusterFault; 37] = [
    ClusterFault::ForcedMeanwhile,
    ClusterFault::NameTaken,
    ClusterFault::ActionsRefused,
    ClusterFault::MoverHangs,
    ClusterFault::ClaimsGoWhenScaled,
    ClusterFault::ClaimDeleted,
    ClusterFault::ReplicaDeleted,
    ClusterFault::Compared,
    ClusterFault::ScaledUpMeanwhile,
    ClusterFault::MoverDies,
    ClusterFault::NetworkDown,
    ClusterFault::OperatorDies,
    ClusterFault::SecondLeader,
    ClusterFault::LeaderStalls,
    ClusterFault::StatusWiped,
    ClusterFault::PairTouched,
    ClusterFault::SnapshotterStopped,
    ClusterFault::SnapshotFails,
    ClusterFault::ProvisionerStopped,
    ClusterFault::CacheLags,
    ClusterFault::Quota,
    ClusterFault::PodsRefused,
    ClusterFault::WebhookDown,
    ClusterFault::NodeDead,
    ClusterFault::DetachStopped,
    ClusterFault::Clock,
    ClusterFault::Planned,
    ClusterFault::Forced,
    ClusterFault::Withdrawn,
    ClusterFault::Consent,
    ClusterFault::AppRestarts,
    ClusterFault::Reapplied,
    ClusterFault::RequestsPruned,
    ClusterFault::AskedAgain,
    ClusterFault::ClaimReapplied,
    ClusterFault::ReadyFlaps,
    ClusterFault::Heal,
];

/// How many times as often as others those happen that are to happen often.
const OFTEN: usize = 4;

/// What asks for the role at the wrong time, and stops what moves it.
const OF_ROLES: [ClusterFault; 8] = [
    ClusterFault::ForcedMeanwhile,
    ClusterFault::Withdrawn,
    ClusterFault::AskedAgain,
    ClusterFault::RequestsPruned,
    ClusterFault::OperatorDies,
    ClusterFault::SecondLeader,
    ClusterFault::LeaderStalls,
    ClusterFault::MoverDies,
];

/// What moves the role, over and over: so many times as often as each of those.
const MOVING: [(ClusterFault, usize); 3] = [
    (ClusterFault::Planned, 8),
    (ClusterFault::Forced, 8),
    (ClusterFault::Consent, 4),
];

/// Those that move roles and stop processes.
const NEAR_THE_DATA: [ClusterFault; 12] = [
    ClusterFault::ForcedMeanwhile,
    ClusterFault::MoverDies,
    ClusterFault::NetworkDown,
    ClusterFault::OperatorDies,
    ClusterFault::SecondLeader,
    ClusterFault::LeaderStalls,
    ClusterFault::StatusWiped,
    ClusterFault::Planned,
    ClusterFault::Forced,
    ClusterFault::Consent,
    ClusterFault::Compared,
    ClusterFault::Heal,
];

impl Faults {
    /// Those of a run.
    pub(crate) fn drawn(random: &mut StdRng, options: &ClusterOptions) -> Faults {
        let mut kinds: Vec<ClusterFault> = CLUSTER_FAULTS
            .into_iter()
            .filter(|_| random.random_range(0..5) < 3)
            .collect();
        match options.focus {
            Focus::Everything | Focus::Cluster => {}
            Focus::Data => kinds.retain(|kind| NEAR_THE_DATA.contains(kind)),
            Focus::Roles => {
                let moving = MOVING.into_iter();
                let moving = moving.flat_map(|(kind, often)| vec![kind; often]);
                kinds = OF_ROLES.into_iter().chain(moving).collect();
            }
        }
        // A change of the role takes some hundreds of steps.
        let calm = if options.focus == Focus::Roles { 4 } else { 1 };
        kinds.extend([
            ClusterFault::Heal,
            ClusterFault::Planned,
            ClusterFault::Consent,
        ]);
        for _ in 0..OFTEN {
            kinds.extend(&options.often);
        }
        Faults {
            kinds,
            without: options.without.clone(),
            one_in: calm * [12, 25, 50][random.random_range(0..3)],
            force_meanwhile: false,
        }
    }
}

impl World {
    /// Perhaps something goes wrong now.
    pub(crate) fn fault(&mut self) {
        if self.faults.force_meanwhile {
            self.force_meanwhile();
        }
        if self.random.random_range(0..self.faults.one_in) != 0 {
            return;
        }
        let kind = self.faults.kinds[self.random.random_range(0..self.faults.kinds.len())];
        if self.faults.without.contains(&kind) {
            return;
        }
        let now = self.millis();
        self.story.tell(now, 2, || format!("fault: {kind:?}"));
        self.happen(kind);
        self.server.changed();
    }

    fn happen(&mut self, kind: ClusterFault) {
        let at = self.random.random_range(0..2);
        match kind {
            ClusterFault::MoverDies => self.server.delete_pod(&names::mover(PAIR, SITES[at]), None),
            ClusterFault::MoverHangs => self.hang_mover(at),
            ClusterFault::NetworkDown => {
                let now = self.millis();
                self.net.cut(now);
                self.net.down_until = now + self.random.random_range(0..30_000);
            }
            ClusterFault::OperatorDies => {
                self.operators[0] = Operator::default();
                self.feeds_end();
            }
            ClusterFault::SecondLeader => match self.operators.len() {
                1 => self.operators.push(Operator::default()),
                _ => {
                    self.operators.truncate(1);
                    self.feeds_end();
                }
            },
            ClusterFault::LeaderStalls => {
                let seconds = self.random.random_range(1..120);
                let until = self.server.now() + SignedDuration::from_secs(seconds);
                self.operators[0].stalled_until = until;
                if self.operators.len() == 1 {
                    self.operators.push(Operator::default());
                }
            }
            ClusterFault::StatusWiped => self.wipe_status(),
            ClusterFault::PairTouched => self.edit(|_| {}),
            ClusterFault::Clock => {
                let seconds = self.random.random_range(1..600);
                self.pass(SignedDuration::from_secs(seconds));
            }
            ClusterFault::Planned | ClusterFault::Forced => {
                if !self.is_moving() {
                    self.want_role_moved(kind == ClusterFault::Forced);
                }
            }
            ClusterFault::ForcedMeanwhile => self.faults.force_meanwhile = true,
            ClusterFault::Withdrawn => self.withdraw(),
            ClusterFault::Consent => {
                // Some answer late, for what the pair was before.
                let late = i64::from(self.random.random_range(0..3) == 0);
                self.consent_for(late);
            }
            ClusterFault::AppRestarts => self.server.delete_pod(APP_POD, None),
            ClusterFault::Reapplied => self.edit(|spec| spec.primary = SITES[0].into()),
            ClusterFault::RequestsPruned => self.prune_requests(),
            ClusterFault::AskedAgain => self.ask_again(),
            ClusterFault::ClaimReapplied => {
                let patient = self.random.random();
                self.reapply_claim(patient);
            }
            ClusterFault::Compared => self.want_comparison(),
            ClusterFault::Heal => self.heal(),
            ClusterFault::ScaledUpMeanwhile => self.server.scale_up("argocd-controller"),
            ClusterFault::ClaimDeleted | ClusterFault::ReplicaDeleted if !self.has_begun() => {}
            ClusterFault::ClaimDeleted => self.server.objects.delete_claim(APP_CLAIM),
            ClusterFault::ReplicaDeleted => {
                let claim = names::replica_claim(PAIR, SITES[at]);
                self.stranger_goes(&claim);
                self.server.objects.delete_claim(&claim);
            }
            ClusterFault::NameTaken => self.stranger_comes(at),
            _ => self.break_something(kind, at),
        }
    }

    /// Forces the role to a standby at which a part of a set has arrived; its primary is away from then on.
    fn force_meanwhile(&mut self) {
        let mut movers = self.movers.iter().flatten();
        let arrives = |mover: &Mover| {
            let receiving = mover.host.receiving.as_ref();
            receiving.is_some_and(|receiving| receiving.through() > 0)
        };
        if self.is_moving() || !movers.any(arrives) {
            return;
        }
        self.faults.force_meanwhile = false;
        let now = self.millis();
        self.net.cut(now);
        self.net.down_until = now + self.random.random_range(0..10_000);
        self.want_role_moved(true);
    }

    fn break_something(&mut self, kind: ClusterFault, at: usize) {
        let health = &mut self.server.health;
        let admission = &mut self.server.admission;
        match kind {
            ClusterFault::SnapshotterStopped => {
                health
                    .snapshotter_stopped
                    .insert(format!("{}.csi", SITES[at]));
            }
            ClusterFault::SnapshotFails => health.snapshot_error = Some("no space".into()),
            ClusterFault::ProvisionerStopped => health.provisioner_stopped = true,
            ClusterFault::CacheLags => {
                health.cache_lags = true;
                self.server.catch_up();
            }
            ClusterFault::Quota => admission.refused.push(Refused::Claim),
            ClusterFault::PodsRefused => admission.refused.push(Refused::Pod),
            ClusterFault::ActionsRefused => {
                admission.part_refused = Some(self.random.random_range(0..PARTS));
            }
            ClusterFault::WebhookDown => admission.refused.push(Refused::Snapshot),
            ClusterFault::NodeDead => {
                health.dead_nodes.insert(NODES[at].into());
            }
            ClusterFault::DetachStopped => health.detach_stopped = true,
            ClusterFault::ReadyFlaps => health.ready_flaps = true,
            ClusterFault::ClaimsGoWhenScaled => {
                if let Some(workload) = &mut self.server.workload {
                    workload.claims_go_when_scaled = true;
                }
            }
            _ => {}
        }
    }

    /// Lists of changes that a process of the operator was feeding stay unfinished.
    fn feeds_end(&mut self) {
        for mover in self.movers.iter_mut().flatten() {
            mover.host.parts.clear();
        }
    }

    /// Whether both sites say who they are.
    fn has_begun(&self) -> bool {
        [0, 1].iter().all(|at| self.superblock(*at).is_some())
    }

    pub(crate) fn wipe_status(&mut self) {
        let stamp = self.server.objects.stamp();
        if let Some(pair) = &mut self.server.pair {
            pair.status = None;
            pair.metadata.resource_version = Some(stamp);
        }
    }

    /// Everything works again; what is lost stays lost.
    pub(crate) fn heal(&mut self) {
        self.server.health = Default::default();
        self.server.admission = Default::default();
        self.net.down_until = 0;
        self.heal_data();
        self.operators.truncate(1);
        self.operators[0].stalled_until = Timestamp::UNIX_EPOCH;
        let pods: Vec<String> = self
            .server
            .pods
            .values()
            .map(|pod| pod.name_any())
            .collect();
        self.server.changes += pods.len() as u64;
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, time: SignedDuration) {
        self.server.objects.now += time;
    }
}
