//! Waiting: every wait has a limit, says what it waits for, and what it saw last when it times out.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

/// Time between two probes. Short, since what is measured ends with a probe.
const PROBE_EVERY: Duration = Duration::from_millis(150);

/// What one probe has seen.
pub enum Probe<T> {
    /// It is there.
    Seen(T),
    /// Not yet, and what is there instead.
    NotYet(String),
    /// It can't come any more, and why.
    Never(String),
}

impl<T> Probe<T> {
    /// `Seen(())` when `holds`, otherwise `NotYet` with what is there instead.
    pub fn when(holds: bool, instead: impl Display) -> Probe<()> {
        if holds {
            Probe::Seen(())
        } else {
            Probe::NotYet(instead.to_string())
        }
    }
}

/// Probes again and again until `what` is seen. An error of the probe counts as "not yet": an API
/// server may be away for a moment; the last one is named when the time is up.
///
/// # Errors
/// When `limit` has passed, or when the probe says that it can't come any more.
pub async fn until<T, F, Fut>(what: impl Display, limit: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Probe<T>>>,
{
    let start = Instant::now();
    let mut last = String::from("nothing");
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match tokio::time::timeout(left.max(PROBE_EVERY), probe()).await {
            Ok(Ok(Probe::Seen(found))) => return Ok(found),
            Ok(Ok(Probe::NotYet(instead))) => last = instead,
            Ok(Ok(Probe::Never(why))) => bail!("waited for {what}, which can't come: {why}"),
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => last = format!("{last}; the last probe took too long"),
        }
        if start.elapsed() >= limit {
            return Err(anyhow!(
                "waited {:.0} s for {what}; last seen: {last}",
                limit.as_secs_f64()
            ));
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

/// Seconds, as a limit.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
