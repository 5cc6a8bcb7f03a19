//! The kept digests: what the image of one cut looks like, block by block.
//!
//! `digests.state` says of which cut the pages are, or that they are being brought from one cut to
//! the next. It is replaced as a whole, before the first page is touched and after the last page is
//! durable. So a digest is only ever believed for the cut that it was computed of: a crash in between
//! is followed by doing it again from the digest log, and without that log by forgetting everything,
//! which costs a scan but never a change.
//!
//! `digests.state`:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | the file's magic |
//! | 8..10 | format, u16 little-endian: 2; 1 has a checksum of the content alone |
//! | 10..12 | zero |
//! | 12..16 | CRC-32C of bytes 0..12 and of the content |
//! | 16.. | content: the cut, the volume's size, whether pages may still be of the cut before (`formats/v1.rs`) |

use std::sync::Arc;

use crate::formats::{DIGEST_STATE, decode_digest_state, encode_digest_state};
use crate::journal::digest_page::{BLOCKS_PER_PAGE, PAGE_BYTES, Page, digest_in, is_whole};
use crate::journal::{DigestLog, DigestLogSpec, JournalError};
use crate::seam::{BlockFile, Disk};
use protocol::changes::{BLOCK_BYTES, BlockDigest, block_count, blocks_of};
use protocol::units::{Extent, Point};

const STATE_FILE: &str = "digests.state";
const PAGES_FILE: &str = "digests";
const STATE_MAGIC: [u8; 8] = *b"FERRYDGS";
const STATE_HEADER_BYTES: usize = 16;

/// The kept digests of one site.
pub struct DigestStore {
    disk: Arc<dyn Disk>,
    state: Option<DigestState>,
}

/// What `digests.state` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DigestState {
    /// The cut that the pages are of, or are being brought to.
    pub(crate) point: Point,
    /// The volume's size in bytes.
    pub(crate) size_bytes: u64,
    /// Whether pages may still be of the cut before.
    pub(crate) updating: bool,
}

impl DigestStore {
    /// Opens what is there, ending an update that a crash has interrupted.
    ///
    /// # Errors
    /// When the disk fails, or the files are of a newer format.
    pub fn open(disk: Arc<dyn Disk>) -> Result<DigestStore, JournalError> {
        let state = read_state(&*disk)?;
        let mut store = DigestStore { disk, state };
        if let Some(DigestState {
            updating: true,
            point,
            ..
        }) = store.state
        {
            match DigestLog::recover(store.disk.clone())? {
                Some(log) if log.spec().id.cycle == point => {
                    store.apply(&log)?;
                    log.remove()?;
                }
                _ => store.forget()?,
            }
        }
        Ok(store)
    }

    /// The digests as they are stored and the cut that they are of, read without ending an update that
    /// is under way; `None` when none are kept, or while they are between two cuts.
    ///
    /// # Errors
    /// When the disk fails, or the files are of a newer format.
    pub fn peek(disk: &dyn Disk) -> Result<Option<(Point, DigestReader)>, JournalError> {
        let Some(state) = read_state(disk)?.filter(|state| !state.updating) else {
            return Ok(None);
        };
        Ok(disk.open(PAGES_FILE)?.map(|pages| {
            let blocks = block_count(state.size_bytes);
            (state.point, DigestReader { pages, blocks })
        }))
    }

    /// The cut that the digests are of; `None` when none are kept.
    #[must_use]
    pub fn point(&self) -> Option<Point> {
        self.state.map(|state| state.point)
    }

    /// Whether a log's changes are news here: it is of another cut, or counts from its cut to itself and
    /// corrects what is kept.
    #[must_use]
    pub fn takes(&self, spec: DigestLogSpec) -> bool {
        self.point() != Some(spec.id.cycle) || spec.id.from == Some(spec.id.cycle)
    }

    /// Takes a whole log's changes over: from now on the digests are of the log's cut. The log is
    /// removed. Where the digests are not of the cut that the log counts from, they are forgotten;
    /// that is no error, [`DigestStore::point`] tells.
    ///
    /// # Errors
    /// When the disk fails; opening the store again goes on where it stopped.
    pub fn commit(&mut self, log: DigestLog) -> Result<(), JournalError> {
        let spec = log.spec();
        if log.sealed().is_none() {
            return Err(JournalError::OutOfOrder(
                "the digest log is not whole".into(),
            ));
        }
        if self.takes(spec) {
            if spec.id.from.is_some() && spec.id.from != self.point() {
                self.forget()?;
            } else {
                self.set_state(DigestState {
                    point: spec.id.cycle,
                    size_bytes: spec.size_bytes,
                    updating: true,
                })?;
                self.apply(&log)?;
            }
        }
        log.remove()
    }

