//! Taking in one cycle: each batch is checked, hashed and written to its sink.

use crate::mutations::{Rule, Settings};
use crate::receive::checkpoint::{Checkpoints, Flush};
use crate::receive::open_sink::Sink;
use crate::translate;
use protocol::changes::{CycleSum, hash_blocks};
use protocol::pair::Refused;
use wire::{Batch, unpack_within};

/// A cycle as far as it was received.
pub struct Intake {
    size: u64,
    through: u64,
    /// Batches of this run that have come.
    batches: u64,
    sink: Sink,
    checkpoints: Checkpoints,
    settings: Settings,
}

/// What one batch held, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Data.
    pub data: u64,
    /// Zeros.
    pub zero: u64,
}

impl Intake {
    /// Takes in a cycle for a cut of `size` bytes from where the sink is, at `now` in milliseconds.
    #[must_use]
    pub fn new(size: u64, sink: Sink, now: u64, settings: Settings) -> Intake {
        let through = sink.through();
        Intake {
            size,
            through,
            batches: 0,
            sink,
            checkpoints: Checkpoints::new(through, now, settings.limits),
            settings,
        }
    }

    /// Everything below this byte of the volume has been received.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Takes a batch.
    ///
    /// # Errors
    /// When it is not the next one, not what the protocol allows, or a disk fails or is full.
    pub fn batch(&mut self, batch: Batch) -> Result<Taken, Refused> {
        let batch = batch
            .is_next(self.batches)
            .and_then(|()| unpack_within(batch, self.through, self.size, &self.settings.limits))
            .map_err(|error| translate::wire_failed(&error))?;
        self.batches += 1;
        let digests = hash_blocks(&batch);
        let through = batch.through;
        let data = batch.data.len() as u64;
        let all: u64 = batch.regions.iter().map(|region| region.extent.len).sum();
        self.checkpoints.received(data);
        self.sink.append(batch, &digests)?;
        self.through = through;
        Ok(Taken {
            data,
            zero: all - data,
        })
    }

    /// Whether what was received has to be made durable at `now`, in milliseconds.
    #[must_use]
    pub fn is_flush_due(&self, now: u64) -> bool {
        self.checkpoints.are_due(self.through, now)
    }

    /// The flush of everything received by `now`, in milliseconds.
    pub fn flush(&mut self, now: u64) -> Flush {
        self.checkpoints.begun(self.through, now);
        self.sink.checkpoint()
    }

    /// Ends it, if it comes to `sum`; durable on return.
    ///
    /// # Errors
    /// When it comes to something else, or a disk fails.
    pub fn seal(&mut self, sum: CycleSum) -> Result<(), Refused> {
        let rules = self.settings.rules;
        let blind = rules.breaks(Rule::AppliesUnsealed) || rules.breaks(Rule::ResumesTooFar);
        let own = self.sink.sum().filter(|_| blind);
        self.sink.seal(own.unwrap_or(sum))
    }

    /// Where it was written.
    #[must_use]
    pub fn into_sink(self) -> Sink {
        self.sink
    }
}
