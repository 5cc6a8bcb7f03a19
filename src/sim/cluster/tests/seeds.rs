//! The planner on the cluster, by seed.

use crate::cluster::run_cluster;

/// Seeds of every test run; many more are `make sim`.
const SEEDS: u64 = 30;

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in [3, 17] {
        assert_eq!(run_cluster(seed, true).story, run_cluster(seed, true).story);
    }
}

/// K-6, K-14: whatever fails, what was acknowledged is found again; once everything works again the
/// sides are the same, the application runs, and nothing is left over.
#[test]
fn every_seed_keeps_its_promises() {
    for seed in 0..SEEDS {
        let result = run_cluster(seed, false).result;
        assert!(result.is_ok(), "make sim CLUSTER=1 SEED={seed}: {result:?}");
    }
}
