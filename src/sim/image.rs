//! What a volume ought to hold: small enough that all of history is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::changes::BLOCK_BYTES;

/// Bytes of a block.
pub(super) const BLOCK: usize = BLOCK_BYTES as usize;

/// What is written to a block: 0 is zeros, any other number a pattern of its own.
pub(super) type Tag = u64;

/// The content of a volume. Clones share it until one of them changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image(Arc<Vec<u8>>);

/// A block of the pattern.
pub(super) fn fill(tag: Tag, out: &mut [u8]) {
    for (n, word) in (0..).zip(out.chunks_mut(8)) {
        let bytes = word_of(tag, n).to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
}

fn word_of(tag: Tag, n: u64) -> u64 {
    match tag {
        0 => 0,
        tag => tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 40) | 1,
    }
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Image {
    /// What a volume holds.
    pub(super) fn of(bytes: &[u8]) -> Image {
        Image(Arc::new(bytes.to_vec()))
    }

    /// What a snapshot holds.
    pub(super) fn sharing(bytes: &Arc<Vec<u8>>) -> Image {
        Image(bytes.clone())
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Makes it longer, by zeros.
    pub(super) fn grow(&mut self, size: u64) {
        if index(size) > self.0.len() {
            Arc::make_mut(&mut self.0).resize(index(size), 0);
        }
    }

    /// A block was written, as far as the volume goes.
    pub(super) fn write(&mut self, block: u64, tag: Tag) {
        let bytes = Arc::make_mut(&mut self.0);
        let from = index(block * BLOCK_BYTES).min(bytes.len());
        let to = (from + BLOCK).min(bytes.len());
        fill(tag, &mut bytes[from..to]);
    }

    /// The first block where `bytes` hold something else, besides those that are `rotten`. What is
    /// past the image is no part of it.
    pub(super) fn differs(&self, bytes: &[u8], rotten: &BTreeSet<u64>) -> Option<u64> {
        let part = bytes.get(..self.0.len()).unwrap_or(bytes);
        if part == &self.0[..] {
            return None;
        }
        if part.len() < self.0.len() {
            return Some(part.len() as u64 / BLOCK_BYTES);
        }
        let blocks = self.0.chunks(BLOCK).zip(part.chunks(BLOCK));
        let unlike = (0..)
            .zip(blocks)
            .find(|(block, (held, found))| held != found && !rotten.contains(block));
        unlike.map(|(block, _)| block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_was_cut_off_goes_on_with_zeros_once_the_volume_grows() {
        let mut image = Image::of(&vec![0; 2 * BLOCK - 512]);
        image.write(1, 7);
        let mut bytes = vec![0; 2 * BLOCK];
        fill(7, &mut bytes[BLOCK..]);
        let none = BTreeSet::new();
        assert_eq!(image.differs(&bytes, &none), None);
        image.grow(2 * BLOCK_BYTES);
        assert_eq!(image.differs(&bytes, &none), Some(1));
        assert_eq!(image.differs(&bytes, &BTreeSet::from([1])), None);
        bytes[2 * BLOCK - 512..].fill(0);
        assert_eq!(image.differs(&bytes, &none), None);
        assert_eq!(image.differs(&bytes[..BLOCK], &none), Some(1));
    }
}
