//! The operator's list of extents on its way to the thread that reads them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use protocol::units::{Extent, Point};
use wire::control::{EXTENTS_PER_BATCH_MAX, ExtentBatch, Refusal, RefusalKind};

/// Parts of the list that wait to be read, each of at most [`EXTENTS_PER_BATCH_MAX`] extents of
/// 16 bytes (2 MiB in all). Beyond it the operator's request waits.
const PARTS_MAX: usize = 8;

/// The longest that a part may wait to be taken. Beyond it the operator is told to send it again.
const PART_WAIT: std::time::Duration = std::time::Duration::from_secs(20);

/// What the reading side gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The next extents.
    Extents(Vec<Extent>),
    /// That was all.
    End,
    /// There is no more, though there should be, and why.
    Broken(String),
}

/// The writing side, shared between control connections.
#[derive(Debug)]
pub struct ListFeed {
    cycle: Point,
    state: Mutex<FeedState>,
}

#[derive(Debug)]
struct FeedState {
    next: u32,
    ended: bool,
    parts: mpsc::Sender<Part>,
}

impl ListFeed {
    /// A feed for the list of `cycle`, and its reading side.
    #[must_use]
    pub fn new(cycle: Point) -> (ListFeed, mpsc::Receiver<Part>) {
        let (parts, reader) = mpsc::channel(PARTS_MAX);
        let state = FeedState {
            next: 0,
            ended: false,
            parts,
        };
        let feed = ListFeed {
            cycle,
            state: Mutex::new(state),
        };
        (feed, reader)
    }

    /// The cut that the list belongs to.
    #[must_use]
    pub fn cycle(&self) -> Point {
        self.cycle
    }

    /// Takes a part. One that was taken before changes nothing, so that an operator that was
    /// restarted can begin again at 0.
    ///
    /// # Errors
    /// When the part belongs to another cycle, leaves a gap, is too long, or waited too long.
    pub async fn push(&self, batch: ExtentBatch) -> Result<(), Refusal> {
        if batch.cycle != self.cycle {
            return Err(refusal(format!(
                "the list is of cut {}, but {} is being shipped",
                batch.cycle, self.cycle
            )));
        }
        if batch.extents.len() > EXTENTS_PER_BATCH_MAX {
            return Err(refusal(format!(
                "a part of the list has {} extents, at most {EXTENTS_PER_BATCH_MAX} are taken",
                batch.extents.len()
            )));
        }
        let parts = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.ended || batch.index < state.next {
                return Ok(());
            }
            if batch.index > state.next {
                return Err(refusal(format!(
                    "part {} of the list came, but part {} is next",
                    batch.index, state.next
                )));
            }
            state.parts.clone()
        };
        // Where nobody reads the list any more it is let pass.
        let waited = tokio::time::timeout(PART_WAIT, parts.reserve_many(2)).await;
        let Ok(reserved) = waited else {
            return Err(refusal(format!(
                "part {} of the list was not taken in time: send it again",
                batch.index
            )));
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.index != state.next {
            return Ok(());
        }
        state.next += 1;
        state.ended = batch.last;
        if let Ok(mut reserved) = reserved {
            if let Some(place) = reserved.next() {
                place.send(Part::Extents(batch.extents));
            }
            if batch.last
                && let Some(place) = reserved.next()
            {
                place.send(Part::End);
            }
        }
        Ok(())
    }

    /// Ends the list before its end.
    pub async fn fail(&self, reason: &str) {
        let parts = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.ended {
                return;
            }
            state.ended = true;
            state.parts.clone()
        };
        drop(parts.send(Part::Broken(reason.into())).await);
    }
}

fn refusal(message: String) -> Refusal {
    Refusal {
        kind: RefusalKind::OutOfOrder,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u32, last: bool) -> ExtentBatch {
        ExtentBatch {
            cycle: Point::new(1, 2),
            index,
            extents: vec![Extent::new(u64::from(index) * 10, 5)],
            last,
        }
    }

    #[tokio::test]
    async fn parts_pass_once_in_order_whatever_is_repeated() {
        let (feed, mut reader) = ListFeed::new(Point::new(1, 2));
        feed.push(part(0, false)).await.unwrap();
        feed.push(part(0, false)).await.unwrap();
        assert!(feed.push(part(2, true)).await.is_err(), "a gap");
        feed.push(part(1, true)).await.unwrap();
        feed.push(part(0, false)).await.unwrap();
        feed.fail("too late to matter").await;
        drop(feed);
        let mut seen = Vec::new();
        while let Some(part) = reader.recv().await {
            seen.push(part);
        }
        let extents = |n: u64| Part::Extents(vec![Extent::new(n * 10, 5)]);
        assert_eq!(seen, [extents(0), extents(1), Part::End]);
    }

    #[tokio::test]
    async fn a_list_that_fails_says_so_once() {
        let (feed, mut reader) = ListFeed::new(Point::new(1, 2));
        feed.push(part(0, false)).await.unwrap();
        feed.fail("stream reset").await;
        feed.fail("again").await;
        feed.push(part(1, true)).await.unwrap();
        drop(feed);
        assert!(matches!(reader.recv().await, Some(Part::Extents(_))));
        assert_eq!(
            reader.recv().await,
            Some(Part::Broken("stream reset".into()))
        );
        assert_eq!(reader.recv().await, None);
    }
}
