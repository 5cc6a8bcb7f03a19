//! Digests of many blocks at once.
//!
//! BLAKE3 cuts a block of 4 KiB into four chunks of 1 KiB, which fill four of the sixteen lanes that
//! wide vector registers have. Sixteen blocks side by side fill them all: about three times as fast
//! (docs/measurements.md). The result is BLAKE3 itself, by sections 2.1 to 2.5 of its paper
//! (<https://github.com/BLAKE3-team/BLAKE3-specs>): four chunks, two parents, one root.

use std::sync::LazyLock;

use blake3::IncrementCounter;
use blake3::platform::Platform;

use crate::wire::{BLOCK_BYTES, BlockDigest};

const BLOCK: usize = BLOCK_BYTES as usize;
const CHUNK: usize = blake3::CHUNK_LEN;
const NODE: usize = blake3::OUT_LEN;
const CHUNKS: usize = BLOCK / CHUNK;

/// Blocks that are hashed side by side.
const LANES: usize = 16;

/// The key of BLAKE3 without a key: the beginning of SHA-256's state.
const KEY: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

const NO_FLAGS: u8 = 0;
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const PARENT: u8 = 4;
const ROOT: u8 = 8;

static PLATFORM: LazyLock<Platform> = LazyLock::new(Platform::detect);

/// Collects blocks, hashes them sixteen at a time, and keeps their digests in order.
pub struct BlockHasher<'a> {
    digests: Vec<BlockDigest>,
    /// Whole blocks that wait for others, and where their digests belong.
    waiting: Vec<(usize, &'a [u8; BLOCK])>,
}

impl<'a> BlockHasher<'a> {
    /// A hasher for about `blocks` blocks.
    #[must_use]
    pub fn new(blocks: usize) -> BlockHasher<'a> {
        BlockHasher {
            digests: Vec::with_capacity(blocks),
            waiting: Vec::with_capacity(LANES),
        }
    }

    /// Adds a block that is known not to be all zeros, of at most [`BLOCK_BYTES`].
    pub fn data(&mut self, block: &'a [u8]) {
        let Ok(whole) = block.try_into() else {
            // The last block of a volume.
            self.digests.push(BlockDigest::of_data(block));
            return;
        };
        self.waiting.push((self.digests.len(), whole));
        self.digests.push(BlockDigest::ZERO);
        if self.waiting.len() == LANES {
            self.hash_waiting();
        }
    }

    /// Adds a block of zeros.
    pub fn zero(&mut self) {
        self.digests.push(BlockDigest::ZERO);
    }

    /// The digests of everything added, in order.
    #[must_use]
    pub fn finish(mut self) -> Vec<BlockDigest> {
        self.hash_waiting();
        self.digests
    }

    fn hash_waiting(&mut self) {
        let mut roots = [[0; NODE]; LANES];
        let blocks = self.waiting.iter().map(|(_, block)| *block);
        hash_side_by_side(blocks, self.waiting.len(), &mut roots);
        for ((at, _), root) in self.waiting.drain(..).zip(&roots) {
            self.digests[at]
                .0
                .copy_from_slice(&root[..BlockDigest::BYTES]);
        }
    }
}

/// The hashes of at most [`LANES`] blocks.
fn hash_side_by_side<'a>(
    blocks: impl Iterator<Item = &'a [u8; BLOCK]> + Clone,
    count: usize,
    roots: &mut [[u8; NODE]; LANES],
) {
    let mut chunks = [[[0; NODE]; LANES]; CHUNKS];
    for (counter, out) in (0..).zip(&mut chunks) {
        let mut inputs = [&[0; CHUNK]; LANES];
        for (input, block) in inputs.iter_mut().zip(blocks.clone()) {
            *input = &block.as_chunks().0[counter];
        }
        PLATFORM.hash_many(
            &inputs[..count],
            &KEY,
            counter as u64,
            IncrementCounter::No,
            NO_FLAGS,
            CHUNK_START,
            CHUNK_END,
            out.as_flattened_mut(),
        );
    }
    let [first, second, third, fourth] = &chunks;
    let (mut left, mut right) = ([[0; NODE]; LANES], [[0; NODE]; LANES]);
    join(first, second, count, PARENT, &mut left);
    join(third, fourth, count, PARENT, &mut right);
    join(&left, &right, count, PARENT | ROOT, roots);
}

/// The nodes above each pair of nodes.
fn join(
    left: &[[u8; NODE]; LANES],
    right: &[[u8; NODE]; LANES],
    count: usize,
    flags: u8,
    out: &mut [[u8; NODE]; LANES],
) {
    let mut pairs = [[0; 2 * NODE]; LANES];
    for (pair, (left, right)) in pairs.iter_mut().zip(left.iter().zip(right)) {
        pair[..NODE].copy_from_slice(left);
        pair[NODE..].copy_from_slice(right);
    }
    let inputs = pairs.each_ref();
    PLATFORM.hash_many(
        &inputs[..count],
        &KEY,
        0,
        IncrementCounter::No,
        flags,
        NO_FLAGS,
        NO_FLAGS,
        out.as_flattened_mut(),
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The oracle hashes each block by itself, as BLAKE3's own crate does. What is used here of
        /// that crate is hidden from its documentation, so this test is what holds it to its word.
        #[test]
        fn agrees_with_hashing_each_block_by_itself(
            seed in any::<u64>(),
            zeros in proptest::collection::vec(any::<bool>(), 0..40),
            tail in 0_usize..BLOCK,
        ) {
            let mut data = vec![0; zeros.len() * BLOCK + tail];
            blake3::Hasher::new()
                .update(&seed.to_le_bytes())
                .finalize_xof()
                .fill(&mut data);
            let mut hasher = BlockHasher::new(0);
            let mut expected = Vec::new();
            for (index, block) in data.chunks(BLOCK).enumerate() {
                if zeros.get(index) == Some(&true) {
                    hasher.zero();
                    expected.push(BlockDigest::ZERO);
                } else {
                    hasher.data(block);
                    expected.push(BlockDigest::of_data(block));
                }
            }
            prop_assert_eq!(hasher.finish(), expected);
        }
    }
}
