//! Inputs from inputs: what damage, an attacker and another version would do to them.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Lengths and counts that decoders stumble over.
const NUMBERS: [u64; 14] = [
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    4095,
    4097,
    65_535,
    1 << 24,
    u32::MAX as u64,
    i64::MAX as u64,
    u64::MAX,
];

/// The longest input that is made.
const BYTES_MAX: usize = 64 * 1024;

/// Makes inputs by a seed.
pub struct Mutator {
    random: StdRng,
}

impl Mutator {
    /// What follows depends on `seed` alone.
    pub fn new(seed: u64) -> Mutator {
        Mutator {
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// One of `all`.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.random.random_range(0..all.len())]
    }

    /// True in three of four.
    pub fn mostly(&mut self) -> bool {
        self.random.random_ratio(3, 4)
    }

    /// `base` after one to four changes; `other` lends parts.
    pub fn change(&mut self, base: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        for _ in 0..self.random.random_range(1..=4) {
            self.change_once(&mut bytes, other);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change_once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        if bytes.is_empty() {
            bytes.extend_from_slice(other);
            return;
        }
        let at = self.place(bytes);
        match self.random.random_range(0..10) {
            0..=1 => bytes[at] ^= 1 << self.random.random_range(0..8),
            2 => bytes[at] = self.random.random(),
            3..=4 => self.number(bytes, at),
            5 => self.varint(bytes, at),
            6 => bytes.truncate(at),
            7 => {
                let end = self.end(bytes, at);
                bytes.drain(at..end);
            }
            8 => {
                let end = self.end(bytes, at);
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                if !other.is_empty() {
                    let from = self.place(other);
                    let to = self.end(other, from);
                    let end = bytes
                        .len()
                        .min(at + (to - from) * self.random.random_range(0..2));
                    bytes.splice(at..end, other[from..to].iter().copied());
                }
            }
        }
    }

    /// A place in `bytes`; zeros, of which there are many, only rarely.
    fn place(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        for _ in 0..8 {
            at = self.random.random_range(0..bytes.len());
            if bytes[at] != 0 {
                break;
            }
        }
        at
    }

    /// The end of a part that begins at `at`, mostly a short one.
    fn end(&mut self, bytes: &[u8], at: usize) -> usize {
        let longest = match self.mostly() {
            true => 16,
            false => bytes.len(),
        };
        (at + self.random.random_range(1..=longest)).min(bytes.len())
    }

    /// Edits what may be a length: sets it, or moves it by one.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let width = *self.pick(&[2, 4, 8]);
        let Some(place) = bytes.get_mut(at..at + width) else {
            return;
        };
        let mut value = [0; 8];
        value[..width].copy_from_slice(place);
        let old = u64::from_le_bytes(value);
        let new = match self.random.random_range(0..4) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old.wrapping_mul(2),
            _ => *self.pick(&NUMBERS),
        };
        place.copy_from_slice(&new.to_le_bytes()[..width]);
    }

    /// Replaces a byte, which may be a short length, by a number in as many bytes as it takes.
    fn varint(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let mut number = *self.pick(&NUMBERS);
        let mut encoded = Vec::new();
        while number >= 0x80 {
            encoded.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        encoded.push(number.to_le_bytes()[0]);
        bytes.splice(at..=at, encoded);
    }
}
