//! Whether and how payloads are compressed.

use crate::Codec;
use crate::control::Compression;

/// In `auto`, one batch in this many is compressed only to learn what it would bring.
const SAMPLE_EVERY: u64 = 64;

/// The first batches are all measured, so that a short cycle profits too.
const FIRST_SAMPLES: u64 = 4;

/// Data shorter than this many bytes is sent as it is.
const WORTHWHILE_BYTES: usize = 512;

/// zstd's fastest regular level: higher ones cost far more time than they save bytes.
const ZSTD_LEVEL: i32 = 1;

/// Compression has to beat sending plain by this factor, in tenths, to be chosen.
const MARGIN_TENTHS: u64 = 11;

/// Compresses batches as asked; in `auto` only while it makes the whole faster.
///
/// Compressing and sending overlap, so a codec pays when the slower of the two (compressing, or
/// sending what is left) is faster than sending everything. Speeds are measured on this very data
/// and this very wire.
pub struct Compressor {
    mode: Compression,
    now_us: Box<dyn Fn() -> u64 + Send>,
    batches: u64,
    wire: Rate,
    lz4: Gain,
    zstd: Gain,
}

/// Bytes and the time that they took, the older the fainter.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    bytes: u64,
    us: u64,
}

/// What a codec did to the samples.
#[derive(Clone, Copy, Debug, Default)]
struct Gain {
    speed: Rate,
    packed_bytes: u64,
}

impl Rate {
    fn add(&mut self, bytes: u64, us: u64) {
        self.bytes = self.bytes / 2 + bytes;
        self.us = self.us / 2 + us;
    }

    /// Picoseconds a byte; `None` before anything was measured.
    fn ps_per_byte(&self) -> Option<u64> {
        (self.bytes > 0).then(|| self.us.saturating_mul(1_000_000) / self.bytes)
    }
}

impl Gain {
    fn add(&mut self, bytes: u64, packed: u64, us: u64) {
        self.speed.add(bytes, us);
        self.packed_bytes = self.packed_bytes / 2 + packed;
    }

    /// Picoseconds per byte of the volume when compressing and sending overlap.
    fn cost(&self, wire_ps: u64) -> Option<u64> {
        let own = self.speed.ps_per_byte()?;
        let sent = wire_ps.saturating_mul(self.packed_bytes) / self.speed.bytes;
        Some(own.max(sent))
    }
}

impl Compressor {
    /// A compressor that works as `mode` says and measures with a clock that never goes
    /// back, in microseconds.
    #[must_use]
    pub fn new(mode: Compression, now_us: impl Fn() -> u64 + Send + 'static) -> Compressor {
        Compressor {
            mode,
            now_us: Box::new(now_us),
            batches: 0,
            wire: Rate::default(),
            lz4: Gain::default(),
            zstd: Gain::default(),
        }
    }

    /// Reports that `bytes` took `us` microseconds to hand to the wire.
    pub fn note_sent(&mut self, bytes: u64, us: u64) {
        self.wire.add(bytes, us);
    }

    /// The data compressed, or `None` when it is better sent as it is.
    pub fn compress(&mut self, data: &[u8]) -> Option<(Codec, Vec<u8>)> {
        if data.len() < WORTHWHILE_BYTES {
            return None;
        }
        self.batches += 1;
        let codec = match self.mode {
            Compression::Off => return None,
            Compression::Lz4 => Codec::Lz4,
            Compression::Zstd => Codec::Zstd,
            Compression::Auto => self.choose()?,
        };
        let packed = self.run(codec, data)?;
        // Less than a sixteenth saved is not worth the receiver's time.
        (packed.len() < data.len() / 16 * 15).then_some((codec, packed))
    }

    fn choose(&mut self) -> Option<Codec> {
        if self.batches <= FIRST_SAMPLES || self.batches.is_multiple_of(SAMPLE_EVERY) {
            // The samples alternate, so that both are known.
            let even = (self.batches / SAMPLE_EVERY + self.batches).is_multiple_of(2);
            return Some(if even { Codec::Zstd } else { Codec::Lz4 });
        }
        let plain = self.wire.ps_per_byte()?;
        let lz4 = self.lz4.cost(plain).unwrap_or(u64::MAX);
        let zstd = self.zstd.cost(plain).unwrap_or(u64::MAX);
        let best = lz4.min(zstd);
        if best.saturating_mul(MARGIN_TENTHS) >= plain.saturating_mul(10) {
            return None;
        }
        Some(if lz4 <= zstd { Codec::Lz4 } else { Codec::Zstd })
    }

    fn run(&mut self, codec: Codec, data: &[u8]) -> Option<Vec<u8>> {
        let started = (self.now_us)();
        let (packed, gain) = match codec {
            Codec::Plain => return None,
            Codec::Lz4 => (lz4_flex::block::compress(data), &mut self.lz4),
            // zstd fails only without memory; then the data goes as it is.
            Codec::Zstd => (zstd::bulk::compress(data, ZSTD_LEVEL).ok()?, &mut self.zstd),
        };
        let us = (self.now_us)().saturating_sub(started);
        gain.add(data.len() as u64, packed.len() as u64, us);
        Some(packed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A clock on which each reading costs `step` microseconds.
    fn steps(step: u64) -> impl Fn() -> u64 + Send + 'static {
        let now = AtomicU64::new(0);
        move || now.fetch_add(step, Ordering::Relaxed)
    }

    fn auto(step: u64) -> Compressor {
        Compressor::new(Compression::Auto, steps(step))
    }

    /// How many of 640 batches are compressed when a megabyte takes `wire_us` to send and
    /// `codec_us` to compress.
    fn compressed(data: &[u8], codec_us: u64, wire_us: u64) -> usize {
        let mut compressor = auto(codec_us);
        (0..640)
            .filter(|_| {
                let packed = compressor.compress(data).is_some();
                compressor.note_sent(1 << 20, wire_us);
                packed
            })
            .count()
    }

    #[test]
    fn auto_compresses_on_a_slow_wire_and_stops_on_a_fast_one() {
        let text: Vec<u8> = b"all work and no play ".repeat(50_000);
        assert!(compressed(&text, 2_000, 9_000) > 600);
        assert!(compressed(&text, 2_000, 500) < 20);
    }

    #[test]
    fn auto_stops_where_the_data_does_not_shrink() {
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                state.to_le_bytes()[7]
            })
            .collect();
        assert_eq!(compressed(&noise, 2_000, 9_000), 0);
    }

    #[test]
    fn off_never_and_lz4_always_unless_it_grows() {
        let mut off = Compressor::new(Compression::Off, steps(1));
        assert!(off.compress(&[7; 4096]).is_none());
        let mut lz4 = Compressor::new(Compression::Lz4, steps(1));
        assert!(lz4.compress(&[7; 4096]).is_some());
        assert!(lz4.compress(&[7; 100]).is_none());
    }
}
