//! What is counted and kept between two scrapes, and the text of one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::families::{CONDITION_STATUSES, Families};
use super::gauges::PairGauges;
use super::labels::{ErrorLabels, condition_labels, labels, role_labels, switch_labels};
use protocol::units::PairName;

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pairs: Mutex<HashMap<PairName, PairGauges>>,
    families: Families,
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
            self.action_failed(category);
        }
    }

    /// A reconcile, or one of its actions, failed.
    pub fn action_failed(&self, category: &'static str) {
        self.families
            .reconcile_failures
            .get_or_create(&ErrorLabels { category })
            .inc();
    }

    /// The pair's present state.
    pub fn set_pair(&self, pair: &PairName, gauges: &PairGauges) {
        let before = self.pairs().insert(pair.clone(), gauges.clone());
        if let Some(site) = before.and_then(|before| before.primary) {
            self.families.role.remove(&role_labels(pair, &site));
        }
    }

    /// When the certificate authority expires.
    pub fn set_ca_expiry(&self, at: Timestamp) {
        self.families.ca_expiry.set(at.as_duration().as_secs_f64());
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

    /// The primary role was moved; `took` from the request to the application's release.
    pub fn switched(&self, pair: &PairName, forced: bool, took: Duration) {
        self.families
            .failover_duration
            .get_or_create(&switch_labels(pair, forced))
            .set(took.as_secs_f64());
    }

    /// Drops what is kept of a pair that is gone.
    pub fn forget(&self, pair: &PairName) {
        if let Some(gauges) = self.pairs().remove(pair) {
            if let Some(site) = gauges.primary {
                self.families.role.remove(&role_labels(pair, &site));
            }
            for (kind, _) in gauges.conditions {
                for status in CONDITION_STATUSES {
                    let labels = condition_labels(pair, &kind, status);
                    self.families.condition.remove(&labels);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::gauges::Verified;

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
            conditions: vec![("Ready".into(), "True".into())],
            ..PairGauges::default()
        };
        metrics.set_ca_expiry(now);
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
            r#"ferry_condition{namespace="shop",name="orders",type="Ready",status="True"} 1"#
                .into(),
            r#"ferry_condition{namespace="shop",name="orders",type="Ready",status="False"} 0"#
                .into(),
            "ferry_ca_expiry_timestamp_seconds 1800000100.0".into(),
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
