//! The bandwidth limit: a bucket that fills at the rate in force.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// How much unused rate may be made up for, in time. Beyond it, it is forgotten.
const BURST: Duration = Duration::from_millis(100);

/// The longest single wait; after it the rate is looked at again, so that a changed limit takes
/// effect at once.
const RECHECK_AFTER: Duration = Duration::from_millis(50);

/// Lets bytes through at a rate that may change at any moment.
#[derive(Debug)]
pub struct Throttle {
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    bytes_per_second: Option<u64>,
    /// Bytes that may go now; below zero what was taken in advance.
    level: f64,
    filled: Instant,
}

impl Throttle {
    /// A throttle at `bytes_per_second`; `None` for no limit.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Throttle {
        Throttle {
            bucket: Mutex::new(Bucket {
                bytes_per_second,
                level: 0.0,
                filled: Instant::now(),
            }),
        }
    }

    /// Changes the rate, also for who is waiting.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill();
        bucket.bytes_per_second = bytes_per_second;
    }

    /// Takes what goes at once, whatever the rate: the rest waits for it.
    pub fn owe(&self, bytes: u64) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill();
        bucket.level -= bytes as f64;
    }

    /// The bytes that go together under the rate in force: what it lets through in one burst, but `least`.
    #[must_use]
    pub fn piece(&self, least: usize) -> usize {
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.bytes_per_second.map_or(usize::MAX, |rate| {
            let burst = u128::from(rate) * BURST.as_millis() / 1000;
            usize::try_from(burst).unwrap_or(usize::MAX).max(least)
        })
    }

    /// Waits until `bytes` may go. A frame larger than the bucket goes as soon as the bucket is not
    /// in debt, and leaves it in debt.
    pub async fn take(&self, bytes: u64) {
        loop {
            let wait = {
                let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
                bucket.fill();
                match bucket.wait() {
                    None => {
                        bucket.level -= bytes as f64;
                        return;
                    }
                    Some(wait) => wait,
                }
            };
            tokio::time::sleep(wait.min(RECHECK_AFTER)).await;
        }
    }
}

impl Bucket {
    fn fill(&mut self) {
        let now = Instant::now();
        let passed = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        match self.bytes_per_second {
            Some(rate) => {
                let burst = rate as f64 * BURST.as_secs_f64();
                self.level = (self.level + rate as f64 * passed).min(burst);
            }
            None => self.level = 0.0,
        }
    }

    /// How long until the bucket is out of debt; `None` when it is.
    fn wait(&self) -> Option<Duration> {
        let rate = self.bytes_per_second?;
        if self.level >= 0.0 {
            return None;
        }
        Some(Duration::from_secs_f64(-self.level / rate.max(1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_rate_is_kept_and_can_be_lifted_while_someone_waits() {
        let throttle = std::sync::Arc::new(Throttle::new(Some(10_000_000)));
        let started = Instant::now();
        for _ in 0..40 {
            throttle.take(100_000).await;
        }
        let took = started.elapsed().as_secs_f64();
        assert!(
            took >= 0.28,
            "4 MB at 10 MB/s, with 1 MB of burst, took {took} s"
        );
        // Without a limit nothing is owed, so that the next frame goes at once and leaves a debt.
        throttle.set(None);
        throttle.set(Some(1));
        throttle.take(1_000_000).await;
        let waiting = throttle.clone();
        let task = tokio::spawn(async move { waiting.take(1).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!task.is_finished());
        throttle.set(None);
        tokio::time::timeout(Duration::from_secs(10), task)
            .await
            .unwrap()
            .unwrap();
    }
}
