//! What the source's threads do, a piece at a time: find what has changed, compare, send.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::rules::Wrong;
use mover_core::ship::gather::Gathered;
use protocol::changes::{
    BLOCK_BYTES, BatchData, BlockDigest, CycleDigest, CycleSum, Region, RegionKind, block_count,
};
use protocol::pair::change_plan::{Candidates, Compare, Plan};
use protocol::pair::{Cause, Refused};
use protocol::units::{ChangeSource, Extent};
use storage::journal::{DigestLog, DigestReader};
use storage::seam::BlockFile;
use storage::volume::is_zero;
use wire::{DigestRequest, Digests};

/// Blocks of data in a batch.
const BATCH_BLOCKS: usize = 4;

/// Blocks that are looked at in one piece of work.
const LOOK_BLOCKS: usize = 12;

/// Blocks in one question to the standby.
const QUESTION_BLOCKS: u64 = 16;

/// The most bytes of data in a batch.
pub(super) const BATCH_BYTES: u64 = BATCH_BLOCKS as u64 * BLOCK_BYTES;

/// A window in bytes of data: the target makes what it has durable at least so often.
pub(super) const WINDOW: u64 = 6 * BLOCK_BYTES;

/// The operator's list of changes.
#[derive(Clone, Default)]
pub(super) struct Blocks {
    /// Ascending.
    pub(super) blocks: VecDeque<u64>,
    /// It breaks before this one, counted from its beginning.
    pub(super) breaks_after: Option<usize>,
}

/// A shipment under way.
pub(super) struct Shipment {
    pub(super) plan: Plan,
    pub(super) device: Arc<dyn BlockFile>,
    pub(super) size: u64,
    pub(super) kept: Option<DigestReader>,
    pub(super) gathered: Option<Gathered>,
    pub(super) list: Option<Blocks>,
    pub(super) resume_at: u64,
    /// The change source that the cycle began on.
    pub(super) change_source: ChangeSource,
    /// The newest batch: up to which byte of the volume, and its bytes of data.
    pub(super) last_batch: Option<(u64, u64)>,
    pub(super) wrong: Option<Wrong>,
    pub(super) at: u64,
    pub(super) digest: CycleDigest,
    pub(super) standby: BTreeMap<u64, Vec<BlockDigest>>,
    pub(super) asked: Option<u64>,
    pub(super) under_way: VecDeque<(u64, u64)>,
    pub(super) sent: u64,
    pub(super) durable: u64,
    pub(super) index: u64,
    /// The operator's list broke, and another change source has taken its place.
    pub(super) fell: bool,
    pub(super) drained: bool,
}

/// What a piece of work leads to.
pub(super) enum Piece {
    /// Nothing to hand on yet.
    Nothing,
    /// A batch to send.
    Batch(BatchData),
    /// The standby has to be asked.
    Ask(DigestRequest),
    /// The operator's list broke.
    Broke(String),
    /// All is sent.
    Drained(CycleSum, Option<Box<DigestLog>>),
}

enum Next {
    Read(u64),
    Zero(u64),
    Broken(String),
    End,
}

#[derive(Default)]
struct Open {
    regions: Vec<Region>,
    data: Vec<u8>,
}

fn at_block(block: u64) -> u64 {
    block * BLOCK_BYTES
}

fn failed(error: impl std::fmt::Display) -> Refused {
    Refused::new(Cause::SourceReadError, error.to_string())
}

impl Shipment {
    /// Whether there is anything to do: the window is open, and no answer is waited for.
    pub(super) fn can_work(&self) -> bool {
        !self.drained && self.asked.is_none() && self.sent - self.durable < 2 * WINDOW
    }

    /// Everything below this byte is durable at the target.
    pub(super) fn note_durable(&mut self, through: u64) {
        while let Some(&(end, sent)) = self.under_way.front()
            && end <= through
        {
            self.durable = sent;
            self.under_way.pop_front();
        }
    }

    /// The standby's answer.
    pub(super) fn answer(&mut self, digests: Digests) {
        self.asked = None;
        self.standby
            .insert(digests.extent.offset / BLOCK_BYTES, digests.digests);
    }

    /// What is not covered yet goes by this plan.
    pub(super) fn fall(&mut self, plan: Plan) {
        self.plan = plan;
        self.list = None;
        self.fell = true;
    }

    /// The next piece of work.
    pub(super) fn work(&mut self) -> Result<Piece, Refused> {
        let mut open = Open::default();
        for _ in 0..LOOK_BLOCKS {
            let needed = self.question();
            if let Some(request) = needed
                && open.regions.is_empty()
            {
                self.asked = Some(request.extent.offset / BLOCK_BYTES);
                return Ok(Piece::Ask(request));
            }
            if needed.is_some() || open.data.len() >= BATCH_BLOCKS * BLOCK_BYTES as usize {
                break;
            }
            match self.next() {
                Next::Broken(why) if open.regions.is_empty() => return Ok(Piece::Broke(why)),
                Next::Broken(_) => break,
                Next::End if open.regions.is_empty() => return self.finish(),
                Next::End => break,
                Next::Read(block) => self.look(block, true, &mut open)?,
                Next::Zero(block) => self.look(block, false, &mut open)?,
            }
        }
        if open.regions.is_empty() {
            return Ok(Piece::Nothing);
        }
        Ok(Piece::Batch(self.batch(open)))
    }

