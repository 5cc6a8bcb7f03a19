//! What a volume ought to hold, a number a block: small enough that all of history is kept.

use crate::wire::BLOCK_BYTES;

/// Bytes of a block.
pub(super) const BLOCK: usize = BLOCK_BYTES as usize;

/// What a block holds: 0 is zeros, any other number a pattern of its own.
pub(super) type Tag = u64;

/// The content of a volume of `size` bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// The size in bytes.
    pub(super) size: u64,
    /// What each block holds; the last one may be cut off.
    pub(super) tags: Vec<Tag>,
}

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

impl Image {
    /// Zeros.
    pub(super) fn zeros(size: u64) -> Image {
        let mut image = Image::default();
        image.grow(size);
        image
    }

    /// Makes it longer, by zeros.
    pub(super) fn grow(&mut self, size: u64) {
        self.size = size;
        self.tags
            .resize(usize::try_from(size.div_ceil(BLOCK_BYTES)).unwrap_or(0), 0);
    }

    /// The first block where `bytes` hold something else. What lies past the image is no part of it.
    pub(super) fn differs(&self, bytes: &[u8]) -> Option<usize> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let Some(bytes) = bytes.get(..size) else {
            return Some(bytes.len() / BLOCK);
        };
        let same = |(tag, block): (&Tag, &[u8])| {
            (0..).zip(block.chunks(8)).all(|(n, word)| {
                let bytes = word_of(*tag, n).to_le_bytes();
                *word == bytes[..word.len()]
            })
        };
        self.tags
            .iter()
            .zip(bytes.chunks(BLOCK))
            .position(|pair| !same(pair))
    }
}
