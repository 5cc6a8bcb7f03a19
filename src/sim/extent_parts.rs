//! The list of changes as the operator sends it: in parts of chance size, to its end or to where it breaks.

use protocol::changes::BLOCK_BYTES;
use protocol::units::{Extent, Point};
use wire::control::{ChangeList, ExtentBatch, Request};

/// The requests that carry a list of these blocks, so many a part; it breaks before one of them, or not.
pub(super) fn parts_of(
    size: usize,
    cycle: Point,
    changes: ChangeList,
    blocks: &[u64],
    breaks_after: Option<usize>,
) -> Vec<Request> {
    let good = &blocks[..breaks_after.unwrap_or(blocks.len())];
    let chunks: Vec<&[u64]> = match good.is_empty() {
        true => vec![good],
        false => good.chunks(size).collect(),
    };
    let count = chunks.len();
    let mut parts = Vec::new();
    let mut from = 0;
    for (index, chunk) in chunks.into_iter().enumerate() {
        let extents = extents_of(chunk);
        let reaches = extents.last().map_or(from, Extent::end);
        parts.push(Request::Extents(ExtentBatch {
            cycle,
            changes,
            from,
            extents,
            last: breaks_after.is_none() && index + 1 == count,
        }));
        from = reaches;
    }
    if breaks_after.is_some() {
        let reason = "the stream was reset".into();
        parts.push(Request::ExtentsFailed {
            cycle,
            changes,
            reason,
        });
    }
    parts
}

/// Blocks as extents; those side by side are one.
fn extents_of(blocks: &[u64]) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for block in blocks {
        let offset = block * BLOCK_BYTES;
        match extents.last_mut() {
            Some(last) if last.end() == offset => last.len += BLOCK_BYTES,
            _ => extents.push(Extent::new(offset, BLOCK_BYTES)),
        }
    }
    extents
}
