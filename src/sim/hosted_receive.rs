//! Receiving, driven one step at a time.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

use crate::mover_host::Setup;
use mover_core::receive::checkpoint::Flush;
use mover_core::receive::intake::Intake;
use mover_core::receive::open_sink::{Sink, open_sink};
use mover_core::state_files::StateFiles;
use mover_core::{ReceiveCounters, ReceiveEvent, Work};
use protocol::changes::CycleSum;
use protocol::pair::{Cause, Refused};
use storage::volume::Applier;
use wire::Batch;

/// What comes to the receiver.
enum Item {
    Batch(Batch),
    End(CycleSum),
}

/// A cycle that is received.
pub(super) struct Receiving {
    pub(super) number: u64,
    intake: Intake,
    items: VecDeque<Item>,
    /// A flush that is under way.
    flush: Option<Flush>,
    counters: ReceiveCounters,
}

impl Receiving {
    /// Opens what `work` asks for.
    pub(super) fn open(
        number: u64,
        work: &Work,
        setup: &Setup,
        files: &StateFiles,
        read_back: &AtomicU64,
        now: u64,
    ) -> Result<Receiving, Refused> {
        let none = || Refused::new(Cause::Internal, "there is nothing to receive to");
        let device = setup.device.clone().ok_or_else(none)?;
        let rules = setup.settings.rules;
        let sink = open_sink(
            work,
            device,
            files.disk(),
            files.kept(),
            Applier::inline,
            read_back,
            rules,
        )?;
        let size = match work {
            Work::Stage { spec, .. } => spec.size_bytes,
            Work::Overwrite { size, .. } => *size,
            _ => return Err(none()),
        };
        let intake = Intake::new(size, sink.ok_or_else(none)?, now, setup.settings);
        Ok(Receiving {
            number,
            counters: ReceiveCounters {
                through: intake.through(),
                ..ReceiveCounters::default()
            },
            intake,
            items: VecDeque::new(),
            flush: None,
        })
    }

    /// Everything below this byte of the volume has been received.
    pub(super) fn through(&self) -> u64 {
        self.intake.through()
    }

    pub(super) fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    /// A batch has come.
    pub(super) fn batch(&mut self, batch: Batch) {
        self.items.push_back(Item::Batch(batch));
    }

    /// That was all.
    pub(super) fn end(&mut self, sum: CycleSum) {
        self.items.push_back(Item::End(sum));
    }

    /// Whether there is anything to do.
    pub(super) fn can_step(&self, now: u64) -> bool {
        !self.items.is_empty() || self.flush.is_some() || self.intake.is_flush_due(now)
    }

    /// One step; a flush that comes due is done `later` or now.
    pub(super) fn step(&mut self, now: u64, later: bool) -> Option<ReceiveEvent> {
        match self.try_step(now, later) {
            Ok(event) => event,
            Err(refused) => Some(ReceiveEvent::Failed(refused)),
        }
    }

    fn try_step(&mut self, now: u64, later: bool) -> Result<Option<ReceiveEvent>, Refused> {
        if let Some(flush) = self.flush.take() {
            let ends = matches!(self.items.front(), Some(Item::End(_)));
            if !ends && later {
                self.flush = Some(flush);
            } else {
                return flush
                    .run()
                    .map(|through| Some(ReceiveEvent::Durable(through)));
            }
        }
        match self.items.pop_front() {
            Some(Item::Batch(batch)) => {
                let taken = self.intake.batch(batch)?;
                self.counters.data += taken.data;
                self.counters.zero += taken.zero;
                self.counters.through = self.intake.through();
            }
            Some(Item::End(sum)) => {
                self.intake.seal(sum)?;
                return Ok(Some(ReceiveEvent::Sealed));
            }
            None => {}
        }
        if self.flush.is_none() && self.intake.is_flush_due(now) {
            self.flush = Some(self.intake.flush(now));
        }
        Ok(None)
    }

    /// Where it was written.
    pub(super) fn into_sink(self) -> Sink {
        self.intake.into_sink()
    }
}
