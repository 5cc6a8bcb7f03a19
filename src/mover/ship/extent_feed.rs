//! The operator's list between the control connections, which fill it, and the thread that reads it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use mover_core::ship::candidates::Parts;
use mover_core::ship::list::{ExtentList, Offered};
use protocol::units::Point;
use wire::control::{ChangeList, ExtentBatch, Refusal, RefusalKind};

/// The longest that a part may wait for room. Beyond it the operator is asked to send it again.
const PART_WAIT: Duration = Duration::from_secs(20);

/// The list under way, if there is one. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct ExtentFeed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<Option<ExtentList>>,
    /// A part has come.
    filled: Condvar,
    /// A part was taken.
    taken: Notify,
}

impl ExtentFeed {
    /// Takes this list of `cycle` from now on, and no other.
    pub fn expect(&self, cycle: Point, changes: ChangeList) {
        *self.lock() = Some(ExtentList::new(cycle, changes));
    }

    /// Takes no list any more.
    pub fn close(&self) {
        *self.lock() = None;
        self.0.taken.notify_waiters();
    }

    /// Takes a part, waiting for room.
    ///
    /// # Errors
    /// When no list is expected, the part does not fit the list, or there was no room in time.
    pub async fn push(&self, batch: ExtentBatch) -> Result<(), Refusal> {
        let offered = tokio::time::timeout(PART_WAIT, async {
            loop {
                let taken = self.0.taken.notified();
                tokio::pin!(taken);
                // Registered before the list is looked at, so that no room is missed.
                taken.as_mut().enable();
                match self.offer(&batch)? {
                    Offered::Taken => return Ok(()),
                    Offered::Full => taken.await,
                }
            }
        });
        offered.await.unwrap_or_else(|_| {
            Err(refusal(format!(
                "the part of the list from byte {} on was not taken in time: send it again",
                batch.from
            )))
        })
    }

    /// Ends this list of `cycle` before its end.
    ///
    /// # Errors
    /// When that list is not expected.
    pub fn fail(&self, cycle: Point, changes: ChangeList, reason: &str) -> Result<(), Refusal> {
        match &mut *self.lock() {
            Some(list) if list.is(cycle, changes) => list.fail(reason),
            _ => return Err(no_list()),
        }
        self.0.filled.notify_all();
        Ok(())
    }

    /// The list's parts for the shipment of `cycle`; `None` where it has no list.
    #[must_use]
    pub fn parts(&self, cycle: Point) -> Option<Parts> {
        let expected = self.lock().as_ref().map(ExtentList::cycle);
        let feed = self.clone();
        (expected == Some(cycle)).then(|| -> Parts {
            Box::new(move || {
                let part = feed.lock().as_mut().and_then(ExtentList::take);
                if part.is_some() {
                    feed.0.taken.notify_waiters();
                }
                part
            })
        })
    }

    /// Waits until a part may have come, at most so long.
    pub fn wait(&self, at_most: Duration) {
        let list = self.lock();
        drop(self.0.filled.wait_timeout(list, at_most));
    }

    fn offer(&self, batch: &ExtentBatch) -> Result<Offered, Refusal> {
        let offered = match &mut *self.lock() {
            Some(list) => list.offer(batch)?,
            None => return Err(no_list()),
        };
        if offered == Offered::Taken {
            self.0.filled.notify_all();
        }
        Ok(offered)
    }

    fn lock(&self) -> MutexGuard<'_, Option<ExtentList>> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_list() -> Refusal {
    refusal("no list of changes is expected: ask for Ship with one first".into())
}

fn refusal(message: String) -> Refusal {
    Refusal {
        kind: RefusalKind::OutOfOrder,
        message,
    }
}
