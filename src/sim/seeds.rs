//! Many seeds: on all processors, or one after the other until one fails. A run that panics has failed.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What came of many seeds.
pub struct Lived<F> {
    /// What those have shown that keep their promises, in no order.
    pub figures: Vec<F>,
    /// Those that do not, ascending, and why.
    pub failed: Vec<(u64, String)>,
}

/// Lives all `seeds`, on every processor.
pub fn live_all<F: Send>(
    seeds: Range<u64>,
    live: impl Fn(u64) -> Result<F, String> + Sync,
) -> Lived<F> {
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let result = live_one(&live, seed);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((seed, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for (seed, result) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match result {
            Ok(shown) => figures.push(shown),
            Err(why) => failed.push((seed, why)),
        }
    }
    failed.sort_unstable();
    Lived { figures, failed }
}

/// The first of `seeds` that fails, and why.
pub fn first_failing<F>(
    mut seeds: Range<u64>,
    live: impl Fn(u64) -> Result<F, String>,
) -> Option<(u64, String)> {
    seeds.find_map(|seed| Some((seed, live_one(&live, seed).err()?)))
}

fn live_one<F>(live: impl Fn(u64) -> Result<F, String>, seed: u64) -> Result<F, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| live(seed)));
    outcome.unwrap_or_else(|_| Err("it panicked".into()))
}
