//! A page of block digests: 255 of them, and a checksum that also says which page it is.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4080 | 255 digests of 16 bytes |
//! | 4080..4084 | CRC-32C of the digests and the page's number |
//! | 4084..4096 | zero |
//!
//! A page that is all zeros says that its blocks are all zero: a hole in the file is valid.

use crate::wire::BlockDigest;

/// The length of a page in bytes.
pub(super) const PAGE_BYTES: usize = 4096;

/// Blocks in a page.
pub(super) const BLOCKS_PER_PAGE: u64 = 255;

const CRC_AT: usize = BLOCKS_PER_PAGE as usize * BlockDigest::BYTES;

/// One page in memory.
pub(super) struct Page {
    number: u64,
    bytes: Box<[u8; PAGE_BYTES]>,
    /// Digests set so far, where the page on disk was damaged; such a page is written back only
    /// when all of them were, because the others are unknown and must not get a right checksum.
    mending: Option<u64>,
}

impl Page {
    /// The page that says that all its blocks are zero.
    pub(super) fn zero(number: u64) -> Page {
        Page {
            number,
            bytes: Box::new([0; PAGE_BYTES]),
            mending: None,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..]
    }

    /// Turns a page that was loaded into one that can be changed, damaged or not.
    pub(super) fn loaded(mut self, in_file: bool) -> Page {
        if !in_file || !is_whole(self.number, &self.bytes[..]) {
            self.bytes.fill(0);
            self.mending = Some(0);
        }
        self
    }

    /// Whether every digest of the page is known, in a volume of `blocks` blocks.
    pub(super) fn is_known(&self, blocks: u64) -> bool {
        let own = BLOCKS_PER_PAGE.min(blocks.saturating_sub(self.number * BLOCKS_PER_PAGE));
        self.mending.is_none_or(|set| set >= own)
    }

    /// Sets a digest; each at most once.
    pub(super) fn set(&mut self, block: u64, digest: BlockDigest) {
        if let Some(set) = &mut self.mending {
            *set += 1;
        }
        let at = place(block);
        self.bytes[at..at + BlockDigest::BYTES].copy_from_slice(&digest.0);
    }

    /// The page's bytes with their checksum.
    pub(super) fn sealed(&mut self) -> &[u8] {
        let crc = if self.bytes[..CRC_AT].iter().all(|b| *b == 0) {
            0
        } else {
            crc(self.number, &self.bytes[..])
        };
        self.bytes[CRC_AT..].fill(0);
        self.bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        &self.bytes[..]
    }
}

/// Whether `page` is what was once written as page `number`.
pub(super) fn is_whole(number: u64, page: &[u8]) -> bool {
    page.iter().all(|b| *b == 0) || page[CRC_AT..CRC_AT + 4] == crc(number, page).to_le_bytes()
}

/// The digest of `block` in the page that holds it.
pub(super) fn digest_in(page: &[u8], block: u64) -> BlockDigest {
    let at = place(block);
    let mut digest = BlockDigest::ZERO;
    digest.0.copy_from_slice(&page[at..at + BlockDigest::BYTES]);
    digest
}

fn place(block: u64) -> usize {
    usize::try_from(block % BLOCKS_PER_PAGE).unwrap_or(0) * BlockDigest::BYTES
}

fn crc(number: u64, page: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &page[..CRC_AT])
}
