//! Lives by seed.

use std::ops::Range;

use mover_core::Rule as MoverRule;

use crate::cluster::{ClusterOptions, run_cluster};
use crate::rules::Wrong;
use crate::seeds::first_failing;
use crate::shrink::shrink;

/// Seeds of every test run; many more are `make sim`.
const SEEDS: Range<u64> = 0..12;

/// A rule that is broken shows within so many seeds; `make wrong-rules` shows all of them.
const SEEDS_FOR_RULES: u64 = 400;

#[test]
fn a_seed_is_always_the_same_run() {
    let options = ClusterOptions {
        recorded: true,
        ..ClusterOptions::default()
    };
    for seed in [3, 17] {
        assert_eq!(
            run_cluster(seed, &options).story,
            run_cluster(seed, &options).story
        );
    }
}

/// K-6, K-14: whatever fails, what was acknowledged is found again; once everything works again the
/// sides are the same, the application runs, and nothing is left over.
#[test]
fn every_seed_keeps_its_promises() {
    for seed in SEEDS {
        let result = run_cluster(seed, &ClusterOptions::default()).result;
        assert!(result.is_ok(), "make sim CLUSTER_SEED={seed}: {result:?}");
    }
}

/// A failing seed is made smaller, and what is left fails still.
#[test]
fn a_failing_seed_is_shrunk() {
    let failing = ClusterOptions::breaking(Wrong::Mover(MoverRule::ZerosSkipped));
    let (seed, _) = first_failing(0..SEEDS_FOR_RULES, |seed| {
        run_cluster(seed, &failing).result
    })
    .expect("zeros that are skipped show");
    let smallest = shrink(seed, &failing);
    assert!(run_cluster(seed, &smallest).result.is_err());
    assert!(smallest.steps < failing.steps, "{smallest:?}");
    assert!(!smallest.without.is_empty(), "{smallest:?}");
}
