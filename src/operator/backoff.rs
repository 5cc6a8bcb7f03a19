//! Pauses after failed reconciles, per pair, doubling with jitter and forgotten on success.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::context::lock;
use protocol::units::PairName;

/// The pause after the first failure.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause, however often it fails.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// How often each pair has failed in a row.
#[derive(Debug, Default)]
pub struct Backoffs(Mutex<HashMap<PairName, u32>>);

impl Backoffs {
    /// A reconcile failed: how long to wait before the next.
    pub fn failed(&self, pair: &PairName) -> Duration {
        let mut all = lock(&self.0);
        let failures = all.entry(pair.clone()).or_insert(0);
        *failures += 1;
        let pause = pause(*failures);
        // Up to a quarter more, so that pairs that failed together do not come back together.
        pause + pause.mul_f64(rand::random::<f64>() / 4.0)
    }

    /// A reconcile succeeded, or the pair is gone.
    pub fn succeeded(&self, pair: &PairName) {
        lock(&self.0).remove(pair);
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE_MIN
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_forgotten() {
        assert_eq!(pause(1), Duration::from_secs(1));
        assert_eq!(pause(4), Duration::from_secs(8));
        assert_eq!(pause(40), PAUSE_MAX);
        let backoffs = Backoffs::default();
        let pair = PairName::new("shop", "orders").unwrap();
        for _ in 0..5 {
            backoffs.failed(&pair);
        }
        backoffs.succeeded(&pair);
        assert!(backoffs.failed(&pair) < Duration::from_secs(2));
    }
}
