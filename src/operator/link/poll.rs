//! The task that always knows a mover's newest status.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use crate::link::connection::Connection;
use crate::link::{
    DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN, LinkState, MoverKey, MoverLinkError, MoverLinks,
};
use wire::control::{MoverStatus, Request, Response};

/// How long the mover may hold a poll open, in milliseconds.
const POLL_WAIT_MS: u32 = 20_000;
/// How long past that the answer may take; then the connection counts as broken.
const POLL_GRACE: Duration = Duration::from_secs(10);
/// The pause between two polls: a mover that works changes its status with every window.
const POLL_PAUSE: Duration = Duration::from_millis(200);
/// How often a pair is woken when nothing but a cycle's progress has changed.
const PROGRESS_WAKE: Duration = Duration::from_secs(2);

const _: () = assert!(POLL_WAIT_MS <= wire::control::STATUS_WAIT_MAX_MS);

/// What the task has learnt.
#[derive(Debug, Default)]
pub(super) struct Poller {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    status: Option<Arc<MoverStatus>>,
    failure: Option<String>,
}

impl Poller {
    pub(super) fn status(&self) -> Option<Arc<MoverStatus>> {
        self.known().status.clone()
    }

    pub(super) fn state(&self) -> LinkState {
        let known = self.known();
        match &known.status {
            Some(_) => LinkState::Up,
            None => LinkState::Dialling(known.failure.clone()),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, status: MoverStatus) -> Option<Arc<MoverStatus>> {
        let mut known = self.known();
        known.failure = None;
        known.status.replace(Arc::new(status))
    }

    /// Whether this is news.
    fn lose(&self, failure: String) -> bool {
        let mut known = self.known();
        let news = known.status.take().is_some() || known.failure.as_ref() != Some(&failure);
        known.failure = Some(failure);
        news
    }
}

/// Polls one mover until the task is aborted or the registry is gone.
pub(super) async fn poll(
    links: impl Fn() -> Option<MoverLinks>,
    key: MoverKey,
    poller: Arc<Poller>,
) {
    let mut backoff = DIAL_BACKOFF_MIN;
    loop {
        let Some(registry) = links() else { return };
        let dialled = registry.dial(&key).await;
        drop(registry);
        let error = match dialled {
            Ok(connection) => {
                backoff = DIAL_BACKOFF_MIN;
                match follow(&links, &key, &poller, connection).await {
                    Some(error) => error,
                    None => return,
                }
            }
            Err(error) => error,
        };
        tracing::debug!(%error, pair = %key.pair, site = %key.site, "no link to a mover");
        if poller.lose(error.to_string()) {
            let Some(registry) = links() else { return };
            registry.wake(&key.pair).await;
        }
        // Jitter keeps the links of many pairs from dialling in step after an outage.
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(backoff.mul_f64(jitter)).await;
        backoff = (backoff * 2).min(DIAL_BACKOFF_MAX);
    }
}

/// Polls over one connection until it breaks; `None` when the registry is gone.
async fn follow(
    links: &impl Fn() -> Option<MoverLinks>,
    key: &MoverKey,
    poller: &Poller,
    mut connection: Connection,
) -> Option<MoverLinkError> {
    // A process that was restarted counts again, so the first question takes any version.
    let mut after = 0;
    let mut wakes = Wakes::default();
    loop {
        let wait_ms = wakes.wait_ms();
        let timeout = Duration::from_millis(wait_ms.into()) + POLL_GRACE;
        let status = match connection
            .ask(Request::Status { after, wait_ms }.into(), timeout)
            .await
        {
            Ok(Response::Status(status)) => *status,
            Ok(_) => {
                return Some(MoverLinkError::Protocol {
                    address: key.address.clone(),
                    reason: "no status as the answer to a poll".into(),
                });
            }
            Err(error) => return Some(error),
        };
        if status.version != after || after == 0 {
            after = status.version;
            let before = poller.learn(status.clone());
            wakes.owe(before.is_none_or(|before| !only_progress(&before, &status)));
        }
        if wakes.pay() {
            links()?.wake(&key.pair).await;
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

/// When the pair is woken: at once for anything that matters, else every [`PROGRESS_WAKE`].
#[derive(Default)]
struct Wakes {
    owed: bool,
    urgent: bool,
    last: Option<Instant>,
}

impl Wakes {
    fn owe(&mut self, urgent: bool) {
        self.owed = true;
        self.urgent |= urgent;
    }

    /// Whether to wake now.
    fn pay(&mut self) -> bool {
        let due = self.last.is_none_or(|at| at.elapsed() >= PROGRESS_WAKE);
        if !self.owed || !(due || self.urgent) {
            return false;
        }
        *self = Wakes {
            last: Some(Instant::now()),
            ..Wakes::default()
        };
        true
    }

    /// How long the next poll may be held open, so that nothing owed waits for long.
    fn wait_ms(&self) -> u32 {
        let owed_ms = u32::try_from(PROGRESS_WAKE.as_millis()).unwrap_or(POLL_WAIT_MS);
        if self.owed { owed_ms } else { POLL_WAIT_MS }
    }
}

/// Whether two statuses differ in nothing but how many bytes are done.
fn only_progress(before: &MoverStatus, now: &MoverStatus) -> bool {
    let still = |status: &MoverStatus| {
        let mut status = status.clone();
        status.version = 0;
        if let Some(progress) = &mut status.progress {
            progress.planned_bytes = 0;
            progress.done_bytes = 0;
            progress.wire_bytes = 0;
            progress.data_bytes = 0;
            progress.zero_bytes = 0;
            progress.elapsed_ms = 0;
        }
        status
    };
    still(before) == still(now)
}
