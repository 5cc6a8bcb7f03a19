//! Writing kept digests, page by page.

use std::sync::Arc;

use crate::journal::digest_page::{BLOCKS_PER_PAGE, PAGE_BYTES, Page, is_whole, weight};
use crate::journal::digest_reader::read_page;
use crate::journal::{DigestLog, JournalError};
use crate::seam::BlockFile;
use protocol::changes::{BlockDigest, blocks_of};
use protocol::units::Extent;

/// Changes digests in ascending order, a page at a time.
pub(super) struct PageWriter {
    pages: Arc<dyn BlockFile>,
    blocks: u64,
    generation: u64,
    /// An interrupted update is done again.
    again: bool,
    open: Option<Page>,
    /// What the pages written so far add to the root.
    weight: u128,
}

/// What was written.
pub(super) struct Written {
    /// What it adds to the root.
    pub(super) weight: u128,
    /// The length of the file, in pages.
    pub(super) pages: u64,
}

impl PageWriter {
    /// A writer of the pages of a volume of `blocks` blocks; `again` after it was interrupted.
    pub(super) fn new(
        pages: Arc<dyn BlockFile>,
        blocks: u64,
        generation: u64,
        again: bool,
    ) -> PageWriter {
        PageWriter {
            pages,
            blocks,
            generation,
            again,
            open: None,
            weight: 0,
        }
    }

    /// Sets the digests of a range; without any it is zero.
    pub(super) fn set(
        &mut self,
        extent: Extent,
        digests: &[BlockDigest],
    ) -> Result<(), JournalError> {
        let blocks = blocks_of(extent);
        let mut block = blocks.start;
        while block < blocks.end {
            let number = block / BLOCKS_PER_PAGE;
            let page_end = ((number + 1) * BLOCKS_PER_PAGE).min(blocks.end);
            if digests.is_empty() && page_end - block == BLOCKS_PER_PAGE {
                block = self.zero_pages(number, blocks.end)?;
                continue;
            }
            let page = self.page(number)?;
            for b in block..page_end {
                let index = usize::try_from(b - blocks.start).unwrap_or(usize::MAX);
                page.set(b, digests.get(index).copied().unwrap_or(BlockDigest::ZERO));
            }
            block = page_end;
        }
        Ok(())
    }

    /// Makes holes of all pages from `number` that are completely before block `end`.
    fn zero_pages(&mut self, number: u64, end: u64) -> Result<u64, JournalError> {
        self.close()?;
        let last = end / BLOCKS_PER_PAGE;
        let from = number * PAGE_BYTES as u64;
        let to = (last * PAGE_BYTES as u64).min(self.pages.size());
        if from < to {
            self.pages.zero(Extent::new(from, to - from))?;
        }
        Ok(last * BLOCKS_PER_PAGE)
    }

    fn page(&mut self, number: u64) -> Result<&mut Page, JournalError> {
        if self
            .open
            .as_ref()
            .is_none_or(|page| page.number() != number)
        {
            self.close()?;
            let mut page = Page::zero(number);
            let in_file = read_page(&*self.pages, number, page.bytes_mut())?;
            self.open = Some(page.loaded(in_file, self.again));
        }
        self.open
            .as_mut()
            .ok_or_else(|| JournalError::OutOfOrder("no page is open".into()))
    }

    fn close(&mut self) -> Result<(), JournalError> {
        if let Some(mut page) = self.open.take() {
            let number = page.number();
            let bytes = page.sealed(self.generation, self.blocks);
            self.pages.write_at(number * PAGE_BYTES as u64, bytes)?;
            self.weight = self.weight.wrapping_add(weight(number, bytes));
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(super) fn finish(mut self) -> Result<Written, JournalError> {
        self.close()?;
        self.pages.flush()?;
        Ok(Written {
            weight: self.weight,
            pages: self.pages.size() / PAGE_BYTES as u64,
        })
    }
}

/// What the pages that `log` touches add to the root as they are now; `None` where one of them is
/// damaged.
pub(super) fn touched(
    log: &DigestLog,
    pages: &dyn BlockFile,
) -> Result<Option<u128>, JournalError> {
    let end = pages.size().div_ceil(PAGE_BYTES as u64);
    let (mut sum, mut next) = (Some(0_u128), 0);
    let mut page = vec![0; PAGE_BYTES];
    log.for_each(&mut |extent, _| {
        let blocks = blocks_of(extent);
        let last = blocks.end.div_ceil(BLOCKS_PER_PAGE).min(end);
        for number in (blocks.start / BLOCKS_PER_PAGE).max(next)..last {
            let whole = read_page(pages, number, &mut page)? && is_whole(number, &page);
            let own = weight(number, &page);
            sum = sum.filter(|_| whole).map(|sum| sum.wrapping_add(own));
        }
        next = next.max(last);
        Ok(())
    })?;
    Ok(sum)
}
