//! Telling the source the digests of this side's image, so that it sends only what differs.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::mover::convert;
use crate::pair::{Cause, Refused};
use crate::seam::{AlignedBuf, BlockFile};
use crate::units::Extent;
use crate::wire::{
    self, BATCH_BYTES_MAX, BLOCK_BYTES, BlockDigest, DIGESTS_PER_FRAME_MAX, DigestRequest, Message,
};

/// Requests that wait to be answered. The source has at most four under way; beyond this limit it
/// breaks the protocol and its link is not read.
const REQUESTS_MAX: usize = 8;

/// Starts a thread that answers requests for digests of `device` until its queue is closed.
///
/// # Errors
/// When the system has no more threads.
pub fn start(
    device: Arc<dyn BlockFile>,
    words: mpsc::Sender<Message>,
) -> Result<mpsc::Sender<DigestRequest>, Refused> {
    let (requests, mut queue) = mpsc::channel::<DigestRequest>(REQUESTS_MAX);
    std::thread::Builder::new()
        .name("ferry-digest".into())
        .spawn(move || {
            while let Some(request) = queue.blocking_recv() {
                let answer = match answer(&*device, request) {
                    Ok(digests) => Message::Digests(digests),
                    Err(refused) => Message::Refuse(convert::refuse(&refused)),
                };
                if words.blocking_send(answer).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| Refused::new(Cause::Internal, format!("failed to start a thread: {error}")))?;
    Ok(requests)
}

fn answer(device: &dyn BlockFile, request: DigestRequest) -> Result<wire::Digests, Refused> {
    let extent = request.extent;
    let size = device.size();
    let blocks = extent.len.div_ceil(BLOCK_BYTES);
    let fits = extent.offset % BLOCK_BYTES == 0
        && extent.offset.checked_add(extent.len).is_some_and(|end| end <= size)
        && blocks <= DIGESTS_PER_FRAME_MAX as u64;
    if !fits {
        return Err(Refused::new(
            Cause::Internal,
            format!("digests of {} bytes from {} were asked for", extent.len, extent.offset),
        ));
    }
    let mut digests = Vec::with_capacity(usize::try_from(blocks).unwrap_or(0));
    let mut buf = AlignedBuf::zeroed(BATCH_BYTES_MAX);
    let mut at = extent.offset;
    while at < extent.end() {
        let len = (BATCH_BYTES_MAX as u64).min(extent.end() - at);
        let hole = device
            .next_data(at)
            .map_err(|error| convert::disk_failed(&error, Cause::TargetWriteError))?
            .is_none_or(|data| data.offset >= at + len);
        if hole {
            let count = usize::try_from(len.div_ceil(BLOCK_BYTES)).unwrap_or(0);
            digests.extend(std::iter::repeat_n(BlockDigest::ZERO, count));
        } else {
            digest_into(device, Extent::new(at, len), &mut buf, &mut digests)?;
        }
        at += len;
    }
    Ok(wire::Digests { extent, digests })
}

fn digest_into(
    device: &dyn BlockFile,
    extent: Extent,
    buf: &mut AlignedBuf,
    digests: &mut Vec<BlockDigest>,
) -> Result<(), Refused> {
    let bytes = &mut buf[..usize::try_from(extent.len).unwrap_or(BATCH_BYTES_MAX)];
    device
        .read_at(extent.offset, bytes)
        .map_err(|error| convert::disk_failed(&error, Cause::TargetWriteError))?;
    digests.extend(bytes.chunks(BLOCK_BYTES as usize).map(|block| {
        if block.iter().all(|byte| *byte == 0) {
            BlockDigest::ZERO
        } else {
            BlockDigest::of_data(block)
        }
    }));
    Ok(())
}
