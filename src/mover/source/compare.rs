//! What candidates are compared with: digests kept here, or those of the standby's image.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::journal::DigestReader;
use crate::mover::convert;
use crate::pair::{Cause, Refused};
use crate::units::Extent;
use crate::wire::{self, BLOCK_BYTES, BlockDigest, DigestRequest, Message};

/// Blocks in one request to the standby: 16 MiB of the volume, 64 KiB of digests.
const REQUEST_BLOCKS: u64 = 4096;

/// Requests to the standby that are under way at once. Beyond it the next waits for an answer.
const REQUESTS_MAX: u64 = 4;

/// How long to wait for an answer before looking whether the cycle was stopped.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Where digests come from.
pub enum Reference {
    /// Nowhere: everything counts as changed.
    Nothing,
    /// From this side's store.
    Kept(DigestReader),
    /// From the standby.
    Standby(StandbyDigests),
}

/// Asks the standby for digests, ahead of need and in order.
pub struct StandbyDigests {
    words: mpsc::Sender<Message>,
    answers: Receiver<wire::Digests>,
    size: u64,
    /// Answers that came, by first block.
    windows: BTreeMap<u64, Vec<BlockDigest>>,
    /// The first block that is not asked for yet.
    asked: u64,
}

impl Reference {
    /// The digests of the blocks from `first`; `None` for one that is not known and so counts as
    /// changed.
    ///
    /// # Errors
    /// When the store or the standby can't be read.
    pub fn read(
        &mut self,
        first: u64,
        out: &mut [Option<BlockDigest>],
        stopped: &AtomicBool,
    ) -> Result<(), Refused> {
        match self {
            Reference::Nothing => out.fill(None),
            Reference::Kept(reader) => reader
                .read(first, out)
                .map_err(|error| convert::journal_failed(&error))?,
            Reference::Standby(standby) => {
                for (block, digest) in (first..).zip(out.iter_mut()) {
                    *digest = standby.digest(block, stopped)?;
                }
            }
        }
        Ok(())
    }
}

impl StandbyDigests {
    /// Digests of a standby's volume of which `size` bytes matter. Requests go to `words`, answers
    /// come from `answers`.
    #[must_use]
    pub fn new(words: mpsc::Sender<Message>, answers: Receiver<wire::Digests>, size: u64) -> StandbyDigests {
        StandbyDigests {
            words,
            answers,
            size,
            windows: BTreeMap::new(),
            asked: 0,
        }
    }

    fn digest(&mut self, block: u64, stopped: &AtomicBool) -> Result<Option<BlockDigest>, Refused> {
        let window = block / REQUEST_BLOCKS * REQUEST_BLOCKS;
        // Positions ascend, so what lies before is not needed again.
        while let Some(entry) = self.windows.first_entry()
            && *entry.key() < window
        {
            entry.remove();
        }
        self.asked = self.asked.max(window);
        while !self.windows.contains_key(&window) {
            self.ask_ahead(window)?;
            self.take_answer(stopped)?;
        }
        let digests = &self.windows[&window];
        let index = usize::try_from(block - window).unwrap_or(usize::MAX);
        Ok(digests.get(index).copied())
    }

    fn ask_ahead(&mut self, window: u64) -> Result<(), Refused> {
        let end = wire::block_count(self.size);
        while self.asked < end && self.asked < window + REQUESTS_MAX * REQUEST_BLOCKS {
            let offset = self.asked * BLOCK_BYTES;
            let len = (REQUEST_BLOCKS * BLOCK_BYTES).min(self.size - offset);
            let request = DigestRequest {
                extent: Extent::new(offset, len),
            };
            self.words
                .blocking_send(Message::DigestRequest(request))
                .map_err(|_| gone())?;
            self.asked += REQUEST_BLOCKS;
        }
        Ok(())
    }

    fn take_answer(&mut self, stopped: &AtomicBool) -> Result<(), Refused> {
        loop {
            if stopped.load(Ordering::Acquire) {
                return Err(Refused::new(Cause::Aborted, "the cycle was stopped"));
            }
            match self.answers.recv_timeout(LOOK_AGAIN) {
                Ok(answer) => {
                    let first = answer.extent.offset / BLOCK_BYTES;
                    self.windows.insert(first, answer.digests);
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }
}

fn gone() -> Refused {
    Refused::new(
        Cause::PeerUnreachable,
        "the standby's connection ended before it told its digests",
    )
}
