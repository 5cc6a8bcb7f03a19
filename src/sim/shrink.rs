//! Makes a failing run smaller: fewer kinds of faults, fewer steps, as long as it still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cluster::{CLUSTER_FAULTS, ClusterOptions, DataFault, run_cluster};

/// The smallest run found that fails as this one does: by any promise that is broken. The same where
/// this one does not fail.
#[must_use]
pub fn shrink(seed: u64, options: &ClusterOptions) -> ClusterOptions {
    let mut smallest = ClusterOptions {
        recorded: false,
        ..options.clone()
    };
    if fails(seed, &smallest) {
        drop_kinds(seed, &mut smallest);
        drop_steps(seed, &mut smallest);
        // With fewer steps some of what was needed before is not any more.
        drop_kinds(seed, &mut smallest);
    }
    smallest.recorded = options.recorded;
    smallest
}

fn fails(seed: u64, options: &ClusterOptions) -> bool {
    let result = catch_unwind(AssertUnwindSafe(|| run_cluster(seed, options).result));
    !matches!(result, Ok(Ok(_)))
}

fn drop_kinds(seed: u64, smallest: &mut ClusterOptions) {
    for kind in DataFault::ALL {
        drop_one(seed, smallest, |options| &mut options.without_data, kind);
    }
    for kind in CLUSTER_FAULTS {
        drop_one(seed, smallest, |options| &mut options.without, kind);
    }
}

/// Does without a kind, unless that makes the run pass.
fn drop_one<K: PartialEq>(
    seed: u64,
    smallest: &mut ClusterOptions,
    without: impl Fn(&mut ClusterOptions) -> &mut Vec<K>,
    kind: K,
) {
    if without(smallest).contains(&kind) {
        return;
    }
    without(smallest).push(kind);
    if !fails(seed, smallest) {
        without(smallest).pop();
    }
}

fn drop_steps(seed: u64, smallest: &mut ClusterOptions) {
    let mut enough = smallest.steps;
    let mut too_few = 0;
    while too_few < enough {
        let steps = too_few + (enough - too_few) / 2;
        let shorter = ClusterOptions {
            steps,
            ..smallest.clone()
        };
        if fails(seed, &shorter) {
            enough = steps;
        } else {
            too_few = steps + 1;
        }
    }
    smallest.steps = enough;
}
