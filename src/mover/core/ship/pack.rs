//! From batches to frames on the link, compressed where it pays.

use std::sync::Arc;

use protocol::changes::BatchData;
use protocol::pair::{Cause, Refused};
use protocol::units::Point;
use storage::seam::Clock;
use wire::control::Compression;
use wire::{Compressor, Encoded, Message, encode, pack};

/// Packs the batches of one connection's run of a cycle.
pub struct Packer {
    cycle: Point,
    index: u64,
    compressor: Compressor,
}

impl Packer {
    /// Packs batches of the cut `cycle`. What compressing brings is measured with `clock`.
    #[must_use]
    pub fn new(cycle: Point, compression: Compression, clock: Arc<dyn Clock>) -> Packer {
        Packer {
            cycle,
            index: 0,
            compressor: Compressor::new(compression, move || clock.monotonic_us()),
        }
    }

    /// The next batch as a frame.
    ///
    /// # Errors
    /// When it can't be encoded, which is a defect of ours.
    pub fn pack(&mut self, batch: BatchData) -> Result<Encoded, Refused> {
        let packed = pack(self.cycle, self.index, batch, &mut self.compressor);
        self.index += 1;
        encode(Message::Batch(packed))
            .map_err(|error| Refused::new(Cause::Internal, error.to_string()))
    }

    /// Notes that handing a frame of `bytes` to the link took `us` microseconds.
    pub fn note_sent(&mut self, bytes: u64, us: u64) {
        self.compressor.note_sent(bytes, us);
    }
}
