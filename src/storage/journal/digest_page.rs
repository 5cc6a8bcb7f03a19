//! A page of block digests: 255 of them, and a checksum that also says which page it is.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4080 | 255 digests of 16 bytes |
//! | 4080..4084 | CRC-32C of the page's number and of all other bytes of the page |
//! | 4084..4092 | generation of the commit that wrote it, u64 little-endian |
//! | 4092 | 1 where none of its digests is known, else 0 |
//! | 4093..4096 | zero |
//!
//! A page that is all zeros, or a hole, is valid and says that its blocks are all zero, but not by
//! itself: the root over all pages states which pages are zero, because a lost page reads so too.

use protocol::changes::BlockDigest;

/// The length of a page in bytes.
pub(super) const PAGE_BYTES: usize = 4096;

/// Blocks in a page.
pub const BLOCKS_PER_PAGE: u64 = 255;

const CRC_AT: usize = BLOCKS_PER_PAGE as usize * BlockDigest::BYTES;
const GENERATION_AT: usize = CRC_AT + 4;
const UNKNOWN_AT: usize = GENERATION_AT + 8;

/// One page in memory.
pub(super) struct Page {
    number: u64,
    bytes: Box<[u8; PAGE_BYTES]>,
    /// Digests set so far, where those on disk are not known: once all of them were set they are.
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

    /// Turns a page that was loaded into one that can be changed, damaged or not. What reads as zeros
    /// while an interrupted update is done `again` may have been lost meanwhile.
    pub(super) fn loaded(mut self, in_file: bool, again: bool) -> Page {
        let lost = again && is_zero(&self.bytes[..]);
        if !in_file || lost || !is_known(self.number, &self.bytes[..]) {
            self.bytes.fill(0);
            self.mending = Some(0);
        }
        self
    }

    /// Sets a digest; each at most once.
    pub(super) fn set(&mut self, block: u64, digest: BlockDigest) {
        if let Some(set) = &mut self.mending {
            *set += 1;
        }
        let at = place(block);
        self.bytes[at..at + BlockDigest::BYTES].copy_from_slice(&digest.0);
    }

    /// The page's bytes as the commit `generation` writes them, in a volume of `blocks` blocks. Where not
    /// every digest is known, none is.
    pub(super) fn sealed(&mut self, generation: u64, blocks: u64) -> &[u8] {
        let own = BLOCKS_PER_PAGE.min(blocks.saturating_sub(self.number * BLOCKS_PER_PAGE));
        let known = self.mending.is_none_or(|set| set >= own);
        if !known {
            self.bytes.fill(0);
        }
        self.bytes[CRC_AT..].fill(0);
        if known && self.bytes[..CRC_AT].iter().all(|b| *b == 0) {
            return &self.bytes[..];
        }
        self.bytes[GENERATION_AT..UNKNOWN_AT].copy_from_slice(&generation.to_le_bytes());
        self.bytes[UNKNOWN_AT] = u8::from(!known);
        let crc = crc(self.number, &self.bytes[..]);
        self.bytes[CRC_AT..GENERATION_AT].copy_from_slice(&crc.to_le_bytes());
        &self.bytes[..]
    }
}

/// Whether `page` is what was once written as page `number`.
pub(super) fn is_whole(number: u64, page: &[u8]) -> bool {
    is_zero(page) || page[CRC_AT..GENERATION_AT] == crc(number, page).to_le_bytes()
}

/// Whether `page` is what was once written as page `number`, and its digests are known.
pub(super) fn is_known(number: u64, page: &[u8]) -> bool {
    page[UNKNOWN_AT] == 0 && is_whole(number, page)
}

/// What page `number` adds to the root: it differs for every number, generation and checksum, and is 0
/// for a page of zeros.
pub(super) fn weight(number: u64, page: &[u8]) -> u128 {
    if is_zero(page) {
        return 0;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&page[CRC_AT..UNKNOWN_AT]);
    let mut weight = [0; 16];
    hasher.finalize_xof().fill(&mut weight);
    u128::from_le_bytes(weight)
}

fn is_zero(page: &[u8]) -> bool {
    page.iter().all(|b| *b == 0)
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
    let digests = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &page[..CRC_AT]);
    crc32c::crc32c_append(digests, &page[GENERATION_AT..])
}
