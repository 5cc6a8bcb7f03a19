//! Whose copy is damaged, where a verification finds a difference (D-4).
//!
//! Both sides hold one and the same cut, and this side has kept its digests. Where the cut as it reads
//! now contradicts them and the standby's image matches them, this side has rotted: nothing is shipped
//! over the good copy.

use crate::ship::compare::Reference;
use crate::translate;
use protocol::changes::{BLOCK_BYTES, BlockDigest, RegionKind, blocks_of};
use protocol::pair::{Cause, Refused};
use protocol::units::{Extent, Point};
use storage::journal::DigestReader;
use storage::volume::ReadBatch;

/// The most ranges that a message lists.
const LISTED_MAX: usize = 16;

/// What is known of this side's damage.
pub struct Arbiter {
    cut: Point,
    kept: DigestReader,
    /// The first ranges that are damaged here.
    damaged: Vec<Extent>,
    blocks: u64,
}

impl Arbiter {
    /// An arbiter over `cut`, whose digests are `kept` here and proved.
    #[must_use]
    pub fn new(cut: Point, kept: DigestReader) -> Arbiter {
        Arbiter {
            cut,
            kept,
            damaged: Vec::new(),
            blocks: 0,
        }
    }

    /// Takes note of what differs from the standby's image.
    ///
    /// # Errors
    /// When the kept digests can't be read.
    pub fn judge(&mut self, read: &ReadBatch, reference: &Reference) -> Result<(), Refused> {
        let mut digests = read.digests.iter();
        for region in &read.batch.regions {
            for block in blocks_of(region.extent) {
                let own = match region.kind {
                    RegionKind::Zero => Some(BlockDigest::ZERO),
                    RegionKind::Data { .. } => digests.next().copied(),
                };
                let mut kept = [None];
                self.kept
                    .read(block, &mut kept)
                    .map_err(|error| translate::journal_failed(&error))?;
                let [kept] = kept;
                if kept.is_some() && kept != own && kept == reference.standby_digest(block) {
                    self.note(block);
                }
            }
        }
        Ok(())
    }

    /// Whether this side is as it was when the cut was committed.
    ///
    /// # Errors
    /// [`Cause::PrimaryDamaged`] with the ranges, when it is not.
    pub fn verdict(&self) -> Result<(), Refused> {
        if self.blocks == 0 {
            return Ok(());
        }
        let list: Vec<String> = self
            .damaged
            .iter()
            .map(|range| format!("{} bytes at byte {}", range.len, range.offset))
            .collect();
        Err(Refused::new(
            Cause::PrimaryDamaged,
            format!(
                "{} blocks of cut {} have changed at the primary since it was committed, while the \
                 standby's match what was: {}. Nothing was overwritten: check the primary's storage, and \
                 promote the standby where it can't be trusted",
                self.blocks,
                self.cut,
                list.join(", ")
            ),
        ))
    }

    fn note(&mut self, block: u64) {
        self.blocks += 1;
        let offset = block * BLOCK_BYTES;
        let room = self.damaged.len() < LISTED_MAX;
        match self.damaged.last_mut() {
            Some(last) if last.end() == offset => last.len += BLOCK_BYTES,
            _ if room => self.damaged.push(Extent::new(offset, BLOCK_BYTES)),
            _ => {}
        }
    }
}
