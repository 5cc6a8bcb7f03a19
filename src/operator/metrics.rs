//! The operator's metrics, in base units.

use std::time::Duration;

use crate::units::PairName;

/// All metrics of the operator.
#[derive(Debug)]
pub struct Metrics {}

/// What a pair's gauges are set from after each reconcile. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairGauges {
    /// When the committed point was cut.
    pub committed_cut_at: Option<f64>,
    /// The interval, in seconds.
    pub rpo_target_seconds: f64,
    /// Bytes still to ship in the running cycle.
    pub lag_bytes: u64,
    /// Whether the standby can't be promoted or is older than twice the interval.
    pub out_of_sync: bool,
    /// The primary's site.
    pub primary: Option<String>,
    /// Whether both movers answered when last needed.
    pub peer_up: bool,
    /// Whether a site holds writes that nobody else has.
    pub diverged: bool,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Metrics {
        todo!()
    }

    /// A reconcile ended; `error` is its category when it failed.
    pub fn reconciled(&self, took: Duration, error: Option<&'static str>) {
        todo!("{took:?} {error:?}")
    }

    /// The pair's present state.
    pub fn set_pair(&self, pair: &PairName, gauges: &PairGauges) {
        todo!("{pair} {gauges:?}")
    }

    /// A cycle was committed.
    pub fn cycle_committed(&self, pair: &PairName, took: Duration, wire_bytes: u64) {
        todo!("{pair} {took:?} {wire_bytes}")
    }

    /// An interval went by without a committed cycle.
    pub fn missed_interval(&self, pair: &PairName) {
        todo!("{pair}")
    }

    /// A role was moved.
    pub fn switched(&self, pair: &PairName, forced: bool, took: Duration) {
        todo!("{pair} {forced} {took:?}")
    }

    /// Drops what is kept of a pair that is gone.
    pub fn forget(&self, pair: &PairName) {
        todo!("{pair}")
    }

    /// The OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        todo!()
    }
}
