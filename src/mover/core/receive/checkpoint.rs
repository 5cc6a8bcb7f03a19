//! When what was received has to be made durable.

use protocol::changes::Limits;
use protocol::pair::Refused;

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

/// The flushes of one cycle.
#[derive(Debug)]
pub struct Checkpoints {
    /// Bytes of data since the last flush began, and when that was, in milliseconds.
    unflushed: u64,
    flushed_at: u64,
    flushed_through: u64,
    /// A flush begins once this many bytes wait for one: half a window, so that the source, which may
    /// be two windows ahead, is let on before it has to wait.
    flush_bytes: u64,
}

impl Checkpoints {
    /// Those of a cycle of which everything below `through` is durable at `now`.
    #[must_use]
    pub fn new(through: u64, now: u64, limits: Limits) -> Checkpoints {
        Checkpoints {
            unflushed: 0,
            flushed_at: now,
            flushed_through: through,
            flush_bytes: limits.window_bytes / 2,
        }
    }

    /// Notes that `bytes` of data were received.
    pub fn received(&mut self, bytes: u64) {
        self.unflushed += bytes;
    }

    /// Whether to begin a flush, where everything below `through` was received by `now`.
    #[must_use]
    pub fn are_due(&self, through: u64, now: u64) -> bool {
        let late = now.saturating_sub(self.flushed_at) >= FLUSH_MS;
        self.unflushed >= self.flush_bytes || (late && through > self.flushed_through)
    }

    /// Notes that a flush of everything below `through` begins at `now`.
    pub fn begun(&mut self, through: u64, now: u64) {
        (self.unflushed, self.flushed_at, self.flushed_through) = (0, now, through);
    }
}
