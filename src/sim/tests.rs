//! The simulator on a few seeds, and on wrong rules.

use super::{Options, Wrong, run, run_with, shrink};

/// Seeds of every test run; many more are `make sim`.
const SEEDS: u64 = 40;

/// A wrong rule shows within so many seeds.
const SEEDS_FOR_WRONG: u64 = 1000;

/// Wrong rules that do not show within so many seeds: the faults that a run draws seldom make the state in
/// which they matter.
const NOT_NOTICED: [Wrong; 1] = [Wrong::LowerEpochAdmitted];

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in [3, 17] {
        assert_eq!(run(seed, None, true).story, run(seed, None, true).story);
    }
}

/// SYS-2, H-7, C-8: whatever fails, what can be promoted is what was cut; once everything works again
/// the sides are the same and nothing is left over.
#[test]
fn every_seed_keeps_its_promises() {
    for seed in 0..SEEDS {
        let result = run(seed, None, false).result;
        assert!(result.is_ok(), "make sim SEED={seed}: {result:?}");
    }
}

#[test]
fn every_wrong_rule_shows() {
    for wrong in Wrong::ALL {
        if NOT_NOTICED.contains(&wrong) {
            continue;
        }
        let caught =
            (0..SEEDS_FOR_WRONG).find(|seed| run(*seed, Some(wrong), false).result.is_err());
        assert!(caught.is_some(), "{wrong:?} was not noticed");
    }
}

/// A failing seed is made smaller, and what is left fails still.
#[test]
fn a_failing_seed_is_shrunk() {
    let failing = Options::of(0, Some(Wrong::ZerosSkipped), true);
    let smallest = shrink(&failing);
    assert!(run_with(&smallest).result.is_err());
    assert!(smallest.steps < failing.steps, "{smallest:?}");
    assert!(!smallest.without.is_empty(), "{smallest:?}");
}
