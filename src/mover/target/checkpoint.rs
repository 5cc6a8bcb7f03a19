//! Making durable what was received, in a thread of its own, while more is received.

use std::thread::JoinHandle;

use crate::convert;
use crate::target::receive::{ReceiveEvent, Reports};
use protocol::pair::{Cause, Refused};
use wire::WINDOW_BYTES;

/// A flush begins once this many bytes wait for one: half a window, so that the source, which may be
/// two windows ahead, is let on before it has to wait.
const FLUSH_BYTES: u64 = WINDOW_BYTES / 2;

/// What was received is made durable at least this often, in milliseconds, so that little has to be
/// sent again over a slow link.
const FLUSH_MS: u64 = 2000;

/// A flush that is due. More may be received while it runs.
pub struct Flush(Box<dyn FnOnce() -> Result<u64, Refused> + Send>);

impl Flush {
    /// A flush that `run` does; it gives back up to which byte of the volume everything is durable.
    pub fn new(run: impl FnOnce() -> Result<u64, Refused> + Send + 'static) -> Flush {
        Flush(Box::new(run))
    }

    /// Flushes; on return everything below the returned byte of the volume is durable.
    ///
    /// # Errors
    /// When a disk fails.
    pub fn run(self) -> Result<u64, Refused> {
        (self.0)()
    }
}

/// The flushes of one cycle, one at a time.
#[derive(Debug)]
pub struct Checkpoints {
    reports: Reports,
    under_way: Option<JoinHandle<Result<(), Refused>>>,
    /// Bytes of data since the last flush began, and when that was, in milliseconds.
    unflushed: u64,
    flushed_at: u64,
    flushed_through: u64,
}

impl Checkpoints {
    /// Those of a cycle of which everything below `through` is durable at `now`. The loop is told of
    /// each.
    #[must_use]
    pub fn new(reports: Reports, through: u64, now: u64) -> Checkpoints {
        Checkpoints {
            reports,
            under_way: None,
            unflushed: 0,
            flushed_at: now,
            flushed_through: through,
        }
    }

    /// Notes that `bytes` of data were received.
    pub fn received(&mut self, bytes: u64) {
        self.unflushed += bytes;
    }

    /// Whether to begin a flush, where everything below `through` was received by `now`.
    ///
    /// # Errors
    /// When the last one has failed.
    pub fn due(&mut self, through: u64, now: u64) -> Result<bool, Refused> {
        if self
            .under_way
            .as_ref()
            .is_some_and(|flush| !flush.is_finished())
        {
            return Ok(false);
        }
        self.finish()?;
        let late = now.saturating_sub(self.flushed_at) >= FLUSH_MS;
        Ok(self.unflushed >= FLUSH_BYTES || (late && through > self.flushed_through))
    }

    /// Begins `flush`, of everything below `through`, which was [`Checkpoints::due`] at `now`.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn begin(&mut self, flush: Flush, through: u64, now: u64) -> Result<(), Refused> {
        (self.unflushed, self.flushed_at, self.flushed_through) = (0, now, through);
        let reports = self.reports.clone();
        let thread = std::thread::Builder::new()
            .name("ferry-flush".into())
            .spawn(move || {
                reports.tell(ReceiveEvent::Durable(flush.run()?));
                Ok(())
            })
            .map_err(|error| convert::no_thread(&error))?;
        self.under_way = Some(thread);
        Ok(())
    }

    /// Waits for the flush under way, if there is one.
    ///
    /// # Errors
    /// When it has failed.
    pub fn finish(&mut self) -> Result<(), Refused> {
        let Some(flush) = self.under_way.take() else {
            return Ok(());
        };
        flush
            .join()
            .unwrap_or_else(|_| Err(Refused::new(Cause::Internal, "flushing panicked")))
    }
}
