//! What a file of a simulated disk holds: what is durable, what the cache shows, and what a crash makes
//! of the difference.

use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;

use crate::disk::SECTOR_BYTES;

#[derive(Default)]
pub(super) struct Content {
    /// What is durable. Snapshots share it until it changes.
    pub(super) durable: Arc<Vec<u8>>,
    pub(super) cached: Vec<u8>,
    pub(super) dirty: Vec<Dirty>,
}

/// Something that was done since the last flush.
#[derive(Clone)]
pub(super) enum Dirty {
    Write(u64, Vec<u8>),
    Size(u64),
}

pub(super) fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let end = index(offset) + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[index(offset)..end].copy_from_slice(data);
}

impl Dirty {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Dirty::Write(offset, data) => put(bytes, *offset, data),
            Dirty::Size(size) => bytes.resize(index(*size), 0),
        }
    }

    /// Applies as much as survives: all, nothing, or some of the sectors.
    pub(super) fn apply_torn(&self, bytes: &mut Vec<u8>, random: &mut StdRng) {
        let Dirty::Write(offset, data) = self else {
            if random.random() {
                self.apply(bytes);
            }
            return;
        };
        match random.random_range(0..3) {
            0 => {}
            1 => self.apply(bytes),
            _ => {
                let mut at = 0;
                while at < data.len() {
                    let room = SECTOR_BYTES - (offset + at as u64) % SECTOR_BYTES;
                    let end = data.len().min(at + index(room));
                    if random.random() {
                        put(bytes, offset + at as u64, &data[at..end]);
                    }
                    at = end;
                }
            }
        }
    }
}

impl Content {
    /// What was done since the last flush is durable.
    pub(super) fn settle(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for dirty in self.dirty.drain(..) {
            dirty.apply(durable);
        }
    }

    /// What is not flushed survives in part; the rest is gone.
    pub(super) fn lose(&mut self, random: &mut StdRng) {
        if self.dirty.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for dirty in self.dirty.drain(..) {
            dirty.apply_torn(durable, random);
        }
    }
}
