//! What a standby says of its image is what a loss of power would leave.

use crate::SimDisk;
use mover_core::receive::digests::{read_digests, settle};
use protocol::changes::BLOCK_BYTES;
use protocol::units::Extent;
use storage::seam::Disk;
use storage::volume::digest_blocks;
use wire::DigestRequest;

/// A set was written in part when its attempt failed; nobody has flushed it. The source believes the
/// digests and leaves out what is equal: it has to stay so.
#[test]
fn digests_are_of_what_is_there_for_good() {
    let disk = SimDisk::new(1 << 30, 3);
    let volume = disk.create("volume").unwrap();
    let all = Extent::new(0, 4 * BLOCK_BYTES);
    volume.set_size(all.len).unwrap();
    volume.flush().unwrap();
    let written = vec![7; usize::try_from(all.len).unwrap()];
    volume.write_at(0, &written).unwrap();
    settle(&*volume).unwrap();
    let answer = read_digests(&*volume, DigestRequest { extent: all }).unwrap();
    disk.crash();
    let volume = disk.open("volume").unwrap().unwrap();
    assert_eq!(digest_blocks(&*volume, all).unwrap(), answer.digests);
}
