//! Telling the source the digests of this side's image, so that it sends only what differs.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::convert;
use protocol::changes::BLOCK_BYTES;
use protocol::pair::{Cause, Refused};
use storage::seam::BlockFile;
use storage::volume::digest_blocks;
use wire::{DIGESTS_PER_FRAME_MAX, DigestRequest, Message};

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
            let mut settled = None;
            while let Some(request) = queue.blocking_recv() {
                let settled = settled.get_or_insert_with(|| settle(&*device)).clone();
                let answer = match settled.and_then(|()| answer(&*device, request)) {
                    Ok(digests) => Message::Digests(digests),
                    Err(refused) => Message::Refuse(convert::refuse(&refused)),
                };
                if words.blocking_send(answer).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| convert::no_thread(&error))?;
    Ok(requests)
}

/// Sees to it that digests are of what the storage holds for good: what only a cache has, written by
/// an attempt that failed or by somebody else, a loss of power would take back.
///
/// # Errors
/// When the device fails.
pub fn settle(device: &dyn BlockFile) -> Result<(), Refused> {
    let settled = device.flush().and_then(|()| device.drop_cache());
    settled.map_err(|error| convert::disk_failed(&error, Cause::TargetWriteError))
}

fn answer(device: &dyn BlockFile, request: DigestRequest) -> Result<wire::Digests, Refused> {
    let extent = request.extent;
    let size = device.size();
    let blocks = extent.len.div_ceil(BLOCK_BYTES);
    let fits = extent.offset.is_multiple_of(BLOCK_BYTES)
        && extent
            .offset
            .checked_add(extent.len)
            .is_some_and(|end| end <= size)
        && blocks <= DIGESTS_PER_FRAME_MAX as u64;
    if !fits {
        return Err(Refused::new(
            Cause::Internal,
            format!(
                "digests of {} bytes from {} were asked for",
                extent.len, extent.offset
            ),
        ));
    }
    let digests = digest_blocks(device, extent)
        .map_err(|error| convert::disk_failed(&error, Cause::TargetWriteError))?;
    Ok(wire::Digests { extent, digests })
}
