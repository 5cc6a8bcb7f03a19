//! Reading kept digests.

use std::sync::Arc;

use crate::journal::JournalError;
use crate::journal::digest_page::{BLOCKS_PER_PAGE, PAGE_BYTES, digest_in, is_known};
use crate::seam::BlockFile;
use protocol::changes::BlockDigest;

/// Reads kept digests by position. Memory does not grow with the volume.
#[derive(Clone)]
pub struct DigestReader {
    pages: Arc<dyn BlockFile>,
    blocks: u64,
}

impl DigestReader {
    pub(super) fn new(pages: Arc<dyn BlockFile>, blocks: u64) -> DigestReader {
        DigestReader { pages, blocks }
    }

    /// Fills `out` with the digests of the blocks from `first`. A block whose page is damaged, or
    /// that the image did not have, is `None`: unknown, so it counts as changed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(&self, first: u64, out: &mut [Option<BlockDigest>]) -> Result<(), JournalError> {
        let end = first + out.len() as u64;
        let mut page = vec![0; PAGE_BYTES];
        let mut block = first;
        while block < end {
            let number = block / BLOCKS_PER_PAGE;
            let page_end = ((number + 1) * BLOCKS_PER_PAGE).min(end);
            let whole = read_page(&*self.pages, number, &mut page)? && is_known(number, &page);
            for b in block..page_end {
                let known = whole && b < self.blocks;
                out[usize::try_from(b - first).unwrap_or(0)] = known.then(|| digest_in(&page, b));
            }
            block = page_end;
        }
        Ok(())
    }
}

/// Reads a page; false where the file ends inside it. Past the end it is all zeros.
pub(super) fn read_page(
    pages: &dyn BlockFile,
    number: u64,
    page: &mut [u8],
) -> Result<bool, JournalError> {
    let offset = number * PAGE_BYTES as u64;
    if offset >= pages.size() {
        page.fill(0);
        return Ok(true);
    }
    if offset + PAGE_BYTES as u64 > pages.size() {
        return Ok(false);
    }
    pages.read_at(offset, page)?;
    Ok(true)
}
