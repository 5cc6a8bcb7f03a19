//! Feeding the list of changed extents to the source mover.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::time::Instant;

use crate::link::connection::Connection;
use crate::link::registry::accepted;
use crate::link::{MoverKey, MoverLinkError, MoverLinks};
use protocol::units::{Extent, Point};
use wire::control::{ChangeList, EXTENTS_PER_BATCH_MAX, ExtentBatch, Request};

/// How long the mover may go without any change of its status while a batch waits to be taken. It
/// takes a batch when it has room, which under a bandwidth limit may be hours.
pub const FEED_STALL: Duration = Duration::from_secs(180);

/// How often the mover's status is read meanwhile.
const FEED_LOOK: Duration = Duration::from_secs(5);

/// What a feed has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FedExtents {
    /// Extents sent.
    pub extents: u64,
    /// Bytes that they cover.
    pub bytes: u64,
    /// Why the list broke; `None` when it was sent whole.
    pub broken: Option<String>,
}

impl MoverLinks {
    /// Sends `extents` as the list `changes` that the `Ship` request for `cycle` announced, in batches, over a connection of its own.
    /// No more than one batch and one item of the stream is held in memory. When the stream breaks, the mover gets it with
    /// `ExtentsFailed` and the result says why; that is no error: the mover falls back to the next change source.
    /// Dropping the future leaves the list unfinished, which the mover counts as broken too.
    ///
    /// # Errors
    /// When the mover can't be reached, refuses, or has not moved for [`FEED_STALL`].
    pub async fn feed_extents<S, E>(
        &self,
        key: &MoverKey,
        cycle: Point,
        changes: ChangeList,
        extents: S,
    ) -> Result<FedExtents, MoverLinkError>
    where
        S: Stream<Item = Result<Vec<Extent>, E>> + Send,
        E: std::fmt::Display + Send,
    {
        let mut feed = Feed {
            links: self,
            key,
            cycle,
            changes,
            connection: self.dial(key).await?,
            from: 0,
            sent: FedExtents {
                extents: 0,
                bytes: 0,
                broken: None,
            },
        };
        let mut extents = pin!(extents);
        let mut waiting: Vec<Extent> = Vec::new();
        while let Some(next) = extents.next().await {
            match next {
                Ok(more) => waiting.extend(more),
                Err(e) => return feed.fail(e.to_string()).await,
            }
            // The last part must be marked as such, so one extent always stays back.
            while waiting.len() > EXTENTS_PER_BATCH_MAX {
                let rest = waiting.split_off(EXTENTS_PER_BATCH_MAX);
                let full = std::mem::replace(&mut waiting, rest);
                feed.send(full, false).await?;
            }
        }
        feed.send(waiting, true).await?;
        Ok(feed.sent)
    }
}

struct Feed<'a> {
    links: &'a MoverLinks,
    key: &'a MoverKey,
    cycle: Point,
    changes: ChangeList,
    connection: Connection,
    from: u64,
    sent: FedExtents,
}

impl Feed<'_> {
    async fn send(&mut self, extents: Vec<Extent>, last: bool) -> Result<(), MoverLinkError> {
        let count = extents.len() as u64;
        let bytes: u64 = extents.iter().map(|extent| extent.len).sum();
        let reaches = extents.last().map_or(self.from, Extent::end);
        let batch = ExtentBatch {
            cycle: self.cycle,
            changes: self.changes,
            from: self.from,
            extents,
            last,
        };
        self.ask(Request::Extents(batch)).await?;
        self.from = reaches;
        self.sent.extents += count;
        self.sent.bytes += bytes;
        Ok(())
    }

    async fn fail(mut self, reason: String) -> Result<FedExtents, MoverLinkError> {
        let request = Request::ExtentsFailed {
            cycle: self.cycle,
            changes: self.changes,
            reason: reason.clone(),
        };
        self.ask(request).await?;
        self.sent.broken = Some(reason);
        Ok(self.sent)
    }

    /// Waits for the answer as long as the mover shows life.
    async fn ask(&mut self, request: Request) -> Result<(), MoverLinkError> {
        self.connection.begin(request.into()).await?;
        let version = || self.links.status(self.key).map(|status| status.version);
        let mut seen = version();
        let mut since = Instant::now();
        loop {
            match self.connection.answer(FEED_LOOK).await {
                Ok(response) => return accepted(self.key, response),
                Err(MoverLinkError::TimedOut { address, .. }) => {
                    let now = version();
                    if now != seen {
                        (seen, since) = (now, Instant::now());
                    }
                    if since.elapsed() >= FEED_STALL {
                        let seconds = FEED_STALL.as_secs();
                        return Err(MoverLinkError::TimedOut { address, seconds });
                    }
                }
                Err(other) => return Err(other),
            }
        }
    }
}
