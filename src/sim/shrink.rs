//! Makes a failing run smaller: fewer kinds of faults, fewer steps, as long as it still fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault_kinds::Kind;
use crate::run::{Options, run_with};

/// The smallest run found that fails as this one does: by any promise that is broken. The same where
/// this one does not fail.
#[must_use]
pub fn shrink(options: &Options) -> Options {
    let mut smallest = Options {
        recorded: false,
        ..options.clone()
    };
    if fails(&smallest) {
        drop_kinds(&mut smallest);
        drop_steps(&mut smallest);
        // With fewer steps some of what was needed before is not any more.
        drop_kinds(&mut smallest);
    }
    smallest.recorded = options.recorded;
    smallest
}

fn fails(options: &Options) -> bool {
    let result = catch_unwind(AssertUnwindSafe(|| run_with(options).result));
    !matches!(result, Ok(Ok(_)))
}

fn drop_kinds(smallest: &mut Options) {
    for kind in Kind::ALL {
        if smallest.without.contains(&kind) {
            continue;
        }
        smallest.without.push(kind);
        if !fails(smallest) {
            smallest.without.pop();
        }
    }
}

fn drop_steps(smallest: &mut Options) {
    let mut enough = smallest.steps;
    let mut too_few = 0;
    while too_few < enough {
        let steps = too_few + (enough - too_few) / 2;
        let shorter = Options {
            steps,
            ..smallest.clone()
        };
        if fails(&shorter) {
            enough = steps;
        } else {
            too_few = steps + 1;
        }
    }
    smallest.steps = enough;
}
