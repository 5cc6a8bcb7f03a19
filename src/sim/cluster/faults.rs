//! What goes wrong in a cluster, mixed by the seed.
//!
//! What the planner can't live through yet is not mixed in: each such kind names the statement of the
//! semantics that it belongs to.

use jiff::SignedDuration;
use kube::ResourceExt as _;
use rand::Rng;
use rand::rngs::StdRng;

use crate::cluster::admission::Kind as Refused;
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
    /// The status is wiped while no role changes (K-13 for the rest, K-15 for a pair that has not begun).
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
    /// People withdraw their request.
    Withdrawn,
    /// People consent; perhaps it is an old consent before long.
    Consent,
    /// The application's pod is deleted, and made again by its controller.
    AppRestarts,
    /// A GitOps tool applies the manifest of the pair again.
    Reapplied,
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
    /// K-13: the status is wiped during a change of the role.
    StatusWipedMeanwhile,
    /// K-21: the workload's claims go when it is scaled away.
    ClaimsGoWhenScaled,
}

/// All that are mixed in.
pub const CLUSTER_FAULTS: [ClusterFault; 30] = [
    ClusterFault::ClaimsGoWhenScaled,
    ClusterFault::ClaimDeleted,
    ClusterFault::ReplicaDeleted,
    ClusterFault::Compared,
    ClusterFault::ScaledUpMeanwhile,
    ClusterFault::MoverDies,
    ClusterFault::NetworkDown,
    ClusterFault::OperatorDies,
    ClusterFault::SecondLeader,
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
    ClusterFault::ClaimReapplied,
    ClusterFault::ReadyFlaps,
    ClusterFault::Heal,
];

/// Those by which a claim goes.
const LOSING_CLAIMS: [ClusterFault; 3] = [
    ClusterFault::ClaimDeleted,
    ClusterFault::ReplicaDeleted,
    ClusterFault::ClaimsGoWhenScaled,
];

/// Those that move roles and stop processes.
const NEAR_THE_DATA: [ClusterFault; 10] = [
    ClusterFault::MoverDies,
    ClusterFault::NetworkDown,
    ClusterFault::OperatorDies,
    ClusterFault::SecondLeader,
    ClusterFault::StatusWiped,
    ClusterFault::Planned,
    ClusterFault::Forced,
    ClusterFault::Consent,
    ClusterFault::Compared,
    ClusterFault::Heal,
];

/// Those that the planner does not live through yet, each with the statement that it belongs to.
pub const LATER: [ClusterFault; 1] = [ClusterFault::StatusWipedMeanwhile];

impl Faults {
    /// Those of a run, and one of those that are for later if it is asked for.
    pub(crate) fn drawn(random: &mut StdRng, options: &ClusterOptions) -> Faults {
        let mut kinds: Vec<ClusterFault> = CLUSTER_FAULTS
            .into_iter()
            .filter(|_| random.random_range(0..5) < 3)
            .collect();
        // What a claim was bound to is known from the status alone (K-13): a run wipes it, or deletes claims.
        if kinds.contains(&ClusterFault::StatusWiped) {
            kinds.retain(|kind| !LOSING_CLAIMS.contains(kind));
        }
        if options.focus == Focus::Data {
            kinds.retain(|kind| NEAR_THE_DATA.contains(kind));
        }
        kinds.extend([
            ClusterFault::Heal,
            ClusterFault::Planned,
            ClusterFault::Consent,
        ]);
        kinds.extend(options.later);
        Faults {
            kinds,
            without: options.without.clone(),
            one_in: [12, 25, 50][random.random_range(0..3)],
        }
    }
}

impl World {
    /// Perhaps something goes wrong now.
    pub(crate) fn fault(&mut self) {
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
            ClusterFault::StatusWiped if self.is_moving() || !self.has_begun() => {}
            ClusterFault::StatusWiped | ClusterFault::StatusWipedMeanwhile => self.wipe_status(),
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
            ClusterFault::Withdrawn => self.withdraw(),
            ClusterFault::Consent => self.consent_now(),
            ClusterFault::AppRestarts => self.server.delete_pod(APP_POD, None),
            ClusterFault::Reapplied => self.edit(|spec| {
                spec.primary = SITES[0].into();
                spec.promotion = None;
            }),
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
                self.server.objects.delete_claim(&claim);
            }
            _ => self.break_something(kind, at),
        }
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

    /// Whether both sites say who they are. Before, a wiped status has the pair begin again with
    /// whatever the spec calls primary (K-15).
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
        self.server.admission.refused.clear();
        self.net.down_until = 0;
        self.heal_data();
        self.operators.truncate(1);
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
