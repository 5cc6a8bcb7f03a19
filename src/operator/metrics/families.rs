//! The families of metrics: how each is named, and how it is set.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::gauges::PairGauges;
use super::labels::{
    ConditionLabels, ErrorLabels, PairLabels, RoleLabels, SwitchLabels, condition_labels, labels,
    role_labels,
};
use protocol::units::PairName;

type Float = Gauge<f64, AtomicU64>;
type PerPair<M> = Family<PairLabels, M>;

/// What a condition's status can be.
pub(super) const CONDITION_STATUSES: [&str; 3] = ["True", "False", "Unknown"];

#[derive(Debug)]
pub(super) struct Families {
    pub(super) last_sync: PerPair<Float>,
    pub(super) rpo_target: PerPair<Float>,
    pub(super) lag_seconds: PerPair<Float>,
    pub(super) lag_bytes: PerPair<Gauge>,
    pub(super) out_of_sync: PerPair<Gauge>,
    pub(super) role: Family<RoleLabels, Gauge>,
    pub(super) peer_up: PerPair<Gauge>,
    pub(super) diverged: PerPair<Gauge>,
    pub(super) condition: Family<ConditionLabels, Gauge>,
    pub(super) ca_expiry: Float,
    pub(super) last_verify: PerPair<Float>,
    pub(super) verify_compared: PerPair<Gauge>,
    pub(super) verify_differing: PerPair<Gauge>,
    pub(super) verify_repaired: PerPair<Gauge>,
    pub(super) sync_duration: Family<PairLabels, Histogram, fn() -> Histogram>,
    pub(super) sync_bytes: PerPair<Counter>,
    pub(super) failover_duration: Family<SwitchLabels, Float>,
    pub(super) reconciles: Counter,
    pub(super) reconcile_failures: Family<ErrorLabels, Counter>,
    pub(super) reconcile_duration: Histogram,
}

impl Families {
    pub(super) fn new() -> Families {
        Families {
            last_sync: Family::default(),
            rpo_target: Family::default(),
            lag_seconds: Family::default(),
            lag_bytes: Family::default(),
            out_of_sync: Family::default(),
            role: Family::default(),
            peer_up: Family::default(),
            diverged: Family::default(),
            condition: Family::default(),
            ca_expiry: Float::default(),
            last_verify: Family::default(),
            verify_compared: Family::default(),
            verify_differing: Family::default(),
            verify_repaired: Family::default(),
            sync_duration: Family::new_with_constructor(|| {
                Histogram::new([1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0])
            }),
            sync_bytes: Family::default(),
            failover_duration: Family::default(),
            reconciles: Counter::default(),
            reconcile_failures: Family::default(),
            reconcile_duration: Histogram::new([0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0]),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running build", version);
        let r = registry;
        r.register(
            "last_sync_timestamp_seconds",
            "When the standby's committed point was cut at the primary, in seconds since 1970",
            self.last_sync.clone(),
        );
        r.register(
            "rpo_target_seconds",
            "The promised interval between cuts",
            self.rpo_target.clone(),
        );
        r.register(
            "lag_seconds",
            "Age of the standby's committed point",
            self.lag_seconds.clone(),
        );
        r.register(
            "lag_bytes",
            "Bytes of the running cycle that are still to be shipped",
            self.lag_bytes.clone(),
        );
        r.register(
            "out_of_sync",
            "1 while the standby can't be promoted or is older than twice the interval",
            self.out_of_sync.clone(),
        );
        r.register("role", "1 for the site that is primary", self.role.clone());
        r.register(
            "peer_up",
            "1 while both movers answer when needed",
            self.peer_up.clone(),
        );
        r.register(
            "diverged",
            "1 while a site holds writes that nobody else has",
            self.diverged.clone(),
        );
        r.register(
            "condition",
            "1 for the status that a condition of the pair has, 0 for the others",
            self.condition.clone(),
        );
        r.register(
            "ca_expiry_timestamp_seconds",
            "When the certificate authority of this installation expires, in seconds since 1970",
            self.ca_expiry.clone(),
        );
        self.register_verify(r);
        r.register_with_unit(
            "sync_duration",
            "Time from a cycle's beginning to its commit",
            Unit::Seconds,
            self.sync_duration.clone(),
        );
        r.register(
            "sync_bytes",
            "Bytes on the wire of committed cycles",
            self.sync_bytes.clone(),
        );
        r.register(
            "failover_duration_seconds",
            "How long the last move of the primary role took",
            self.failover_duration.clone(),
        );
        self.register_reconciles(r);
    }

    fn register_reconciles(&self, r: &mut Registry) {
        r.register(
            "reconciles",
            "Reconciles that ended",
            self.reconciles.clone(),
        );
        r.register(
            "reconcile_failures",
            "Reconciles that failed, by category",
            self.reconcile_failures.clone(),
        );
        r.register_with_unit(
            "reconcile_duration",
            "How long a reconcile takes",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
    }

    fn register_verify(&self, r: &mut Registry) {
        r.register(
            "last_verify_timestamp_seconds",
            "When the last verification ended, in seconds since 1970",
            self.last_verify.clone(),
        );
        r.register(
            "verify_compared_bytes",
            "Bytes that the last verification compared",
            self.verify_compared.clone(),
        );
        r.register(
            "verify_differing_bytes",
            "Bytes that the last verification found in blocks that differed",
            self.verify_differing.clone(),
        );
        r.register(
            "verify_repaired_bytes",
            "Bytes of those that the last verification repaired",
            self.verify_repaired.clone(),
        );
    }

    pub(super) fn set(&self, pair: &PairName, gauges: &PairGauges, now: Timestamp) {
        let labels = labels(pair);
        let flag = |family: &PerPair<Gauge>, on: bool| {
            family.get_or_create(&labels).set(i64::from(on));
        };
        flag(&self.out_of_sync, gauges.out_of_sync);
        flag(&self.peer_up, gauges.peer_up);
        flag(&self.diverged, gauges.diverged);
        let lag_bytes = i64::try_from(gauges.lag_bytes).unwrap_or(i64::MAX);
        self.lag_bytes.get_or_create(&labels).set(lag_bytes);
        let target = self.rpo_target.get_or_create(&labels);
        target.set(gauges.rpo_target_seconds);
        if let Some(cut) = gauges.committed_cut_at {
            let lag = now.duration_since(cut).as_secs_f64().max(0.0);
            let at = cut.as_duration().as_secs_f64();
            self.last_sync.get_or_create(&labels).set(at);
            self.lag_seconds.get_or_create(&labels).set(lag);
        }
        if let Some(verified) = &gauges.verified {
            let at = verified.at.as_duration().as_secs_f64();
            self.last_verify.get_or_create(&labels).set(at);
            let bytes = |family: &PerPair<Gauge>, bytes: i64| {
                family.get_or_create(&labels).set(bytes);
            };
            bytes(&self.verify_compared, verified.compared_bytes);
            bytes(&self.verify_differing, verified.differing_bytes);
            bytes(&self.verify_repaired, verified.repaired_bytes);
        }
        for (kind, value) in &gauges.conditions {
            for status in CONDITION_STATUSES {
                let labels = condition_labels(pair, kind, status);
                let gauge = self.condition.get_or_create(&labels);
                gauge.set(i64::from(value == status));
            }
        }
        if let Some(site) = &gauges.primary {
            self.role.get_or_create(&role_labels(pair, site)).set(1);
        }
    }
}
