//! Time, behind a trait so that the simulator can own it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What time it is. Durations are measured on the monotonic side; the wall side only labels.
pub trait Clock: Send + Sync {
    /// Microseconds since some fixed instant; never goes back.
    fn monotonic_us(&self) -> u64;

    /// Milliseconds since the same instant; never goes back.
    fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1000
    }

    /// Milliseconds since 1970-01-01 UTC, as the machine believes; may jump both ways.
    fn wall_ms(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero now.
    #[must_use]
    pub fn new() -> SystemClock {
        SystemClock {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn wall_ms(&self) -> u64 {
        // A clock before 1970 is a label of zero, never an error: nothing is decided by it.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}
