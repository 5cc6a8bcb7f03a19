//! Waiting: every wait has a limit, says what it waits for, and what it saw last when it gives up.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

/// Time between two looks. Short, since what is measured ends with a look.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What one look has seen.
pub enum Look<T> {
    /// It is there.
    Seen(T),
    /// Not yet, and what is there instead.
    NotYet(String),
    /// It can't come any more, and why.
    Never(String),
}

impl<T> Look<T> {
    /// `Seen(())` when `holds`, otherwise `NotYet` with what is there instead.
    pub fn when(holds: bool, instead: impl Display) -> Look<()> {
        if holds {
            Look::Seen(())
        } else {
            Look::NotYet(instead.to_string())
        }
    }
}

/// Looks again and again until `what` is seen. An error of the look counts as "not yet": an API
/// server may be away for a moment; the last one is named when the time is up.
///
/// # Errors
/// When `limit` has passed, or when the look says that it can't come any more.
pub async fn until<T, F, Fut>(what: impl Display, limit: Duration, mut look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Look<T>>>,
{
    let start = Instant::now();
    let mut last = String::from("nothing");
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match tokio::time::timeout(left.max(LOOK_EVERY), look()).await {
            Ok(Ok(Look::Seen(found))) => return Ok(found),
            Ok(Ok(Look::NotYet(instead))) => last = instead,
            Ok(Ok(Look::Never(why))) => bail!("waited for {what}, which can't come: {why}"),
            Ok(Err(error)) => last = format!("{error:#}"),
            Err(_) => last = format!("{last}; the last look took too long"),
        }
        if start.elapsed() >= limit {
            return Err(anyhow!(
                "waited {:.0} s for {what}; last seen: {last}",
                limit.as_secs_f64()
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Seconds, as a limit.
#[must_use]
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
