//! The kept digests: what the image of one cut looks like, block by block.
//!
//! `digests.state` says of which cut the pages are, or that they are being brought from one cut to
//! the next. It is replaced as a whole, before the first page is touched and after the last page is
//! durable. So a digest is only ever believed for the cut that it was computed of: a crash in between
//! is followed by doing it again from the digest log, and without that log by forgetting everything,
//! which costs a scan but never a change.
//!
//! The state also holds a root over the pages: the sum, modulo 2^128, of what each page's number,
//! generation and checksum hash to. Digests are compared with only after the pages were proved to be
//! those of the root ([`DigestStore::prove`]), because a page that was lost, is an old one or belongs
//! elsewhere may read well. While pages are brought to the next cut the root is that of all pages which
//! stay as they are.
//!
//! `digests.state`:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | the file's magic |
//! | 8..10 | format, u16 little-endian: 2; 1 has a checksum of the content alone, and no root |
//! | 10..12 | zero |
//! | 12..16 | CRC-32C of bytes 0..12 and of the content |
//! | 16.. | content: the cut, the volume's size, whether pages may still be of the cut before, generation, pages, root (`formats/v2.rs`) |

use std::sync::Arc;

use crate::formats::{DIGEST_STATE, decode_digest_state, encode_digest_state};
use crate::journal::digest_page::{PAGE_BYTES, is_whole, weight};
use crate::journal::digest_reader::DigestReader;
use crate::journal::digest_writer::{PageWriter, touched};
use crate::journal::{DigestLog, DigestLogSpec, JournalError};
use crate::seam::{BlockFile, Disk};
use protocol::changes::{BLOCK_BYTES, block_count};
use protocol::units::Point;

const STATE_FILE: &str = "digests.state";
const PAGES_FILE: &str = "digests";
const STATE_MAGIC: [u8; 8] = *b"FERRYDGS";
const STATE_HEADER_BYTES: usize = 16;

/// Pages that are proved with one read: 1 MiB.
const PROOF_PAGES: usize = 256;

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
    /// How many commits there were.
    pub(crate) generation: u64,
    /// The length of the pages' file, in pages.
    pub(crate) pages: u64,
    /// The root over all pages, or over those that the update does not touch; `None` where none was
    /// ever made.
    pub(crate) root: Option<u128>,
}

/// Whether kept digests may be compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They are complete, and of the cut that the state says.
    Proved,
    /// They are not, and why.
    Broken(String),
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
                    store.apply(&log, true)?;
                    log.remove()?;
                }
                _ => store.forget()?,
            }
        }
        Ok(store)
    }

    /// The digests as they are stored and the cut that they are of, read without ending an update that
    /// is under way; `None` when none are kept, while they are between two cuts, or when they can't be
    /// proved.
    ///
    /// # Errors
    /// When the disk fails, or the files are of a newer format.
    pub fn peek(disk: &dyn Disk) -> Result<Option<(Point, DigestReader)>, JournalError> {
        let Some(state) = read_state(disk)?.filter(|state| !state.updating) else {
            return Ok(None);
        };
        let Some(pages) = disk.open(PAGES_FILE)? else {
            return Ok(None);
        };
        let proved = prove(state, &*pages, &mut |_| {})? == Proof::Proved;
        let reader = DigestReader::new(pages, block_count(state.size_bytes));
        Ok(proved.then_some((state.point, reader)))
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
    /// removed. Where the digests are not of the cut that the log counts from, or a page that it changes
    /// is damaged, they are forgotten; that is no error, [`DigestStore::point`] tells.
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
            } else if let Some(next) = self.next_state(&log)? {
                self.set_state(next)?;
                self.apply(&log, false)?;
            } else {
                self.forget()?;
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
        Ok(Some(DigestReader::new(pages, blocks)))
    }

    /// Whether the digests are complete and of their cut (D-1): every page is read. `count` is given the
    /// bytes that were, as they are.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn prove(&self, count: &mut dyn FnMut(u64)) -> Result<Proof, JournalError> {
        match (self.state, self.disk.open(PAGES_FILE)?) {
            (None, _) => Ok(Proof::Broken("there are none".into())),
            (Some(_), None) => Ok(Proof::Broken("their file is missing".into())),
            (Some(state), Some(pages)) => prove(state, &*pages, count),
        }
    }

    /// The state while `log` is taken over: its root is that of the pages which the log does not touch.
    /// `None` where one that it touches is damaged.
    fn next_state(&self, log: &DigestLog) -> Result<Option<DigestState>, JournalError> {
        let spec = log.spec();
        let next = |root| DigestState {
            point: spec.id.cycle,
            size_bytes: spec.size_bytes,
            updating: true,
            generation: self.state.map_or(0, |state| state.generation) + 1,
            pages: 0,
            root,
        };
        let (Some(_), Some(state)) = (spec.id.from, self.state) else {
            return Ok(Some(next(Some(0))));
        };
        let Some(pages) = self.disk.open(PAGES_FILE)? else {
            return Ok(None);
        };
        let touched = touched(log, &*pages)?;
        Ok(touched.map(|touched| next(state.root.map(|root| root.wrapping_sub(touched)))))
    }

    fn apply(&mut self, log: &DigestLog, again: bool) -> Result<(), JournalError> {
        let (spec, Some(state)) = (log.spec(), self.state) else {
            return Ok(());
        };
        let again = again && spec.id.from.is_some();
        let pages = match (spec.id.from, self.disk.open(PAGES_FILE)?) {
            (Some(_), Some(pages)) => pages,
            // A log of the whole volume starts from nothing: what it does not name is zero.
            _ => self.disk.create(PAGES_FILE)?,
        };
        let mut writer =
            PageWriter::new(pages, block_count(spec.size_bytes), state.generation, again);
        log.for_each(&mut |extent, digests| writer.set(extent, digests))?;
        let written = writer.finish()?;
        self.set_state(DigestState {
            updating: false,
            pages: written.pages,
            root: state.root.map(|root| root.wrapping_add(written.weight)),
            ..state
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

/// Reads every page and compares the root.
fn prove(
    state: DigestState,
    pages: &dyn BlockFile,
    count: &mut dyn FnMut(u64),
) -> Result<Proof, JournalError> {
    let broken = |why: String| Ok(Proof::Broken(why));
    let Some(root) = state.root else {
        return broken("an earlier version of Ferry has written them, without a root".into());
    };
    let (size, expected) = (pages.size(), state.pages * PAGE_BYTES as u64);
    if size != expected {
        return broken(format!("their file has {size} bytes, not {expected}"));
    }
    let mut sum = 0_u128;
    let mut buffer = vec![0; PROOF_PAGES * PAGE_BYTES];
    for first in (0..state.pages).step_by(PROOF_PAGES) {
        let left = usize::try_from(state.pages - first).unwrap_or(PROOF_PAGES);
        let bytes = &mut buffer[..left.min(PROOF_PAGES) * PAGE_BYTES];
        pages.read_at(first * PAGE_BYTES as u64, bytes)?;
        for (number, page) in (first..).zip(bytes.chunks(PAGE_BYTES)) {
            if !is_whole(number, page) {
                return broken(format!("page {number} does not match its checksum"));
            }
            sum = sum.wrapping_add(weight(number, page));
        }
        count(bytes.len() as u64);
    }
    if sum != root {
        return broken("a page was lost, is an old one or belongs elsewhere".into());
    }
    Ok(Proof::Proved)
}
