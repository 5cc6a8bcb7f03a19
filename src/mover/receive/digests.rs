//! A thread that reads the digests of this side's image that the source asks for.

use std::sync::Arc;

use tokio::sync::mpsc;

use mover_core::receive::digests::{read_digests, settle};
use mover_core::{Input, translate};
use protocol::pair::Refused;
use storage::seam::BlockFile;
use wire::DigestRequest;

/// Requests that wait to be answered; the core lets no more than this be under way.
const REQUESTS_MAX: usize = 8;

/// Starts a thread that answers requests of the link with this number, until its queue is closed.
///
/// # Errors
/// When the system has no more threads.
pub fn start(
    link: u64,
    device: Arc<dyn BlockFile>,
    inputs: mpsc::Sender<Input>,
) -> Result<mpsc::Sender<DigestRequest>, Refused> {
    let (requests, mut queue) = mpsc::channel::<DigestRequest>(REQUESTS_MAX);
    std::thread::Builder::new()
        .name("ferry-digest".into())
        .spawn(move || {
            let settled = settle(&*device);
            while let Some(request) = queue.blocking_recv() {
                let result = settled
                    .clone()
                    .and_then(|()| read_digests(&*device, request));
                if inputs.blocking_send(Input::Digested(link, result)).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| translate::no_thread(&error))?;
    Ok(requests)
}
