//! What candidates are compared with: digests kept here, or those of the standby's image.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::source::throttle::Throttle;
use protocol::changes::{BLOCK_BYTES, BlockDigest};
use protocol::pair::resync::Compare;
use protocol::units::Extent;
use storage::journal::{DigestReader, JournalError};
use storage::seam::DiskError;
use storage::volume::Known;
use wire::{DigestRequest, Message};

/// Blocks in one request to the standby: 16 MiB of the volume, 64 KiB of digests.
const REQUEST_BLOCKS: u64 = 4096;

/// Requests to the standby that are under way at once. Beyond it the next waits for an answer.
const REQUESTS_MAX: u64 = 4;

/// How long to wait for an answer before looking whether the cycle was stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where digests come from. It may change while the reader runs: whatever it is, what it says of
/// the standby's image is true.
pub struct Reference {
    kept: Option<DigestReader>,
    compare: Mutex<Compare>,
    standby: Mutex<StandbyDigests>,
    stopped: Arc<AtomicBool>,
}

/// Asks the standby for digests, ahead of need.
struct StandbyDigests {
    words: mpsc::Sender<Message>,
    answers: Receiver<wire::Digests>,
    size: u64,
    /// Answers that came and may still be needed, by first block. Windows of nothing but zeros are
    /// kept as `None`.
    windows: BTreeMap<u64, Option<Vec<BlockDigest>>>,
    /// Windows that were asked for and have not come.
    asked: BTreeSet<u64>,
    /// How fast both sides read, where that has a limit.
    pace: Option<Pace>,
}

/// A limit on what is read. The standby reads what it is asked for, and this side reads no further
/// than it has answers, so that one valve on the questions holds for both.
struct Pace {
    throttle: Throttle,
    runtime: Handle,
}

impl Reference {
    /// Digests of a volume of `size` bytes. `kept` are those of this side's store; requests to the
    /// standby go to `words`, and its answers come from `answers`.
    #[must_use]
    pub fn new(
        compare: Compare,
        kept: Option<DigestReader>,
        words: mpsc::Sender<Message>,
        answers: Receiver<wire::Digests>,
        size: u64,
        stopped: Arc<AtomicBool>,
    ) -> Reference {
        Reference {
            kept,
            compare: Mutex::new(compare),
            standby: Mutex::new(StandbyDigests {
                words,
                answers,
                size,
                windows: BTreeMap::new(),
                asked: BTreeSet::new(),
                pace: None,
            }),
            stopped,
        }
    }

    /// Lets neither side read more than `bytes_per_second`.
    pub fn limit(&self, bytes_per_second: u64, runtime: Handle) {
        lock(&self.standby).pace = Some(Pace {
            throttle: Throttle::new(Some(bytes_per_second)),
            runtime,
        });
    }

    /// Compares with something else from now on.
    pub fn compare_with(&self, compare: Compare) {
        *lock(&self.compare) = compare;
    }

    /// What the volume's reader asks.
    #[must_use]
    pub fn known(self: &Arc<Reference>) -> Known {
        let reference = self.clone();
        Known::new(move |first, out| reference.read(first, out))
    }

    /// The standby's digest of a block that the reader asked for and that was not released yet.
    #[must_use]
    pub fn standby_digest(&self, block: u64) -> Option<BlockDigest> {
        let window = block / REQUEST_BLOCKS * REQUEST_BLOCKS;
        let standby = lock(&self.standby);
        match standby.windows.get(&window)? {
            None => Some(BlockDigest::ZERO),
            Some(digests) => digests.get(usize::try_from(block - window).ok()?).copied(),
        }
    }

    /// Forgets the standby's digests of the blocks below `block`.
    pub fn release(&self, block: u64) {
        let mut standby = lock(&self.standby);
        while let Some(entry) = standby.windows.first_entry()
            && *entry.key() + REQUEST_BLOCKS <= block
        {
            entry.remove();
        }
    }

    fn read(&self, first: u64, out: &mut [Option<BlockDigest>]) -> Result<(), DiskError> {
        let compare = *lock(&self.compare);
        match (compare, &self.kept) {
            (Compare::Kept, Some(kept)) => kept.read(first, out).map_err(|error| match error {
                JournalError::Disk(error) => error,
                other => DiskError::new("read", "kept digests", io::Error::other(other)),
            }),
            (Compare::Nothing | Compare::Kept, _) => {
                out.fill(None);
                Ok(())
            }
            (Compare::Standby, _) => lock(&self.standby)
                .read(first, out, &self.stopped)
                .map_err(|error| DiskError::new("read", "the standby's digests", error)),
        }
    }
}

impl StandbyDigests {
    fn read(
        &mut self,
        first: u64,
        out: &mut [Option<BlockDigest>],
        stopped: &AtomicBool,
    ) -> io::Result<()> {
        for (block, digest) in (first..).zip(out.iter_mut()) {
            let window = block / REQUEST_BLOCKS * REQUEST_BLOCKS;
            while !self.windows.contains_key(&window) {
                self.ask_ahead(window, stopped)?;
                self.take_answer(stopped)?;
            }
            *digest = match &self.windows[&window] {
                None => Some(BlockDigest::ZERO),
                Some(digests) => {
                    let index = usize::try_from(block - window).unwrap_or(usize::MAX);
                    digests.get(index).copied()
                }
            };
        }
        Ok(())
    }

    /// Asks for a window and those after it that are likely to be needed next. Windows are asked for
    /// in any order, because several threads read.
    fn ask_ahead(&mut self, window: u64, stopped: &AtomicBool) -> io::Result<()> {
        let end = protocol::changes::block_count(self.size);
        // With a limit the answers are never what is waited for.
        let windows = if self.pace.is_some() { 1 } else { REQUESTS_MAX };
        for ahead in 0..windows {
            let first = window + ahead * REQUEST_BLOCKS;
            let needed = ahead == 0 || self.asked.len() < REQUESTS_MAX as usize;
            if first >= end
                || !needed
                || self.windows.contains_key(&first)
                || !self.asked.insert(first)
            {
                continue;
            }
            let offset = first * BLOCK_BYTES;
            let len = (REQUEST_BLOCKS * BLOCK_BYTES).min(self.size - offset);
            if let Some(pace) = &self.pace {
                pace.take(len, stopped)?;
            }
            let request = DigestRequest {
                extent: Extent::new(offset, len),
            };
            self.words
                .blocking_send(Message::DigestRequest(request))
                .map_err(|_| gone())?;
        }
        Ok(())
    }

    fn take_answer(&mut self, stopped: &AtomicBool) -> io::Result<()> {
        loop {
            look(stopped)?;
            match self.answers.recv_timeout(LOOK_AGAIN) {
                Ok(answer) => {
                    let first = answer.extent.offset / BLOCK_BYTES;
                    let zeros = answer.digests.iter().all(BlockDigest::is_zero);
                    self.windows
                        .insert(first, (!zeros).then_some(answer.digests));
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }
}

impl Pace {
    /// Waits until `bytes` may be read.
    fn take(&self, bytes: u64, stopped: &AtomicBool) -> io::Result<()> {
        loop {
            look(stopped)?;
            let waited = self.runtime.block_on(async {
                tokio::time::timeout(LOOK_AGAIN, self.throttle.take(bytes)).await
            });
            if waited.is_ok() {
                return Ok(());
            }
        }
    }
}

fn look(stopped: &AtomicBool) -> io::Result<()> {
    if stopped.load(Ordering::Acquire) {
        return Err(io::Error::other("the cycle was stopped"));
    }
    Ok(())
}

fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "the standby's connection ended before it told its digests",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked left nothing half-done behind these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
