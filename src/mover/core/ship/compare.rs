//! What candidates are compared with: digests kept here, or those of the standby's image.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::changes::{BLOCK_BYTES, BlockDigest, Limits, block_count};
use protocol::pair::change_plan::Compare;
use protocol::units::Extent;
use storage::journal::{DigestReader, JournalError};
use storage::seam::DiskError;
use wire::{DigestRequest, Digests};

/// Requests to the standby that are under way at once. Beyond it the next waits for an answer.
pub const REQUESTS_MAX: usize = 4;

/// Where digests come from. It may change while the reader runs: whatever it is, what it says of
/// the standby's image is true.
pub struct Reference {
    kept: Option<DigestReader>,
    compare: Mutex<Compare>,
    standby: Mutex<StandbyDigests>,
}

/// What a lookup leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The digests are known.
    Known,
    /// The standby has to be asked this first, and its answers to be taken; nothing more has to be
    /// asked where an answer is under way already.
    Ask(Vec<DigestRequest>),
}

/// The standby's digests, asked for ahead of need.
struct StandbyDigests {
    size: u64,
    /// Blocks in one request.
    request_blocks: u64,
    /// Windows that are asked for at once.
    ahead: usize,
    /// Answers that came and may still be needed, by first block. Windows of nothing but zeros are
    /// kept as `None`.
    windows: BTreeMap<u64, Option<Vec<BlockDigest>>>,
    /// Windows that were asked for and have not come.
    asked: BTreeSet<u64>,
}

impl Reference {
    /// Digests of a volume of `size` bytes. `kept` are those of this side's store.
    #[must_use]
    pub fn new(
        compare: Compare,
        kept: Option<DigestReader>,
        size: u64,
        limits: Limits,
    ) -> Reference {
        Reference {
            kept,
            compare: Mutex::new(compare),
            standby: Mutex::new(StandbyDigests {
                size,
                request_blocks: limits.request_blocks,
                ahead: REQUESTS_MAX,
                windows: BTreeMap::new(),
                asked: BTreeSet::new(),
            }),
        }
    }

    /// Asks for one window at a time from now on: with a limit on what is read the answers are never
    /// what is waited for.
    pub fn ask_one_at_a_time(&self) {
        lock(&self.standby).ahead = 1;
    }

    /// Compares with something else from now on.
    pub fn compare_with(&self, compare: Compare) {
        *lock(&self.compare) = compare;
    }

    /// Whether the standby is asked.
    #[must_use]
    pub fn asks(&self) -> bool {
        *lock(&self.compare) == Compare::Standby
    }

    /// Fills `out` with the digests of the blocks from `first` on; `None` is unknown, so that the
    /// block is shipped.
    ///
    /// # Errors
    /// When the kept digests can't be read.
    pub fn lookup(&self, first: u64, out: &mut [Option<BlockDigest>]) -> Result<Lookup, DiskError> {
        let compare = *lock(&self.compare);
        match (compare, &self.kept) {
            (Compare::Kept, Some(kept)) => {
                kept.read(first, out).map_err(|error| match error {
                    JournalError::Disk(error) => error,
                    other => DiskError::new("read", "kept digests", io::Error::other(other)),
                })?;
            }
            (Compare::Nothing | Compare::Kept, _) => out.fill(None),
            (Compare::Standby, _) => return Ok(lock(&self.standby).lookup(first, out)),
        }
        Ok(Lookup::Known)
    }

    /// Takes an answer of the standby.
    pub fn answer(&self, answer: Digests) {
        lock(&self.standby).answer(answer);
    }

    /// The standby's digest of a block that was looked up and that was not released yet.
    #[must_use]
    pub fn standby_digest(&self, block: u64) -> Option<BlockDigest> {
        let standby = lock(&self.standby);
        let window = standby.window_of(block);
        match standby.windows.get(&window)? {
            None => Some(BlockDigest::ZERO),
            Some(digests) => digests.get(usize::try_from(block - window).ok()?).copied(),
        }
    }

    /// Forgets the standby's digests of the blocks below `block`.
    pub fn release(&self, block: u64) {
        let mut standby = lock(&self.standby);
        let blocks = standby.request_blocks;
        while let Some(entry) = standby.windows.first_entry()
            && *entry.key() + blocks <= block
        {
            entry.remove();
        }
    }
}

impl StandbyDigests {
    fn window_of(&self, block: u64) -> u64 {
        block / self.request_blocks * self.request_blocks
    }

    fn lookup(&mut self, first: u64, out: &mut [Option<BlockDigest>]) -> Lookup {
        for (block, digest) in (first..).zip(out.iter_mut()) {
            let window = self.window_of(block);
            let Some(found) = self.windows.get(&window) else {
                return Lookup::Ask(self.ask_ahead(window));
            };
            *digest = match found {
                None => Some(BlockDigest::ZERO),
                Some(digests) => {
                    let index = usize::try_from(block - window).unwrap_or(usize::MAX);
                    digests.get(index).copied()
                }
            };
        }
        Lookup::Known
    }

    /// Asks for a window and those after it that are likely to be needed next. Windows are asked for
    /// in any order, because several threads read.
    fn ask_ahead(&mut self, window: u64) -> Vec<DigestRequest> {
        let end = block_count(self.size);
        let mut requests = Vec::new();
        for ahead in 0..self.ahead {
            let first = window + ahead as u64 * self.request_blocks;
            let needed = ahead == 0 || self.asked.len() < REQUESTS_MAX;
            if first >= end
                || !needed
                || self.windows.contains_key(&first)
                || !self.asked.insert(first)
            {
                continue;
            }
            let offset = first * BLOCK_BYTES;
            let len = (self.request_blocks * BLOCK_BYTES).min(self.size - offset);
            requests.push(DigestRequest {
                extent: Extent::new(offset, len),
            });
        }
        requests
    }

    fn answer(&mut self, answer: Digests) {
        let first = answer.extent.offset / BLOCK_BYTES;
        // What nobody asked for is not believed, and would never be released.
        if self.asked.remove(&first) {
            let zeros = answer.digests.iter().all(BlockDigest::is_zero);
            self.windows
                .insert(first, (!zeros).then_some(answer.digests));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked left nothing half-done behind these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
