//! The operator's metrics, in base units.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use protocol::units::PairName;

type Float = Gauge<f64, AtomicU64>;
type PerPair<M> = Family<PairLabels, M>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PairLabels {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RoleLabels {
    namespace: String,
    name: String,
    site: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SwitchLabels {
    namespace: String,
    name: String,
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    category: &'static str,
}

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pairs: Mutex<HashMap<PairName, PairGauges>>,
    families: Families,
}

#[derive(Debug)]
struct Families {
    last_sync: PerPair<Float>,
    rpo_target: PerPair<Float>,
    lag_seconds: PerPair<Float>,
    lag_bytes: PerPair<Gauge>,
    out_of_sync: PerPair<Gauge>,
    role: Family<RoleLabels, Gauge>,
    peer_up: PerPair<Gauge>,
    diverged: PerPair<Gauge>,
    last_verify: PerPair<Float>,
    verify_compared: PerPair<Gauge>,
    verify_differing: PerPair<Gauge>,
    verify_repaired: PerPair<Gauge>,
    sync_duration: Family<PairLabels, Histogram, fn() -> Histogram>,
    sync_bytes: PerPair<Counter>,
    failover_duration: Family<SwitchLabels, Float>,
    reconciles: Counter,
    reconcile_failures: Family<ErrorLabels, Counter>,
    reconcile_duration: Histogram,
}

/// What a pair's gauges are set from after each reconcile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairGauges {
    /// When the committed point was cut; `None` while there is none.
    pub committed_cut_at: Option<Timestamp>,
    /// The interval, in seconds.
    pub rpo_target_seconds: f64,
    /// Bytes still to ship in the running cycle; 0 when none runs.
    pub lag_bytes: u64,
    /// Whether the standby can't be promoted or is older than twice the interval.
    pub out_of_sync: bool,
    /// The primary's site; `None` while it is not known.
    pub primary: Option<String>,
    /// Whether both movers answered when last needed.
    pub peer_up: bool,
    /// Whether a site holds writes that nobody else has.
    pub diverged: bool,
    /// What the last verification found; `None` before the first.
    pub verified: Option<Verified>,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verified {
    /// When it ended.
    pub at: Timestamp,
    /// Bytes that were compared.
    pub compared_bytes: i64,
    /// Bytes in blocks that differed.
    pub differing_bytes: i64,
    /// Bytes of those that were repaired.
    pub repaired_bytes: i64,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Metrics {
        let families = Families::new();
        let mut registry = Registry::with_prefix("ferry");
        families.register(&mut registry);
        Metrics {
            registry,
            pairs: Mutex::new(HashMap::new()),
            families,
        }
    }

    /// A reconcile ended; `error` is its category when it failed.
    pub fn reconciled(&self, took: Duration, error: Option<&'static str>) {
        self.families.reconciles.inc();
        self.families.reconcile_duration.observe(took.as_secs_f64());
        if let Some(category) = error {
            self.families
                .reconcile_failures
                .get_or_create(&ErrorLabels { category })
                .inc();
        }
    }

    /// The pair's present state.
    pub fn set_pair(&self, pair: &PairName, gauges: &PairGauges) {
        let before = self.pairs().insert(pair.clone(), gauges.clone());
        if let Some(site) = before.and_then(|before| before.primary) {
            self.families.role.remove(&role_labels(pair, &site));
        }
    }

    /// A cycle was committed.
    pub fn cycle_committed(&self, pair: &PairName, took: Duration, wire_bytes: u64) {
        let labels = labels(pair);
        self.families
            .sync_duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        self.families
            .sync_bytes
            .get_or_create(&labels)
            .inc_by(wire_bytes);
    }

    /// The primary role was moved; `took` from the order to the application's release.
    pub fn switched(&self, pair: &PairName, forced: bool, took: Duration) {
        self.families
            .failover_duration
            .get_or_create(&switch_labels(pair, forced))
            .set(took.as_secs_f64());
    }

    /// Drops what is kept of a pair that is gone.
    pub fn forget(&self, pair: &PairName) {
        if let Some(gauges) = self.pairs().remove(pair)
            && let Some(site) = gauges.primary
        {
            self.families.role.remove(&role_labels(pair, &site));
        }
        let labels = labels(pair);
        let f = &self.families;
        for floats in [&f.last_sync, &f.rpo_target, &f.lag_seconds, &f.last_verify] {
            floats.remove(&labels);
        }
        for gauges in [
            &f.lag_bytes,
            &f.out_of_sync,
            &f.peer_up,
            &f.diverged,
            &f.verify_compared,
            &f.verify_differing,
            &f.verify_repaired,
        ] {
            gauges.remove(&labels);
        }
        f.sync_bytes.remove(&labels);
        f.sync_duration.remove(&labels);
        for forced in [false, true] {
            f.failover_duration.remove(&switch_labels(pair, forced));
        }
    }

    /// The OpenMetrics text, with lags as of `now`.
    #[must_use]
    pub fn encode(&self, now: Timestamp) -> String {
        for (pair, gauges) in &*self.pairs() {
            self.families.set(pair, gauges, now);
        }
        let mut encoded = String::new();
        // Writing to a String can't fail.
        if let Err(error) = text::encode(&mut encoded, &self.registry) {
            tracing::error!(%error, "failed to write metrics");
        }
        encoded
    }

    fn pairs(&self) -> MutexGuard<'_, HashMap<PairName, PairGauges>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Families {
    fn new() -> Families {
        Families {
            last_sync: Family::default(),
            rpo_target: Family::default(),
            lag_seconds: Family::default(),
            lag_bytes: Family::default(),
            out_of_sync: Family::default(),
            role: Family::default(),
            peer_up: Family::default(),
            diverged: Family::default(),
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

    fn register(&self, registry: &mut Registry) {
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

    fn set(&self, pair: &PairName, gauges: &PairGauges, now: Timestamp) {
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
        if let Some(site) = &gauges.primary {
            self.role.get_or_create(&role_labels(pair, site)).set(1);
        }
    }
}

fn labels(pair: &PairName) -> PairLabels {
    PairLabels {
        namespace: pair.namespace().into(),
        name: pair.name().into(),
    }
}

fn role_labels(pair: &PairName, site: &str) -> RoleLabels {
    RoleLabels {
        namespace: pair.namespace().into(),
        name: pair.name().into(),
        site: site.into(),
    }
}

fn switch_labels(pair: &PairName, forced: bool) -> SwitchLabels {
    SwitchLabels {
        namespace: pair.namespace().into(),
        name: pair.name().into(),
        kind: if forced { "Forced" } else { "Planned" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_named_and_a_pair_that_is_gone_leaves_nothing() {
        let metrics = Metrics::new();
        let pair: PairName = "shop/orders".parse().unwrap();
        let now = Timestamp::from_second(1_800_000_100).unwrap();
        let mut gauges = PairGauges {
            committed_cut_at: Some(Timestamp::from_second(1_800_000_000).unwrap()),
            rpo_target_seconds: 60.0,
            lag_bytes: 4096,
            primary: Some("east".into()),
            peer_up: true,
            verified: Some(Verified {
                at: now,
                compared_bytes: 1 << 20,
                differing_bytes: 8192,
                repaired_bytes: 4096,
            }),
            ..PairGauges::default()
        };
        metrics.set_pair(&pair, &gauges);
        gauges.primary = Some("west".into());
        metrics.set_pair(&pair, &gauges);
        metrics.cycle_committed(&pair, Duration::from_secs(3), 1000);
        metrics.switched(&pair, true, Duration::from_secs(9));
        metrics.reconciled(Duration::from_millis(3), Some("Api"));
        let text = metrics.encode(now);
        let labels = r#"{namespace="shop",name="orders"}"#;
        for line in [
            format!("ferry_last_sync_timestamp_seconds{labels} 1800000000.0"),
            format!("ferry_lag_seconds{labels} 100.0"),
            format!("ferry_lag_bytes{labels} 4096"),
            format!("ferry_rpo_target_seconds{labels} 60.0"),
            format!("ferry_peer_up{labels} 1"),
            format!("ferry_out_of_sync{labels} 0"),
            format!("ferry_diverged{labels} 0"),
            format!("ferry_last_verify_timestamp_seconds{labels} 1800000100.0"),
            format!("ferry_verify_compared_bytes{labels} 1048576"),
            format!("ferry_verify_differing_bytes{labels} 8192"),
            format!("ferry_verify_repaired_bytes{labels} 4096"),
            format!("ferry_sync_bytes_total{labels} 1000"),
            format!("ferry_sync_duration_seconds_count{labels} 1"),
            r#"ferry_role{namespace="shop",name="orders",site="west"} 1"#.into(),
            r#"ferry_reconcile_failures_total{category="Api"} 1"#.into(),
            "ferry_reconciles_total 1".into(),
            "ferry_reconcile_duration_seconds_count 1".into(),
        ] {
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(r#"site="east""#), "two primaries:\n{text}");
        metrics.forget(&pair);
        let after = metrics.encode(now);
        assert!(!after.contains("orders"), "{after}");
    }
}
