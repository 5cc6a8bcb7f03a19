//! Does a volume still hold what was committed on it? Asked at a mover's start, by a sample of blocks
//! (D-3): a volume that was put back alone, or that somebody else has written to, is likely found before
//! anything is built on it.

use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mover_core::Rules;
use mover_core::state_files::StateFiles;
use protocol::changes::BLOCK_BYTES;
use protocol::units::Point;
use rand::Rng as _;
use storage::seam::{BlockFile, Disk};

/// Blocks that are compared. One in a hundred that differ is found nearly always (92 %), one in twenty
/// always; it takes a disk two seconds.
const SAMPLE_BLOCKS: usize = 256;

/// A device that does not answer within this time is not waited for: it is found out when it is used.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What of a sample is not what was committed; `None` where all of it is, or nothing can be said.
#[must_use]
pub fn probe(disk: Arc<dyn Disk>, device: Arc<dyn BlockFile>, committed: Point) -> Option<String> {
    let (done, result) = mpsc::channel();
    let started = std::thread::Builder::new()
        .name("probe".into())
        .spawn(move || {
            let mut blocks = sample(device.size().div_ceil(BLOCK_BYTES)).into_iter();
            // Of its own: whoever works meanwhile must not wait for a device that does not answer.
            let files = StateFiles::open(disk, Rules::default());
            drop(done.send(files.probe(&*device, committed, &mut blocks)));
        });
    if let Err(error) = started {
        tracing::warn!(%error, "the volume is not probed: a thread can't be started");
        return None;
    }
    match result.recv_timeout(PROBE_TIMEOUT) {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the volume can't be compared with what was committed");
            None
        }
        Err(_) => {
            tracing::warn!("the volume or the state volume does not answer in time to be compared");
            None
        }
    }
}

/// Random blocks of a volume of `blocks`, in order; all of a small one.
fn sample(blocks: u64) -> BTreeSet<u64> {
    if blocks <= SAMPLE_BLOCKS as u64 {
        return (0..blocks).collect();
    }
    let mut random = rand::rng();
    (0..SAMPLE_BLOCKS)
        .map(|_| random.random_range(0..blocks))
        .collect()
}