    fn next(&self) -> Next {
        let block = self.at.div_ceil(BLOCK_BYTES);
        if self.at >= self.size {
            return Next::End;
        }
        let listed = || {
            let Some(list) = &self.list else {
                return Err("there is no list".to_string());
            };
            let mut known = list.blocks.iter().enumerate();
            let next = known.find(|(_, listed)| **listed >= block);
            let index = next.map_or(list.blocks.len(), |(index, _)| index);
            match list.breaks_after {
                Some(after) if index >= after => Err("the stream was reset".into()),
                _ => Ok(next.map(|(_, listed)| *listed)),
            }
        };
        match self.plan.candidates {
            Candidates::None => Next::End,
            Candidates::Everything => Next::Read(block),
            Candidates::Range(range) if self.at >= range.end() => Next::End,
            Candidates::Range(range) => Next::Read(block.max(range.offset / BLOCK_BYTES)),
            Candidates::Delta => match listed() {
                Err(why) => Next::Broken(why),
                Ok(Some(listed)) if listed < block_count(self.size) => Next::Read(listed),
                Ok(_) => Next::End,
            },
            Candidates::Allocated => match listed() {
                Err(why) => Next::Broken(why),
                Ok(Some(listed)) if listed == block => Next::Read(block),
                Ok(_) => Next::Zero(block),
            },
        }
    }

    /// What has to be asked of the standby before the next block can be looked at.
    fn question(&self) -> Option<DigestRequest> {
        if self.plan.compare != Compare::Standby {
            return None;
        }
        let (Next::Read(block) | Next::Zero(block)) = self.next() else {
            return None;
        };
        let first = block / QUESTION_BLOCKS * QUESTION_BLOCKS;
        if self.standby.contains_key(&first) {
            return None;
        }
        let len = (QUESTION_BLOCKS * BLOCK_BYTES).min(self.size - at_block(first));
        Some(DigestRequest {
            extent: Extent::new(at_block(first), len),
        })
    }

    fn old(&self, block: u64) -> Result<Option<BlockDigest>, Refused> {
        match (self.plan.compare, &self.kept) {
            (Compare::Kept, Some(kept)) => {
                let mut out = [None];
                kept.read(block, &mut out).map_err(failed)?;
                Ok(out[0])
            }
            (Compare::Nothing | Compare::Kept, _) => Ok(None),
            (Compare::Standby, _) => {
                let first = block / QUESTION_BLOCKS * QUESTION_BLOCKS;
                let window = self.standby.get(&first);
                let at = usize::try_from(block - first).unwrap_or(usize::MAX);
                Ok(window.and_then(|window| window.get(at)).copied())
            }
        }
    }

    fn look(&mut self, block: u64, read: bool, open: &mut Open) -> Result<(), Refused> {
        let offset = at_block(block);
        let len = BLOCK_BYTES.min(self.size - offset);
        let extent = Extent::new(offset, len);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        if read {
            self.device.read_at(offset, &mut bytes).map_err(failed)?;
        }
        let digest = match is_zero(&bytes) {
            true => BlockDigest::ZERO,
            false => BlockDigest::of_data(&bytes),
        };
        let old = self.old(block)?;
        self.at = extent.end();
        let same = old == Some(digest);
        if let Some(gathered) = &mut self.gathered {
            match digest.is_zero() {
                true if same => {}
                true => gathered.zero(extent)?,
                false if same && !gathered.whole => {}
                false => gathered.data(extent, digest)?,
            }
        }
        if same || (self.wrong == Some(Wrong::ZerosSkipped) && digest.is_zero()) {
            return Ok(());
        }
        if self.wrong == Some(Wrong::ResumesTooFar)
            && self.resume_at > 0
            && offset < self.resume_at + 4 * BLOCK_BYTES
        {
            return Ok(());
        }
        match digest.is_zero() {
            true => self.digest.zero(extent),
            false => self.digest.data(extent, &[digest]),
        }
        if extent.end() > self.resume_at {
            open.push(extent, &bytes, digest.is_zero());
        }
        Ok(())
    }

    fn batch(&mut self, open: Open) -> BatchData {
        let bytes = open.data.len() as u64;
        let through = match self.plan.candidates {
            Candidates::None => self.size,
            _ => self.at,
        };
        self.sent += bytes;
        self.under_way.push_back((through, self.sent));
        self.last_batch = Some((through, bytes));
        open.close(through)
    }

    fn finish(&mut self) -> Result<Piece, Refused> {
        self.drained = true;
        let log = self.gathered.take().map(Gathered::seal).transpose()?;
        Ok(Piece::Drained(
            self.digest.clone().finish(),
            log.map(Box::new),
        ))
    }
}

impl Open {
    fn push(&mut self, extent: Extent, bytes: &[u8], zero: bool) {
        let kind = match zero {
            true => RegionKind::Zero,
            false => RegionKind::Data { crc: 0 },
        };
        match self.regions.last_mut() {
            Some(last) if last.extent.end() == extent.offset && last.kind == kind => {
                last.extent.len += extent.len;
            }
            _ => self.regions.push(Region { extent, kind }),
        }
        if !zero {
            self.data.extend_from_slice(bytes);
        }
    }

    fn close(mut self, through: u64) -> BatchData {
        let mut at = 0;
        for region in &mut self.regions {
            if let RegionKind::Data { crc } = &mut region.kind {
                let len = usize::try_from(region.extent.len).unwrap_or(0);
                *crc = crc32c::crc32c(&self.data[at..at + len]);
                at += len;
            }
        }
        BatchData {
            through,
            regions: self.regions,
            data: self.data.into(),
        }
    }
}
