//! From batches to frames on the link, compressed where it pays, within the window.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tokio::sync::mpsc;

use crate::source::window::Window;
use protocol::changes::BatchData;
use protocol::pair::{Cause, Refused};
use protocol::units::Point;
use storage::seam::Clock;
use wire::control::Compression;
use wire::{Compressor, Encoded, Message, encode, pack};

/// What packing needs.
pub struct Packer {
    /// The cut that the batches are of.
    pub cycle: Point,
    /// Whether to compress.
    pub compression: Compression,
    /// Measures what compressing brings.
    pub clock: Arc<dyn Clock>,
    /// How much may be under way.
    pub window: Arc<Window>,
    /// To the link.
    pub link: mpsc::Sender<Encoded>,
}

impl Packer {
    /// Packs what comes until nothing more comes.
    ///
    /// # Errors
    /// When the link has ended or the cycle was stopped.
    pub fn run(self, batches: Receiver<BatchData>) -> Result<(), Refused> {
        let ended = || Refused::new(Cause::PeerUnreachable, "the connection to the target ended");
        let clock = self.clock.clone();
        let mut compressor = Compressor::new(self.compression, move || clock.monotonic_us());
        for (index, batch) in (0..).zip(batches) {
            if !self.window.wait() {
                return Err(Refused::new(Cause::Aborted, "the cycle was stopped"));
            }
            let (through, len) = (batch.through, batch.data.len() as u64);
            let packed = pack(self.cycle, index, batch, &mut compressor);
            let frame = encode(Message::Batch(packed))
                .map_err(|error| Refused::new(Cause::Internal, error.to_string()))?;
            let bytes = frame.wire_bytes();
            self.window.sent(through, len);
            let started = self.clock.monotonic_us();
            self.link.blocking_send(frame).map_err(|_| ended())?;
            compressor.note_sent(bytes, self.clock.monotonic_us().saturating_sub(started));
        }
        Ok(())
    }
}
