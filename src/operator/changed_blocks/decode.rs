//! What the service's messages mean: pure, and suspicious.

use crate::changed_blocks::MetadataError;
use crate::changed_blocks::proto::{BlockMetadata, BlockMetadataType};
use protocol::units::Extent;

/// One message of either list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Part {
    pub(super) style: i32,
    pub(super) capacity: i64,
    pub(super) blocks: Vec<BlockMetadata>,
}

/// Turns messages into ascending, disjoint extents that do not touch, across messages and across
/// resumed attempts.
///
/// - Ranges must ascend, be disjoint, not empty and within the capacity; style and capacity must not
///   change. Anything else breaks the list for good.
/// - With fixed lengths all but the last range must be equally long, and the last one may reach
///   over the end of the volume; it is cut there.
/// - Touching ranges are joined.
/// - What is beyond the device that is read is cut off: it does not exist there. What is beyond
///   the base's size counts as changed whether it is listed or not: the base did not have it.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Bytes of the device that is read.
    device: u64,
    /// Everything from here on counts as changed.
    grown_from: u64,
    style: Option<BlockMetadataType>,
    capacity: Option<u64>,
    fixed_len: Option<u64>,
    /// A fixed-length range of another length has come: it must have been the last one.
    ended: bool,
    /// End of the last range of this attempt.
    attempt_end: u64,
    /// Everything before it is known.
    known_end: u64,
    /// The last extent, which may still grow.
    pending: Option<Extent>,
}

impl Decoder {
    /// For a device of `device` bytes whose base had `base` bytes (the same, if it was not grown).
    pub(super) fn new(device: u64, base: u64) -> Decoder {
        Decoder {
            device,
            grown_from: base.min(device),
            style: None,
            capacity: None,
            fixed_len: None,
            ended: false,
            attempt_end: 0,
            known_end: 0,
            pending: None,
        }
    }

    /// Begins another attempt: the offset to ask from.
    pub(super) fn resume(&mut self) -> u64 {
        self.attempt_end = 0;
        self.ended = false;
        self.known_end
    }

    /// The capacity that the service has reported, in bytes.
    pub(super) fn capacity(&self) -> Option<u64> {
        self.capacity
    }

    /// What is certain after this message.
    pub(super) fn take(&mut self, part: &Part) -> Result<Vec<Extent>, MetadataError> {
        self.check_head(part)?;
        let mut certain = Vec::new();
        for block in &part.blocks {
            let extent = self.check(block)?;
            self.attempt_end = extent.end();
            self.add(extent, &mut certain);
        }
        Ok(certain)
    }

    /// The rest, once the stream has ended cleanly.
    pub(super) fn finish(mut self) -> Vec<Extent> {
        let mut rest = Vec::new();
        if self.grown_from < self.device {
            let grown = Extent::new(self.grown_from, self.device - self.grown_from);
            self.join(grown, &mut rest);
        }
        rest.extend(self.pending);
        rest
    }

    fn check_head(&mut self, part: &Part) -> Result<(), MetadataError> {
        let style = BlockMetadataType::try_from(part.style)
            .ok()
            .filter(|style| *style != BlockMetadataType::Unknown)
            .ok_or_else(|| MetadataError::broken("its block type is unknown"))?;
        let capacity = u64::try_from(part.capacity)
            .ok()
            .filter(|capacity| *capacity > 0)
            .ok_or_else(|| MetadataError::broken("the volume's capacity is not above zero"))?;
        if *self.style.get_or_insert(style) != style {
            return Err(MetadataError::broken("its block type changes on the way"));
        }
        let first = *self.capacity.get_or_insert(capacity);
        if first != capacity {
            return Err(MetadataError::broken(format!(
                "the volume's capacity changes on the way, from {first} to {capacity} bytes"
            )));
        }
        // The list says nothing about what is beyond the capacity that it speaks of.
        self.grown_from = self.grown_from.min(capacity);
        Ok(())
    }

    fn check(&mut self, block: &BlockMetadata) -> Result<Extent, MetadataError> {
        let broken = |what: &str| {
            MetadataError::broken(format!(
                "range of {} bytes at {} {what}",
                block.size_bytes, block.byte_offset
            ))
        };
        let capacity = self.capacity.unwrap_or(0);
        let (Ok(offset), Ok(len)) = (
            u64::try_from(block.byte_offset),
            u64::try_from(block.size_bytes),
        ) else {
            return Err(broken("is negative"));
        };
        if len == 0 {
            return Err(broken("is empty"));
        }
        if offset < self.attempt_end {
            return Err(broken("is not behind the one before it"));
        }
        // Both numbers are at most i64::MAX, so that their sum fits.
        let end = offset + len;
        if self.style == Some(BlockMetadataType::FixedLength) {
            let fixed = *self.fixed_len.get_or_insert(len);
            if self.ended || (len > fixed) {
                return Err(broken("has another length than those before it"));
            }
            self.ended = len != fixed;
            if offset >= capacity {
                return Err(broken("is beyond the volume's end"));
            }
            return Ok(Extent::new(offset, end.min(capacity) - offset));
        }
        if end > capacity {
            return Err(broken("reaches over the volume's end"));
        }
        Ok(Extent::new(offset, len))
    }

    /// Adds what is new of a range: what earlier attempts have said already is left out.
    fn add(&mut self, extent: Extent, certain: &mut Vec<Extent>) {
        let start = extent.offset.max(self.known_end);
        let known_end = extent.end().max(self.known_end);
        let end = extent.end().min(self.grown_from);
        self.known_end = known_end;
        if start < end {
            self.join(Extent::new(start, end - start), certain);
        }
    }

    fn join(&mut self, extent: Extent, certain: &mut Vec<Extent>) {
        match &mut self.pending {
            Some(pending) if pending.end() >= extent.offset => {
                pending.len = extent.end().max(pending.end()) - pending.offset;
            }
            pending => certain.extend(pending.replace(extent)),
        }
    }
}