    /// Forgets all digests; durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget(&mut self) -> Result<(), JournalError> {
        self.disk.remove(STATE_FILE)?;
        self.state = None;
        self.disk.remove(PAGES_FILE)?;
        Ok(())
    }

    /// Reads digests for a volume of `size_bytes` now, from several threads if need be; `None` when none
    /// are kept. A block that was cut off when they were computed, and is longer now, is unknown: the
    /// peer may hold anything after its old end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn reader(&self, size_bytes: u64) -> Result<Option<DigestReader>, JournalError> {
        let (Some(state), Some(pages)) = (self.state, self.disk.open(PAGES_FILE)?) else {
            return Ok(None);
        };
        let blocks = match size_bytes > state.size_bytes {
            true => state.size_bytes / BLOCK_BYTES,
            false => block_count(state.size_bytes),
        };
        Ok(Some(DigestReader { pages, blocks }))
    }

    fn apply(&mut self, log: &DigestLog) -> Result<(), JournalError> {
        let spec = log.spec();
        let pages = match (spec.id.from, self.disk.open(PAGES_FILE)?) {
            (Some(_), Some(pages)) => pages,
            // A log of the whole volume starts from nothing: what it does not name is zero.
            _ => self.disk.create(PAGES_FILE)?,
        };
        let mut writer = PageWriter {
            pages,
            blocks: block_count(spec.size_bytes),
            open: None,
        };
        log.for_each(&mut |extent, digests| writer.set(extent, digests))?;
        writer.finish()?;
        self.set_state(DigestState {
            point: spec.id.cycle,
            size_bytes: spec.size_bytes,
            updating: false,
        })
    }

    fn set_state(&mut self, state: DigestState) -> Result<(), JournalError> {
        let content = encode_digest_state(state)?;
        let mut bytes = Vec::with_capacity(STATE_HEADER_BYTES + content.len());
        bytes.extend_from_slice(&STATE_MAGIC);
        bytes.extend_from_slice(&DIGEST_STATE.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&checksum(&bytes, &content).to_le_bytes());
        bytes.extend_from_slice(&content);
        self.disk.replace_small(STATE_FILE, &bytes)?;
        self.state = Some(state);
        Ok(())
    }
}

fn read_state(disk: &dyn Disk) -> Result<Option<DigestState>, JournalError> {
    let Some(bytes) = disk.read_small(STATE_FILE)? else {
        return Ok(None);
    };
    let Some((header, content)) = bytes.split_at_checked(STATE_HEADER_BYTES) else {
        return Ok(None);
    };
    let found = u16::from_le_bytes([header[8], header[9]]);
    let expected = match found {
        1 => crc32c::crc32c(content),
        _ => checksum(&header[..12], content),
    };
    if header[0..8] != STATE_MAGIC || header[12..16] != expected.to_le_bytes() {
        // Damaged is as good as unknown: a scan finds out again.
        return Ok(None);
    }
    if found > DIGEST_STATE {
        return Err(JournalError::Newer {
            file: STATE_FILE,
            found,
            known: DIGEST_STATE,
        });
    }
    Ok(decode_digest_state(found, content))
}

/// The format is covered too: one whose bits have turned round is damage, not a newer format.
fn checksum(head: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), content)
}

/// Reads kept digests by position. Memory does not grow with the volume.
#[derive(Clone)]
pub struct DigestReader {
    pages: Arc<dyn BlockFile>,
    blocks: u64,
}

impl DigestReader {
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
            let whole = read_page(&*self.pages, number, &mut page)? && is_whole(number, &page);
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
fn read_page(pages: &dyn BlockFile, number: u64, page: &mut [u8]) -> Result<bool, JournalError> {
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

/// Changes digests in ascending order, a page at a time.
struct PageWriter {
    pages: Arc<dyn BlockFile>,
    blocks: u64,
    open: Option<Page>,
}

impl PageWriter {
    fn set(&mut self, extent: Extent, digests: &[BlockDigest]) -> Result<(), JournalError> {
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
            self.open = Some(page.loaded(in_file));
        }
        self.open
            .as_mut()
            .ok_or_else(|| JournalError::OutOfOrder("no page is open".into()))
    }

    fn close(&mut self) -> Result<(), JournalError> {
        if let Some(mut page) = self.open.take()
            && page.is_known(self.blocks)
        {
            let offset = page.number() * PAGE_BYTES as u64;
            self.pages.write_at(offset, page.sealed())?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), JournalError> {
        self.close()?;
        self.pages.flush()?;
        Ok(())
    }
}
