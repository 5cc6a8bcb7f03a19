//! Messages, versions, codec and limits. Bytes in, messages out; no sockets. Depends on `units`.
//!
//! A connection carries frames ([`Frame`]); a frame carries one [`Message`]. The first message in
//! each direction is [`Hello`], whose beginning never changes, so that any two versions can tell
//! each other which they speak. After it the operator's connection carries
//! [`control`] requests and responses, and a mover's carries cycles.

pub mod control;

mod batch;
mod block;
mod block_hasher;
mod codec;
mod compress;
mod cycle_digest;
mod error;
mod frame;
mod handshake;
mod limits;
mod message;
#[cfg(test)]
mod tests;
mod version;

pub use batch::{
    Batch, BatchData, Codec, Region, RegionKind, check_regions, hash_blocks, pack, unpack,
};
pub use block::{BLOCK_BYTES, BlockDigest, block_count, blocks_of};
pub use block_hasher::BlockHasher;
pub use codec::{decode, encode};
pub use compress::Compressor;
pub use cycle_digest::{CycleDigest, CycleSum};
pub use error::WireError;
pub use frame::{Encoded, Frame, FrameKind, FrameReader, FrameWriter};
pub use handshake::{HELLO_MAGIC, agree_version};
pub use limits::{
    BATCH_BYTES_MAX, BATCH_REGIONS_MAX, DIGESTS_PER_FRAME_MAX, FRAME_BYTES_MAX, HELLO_BYTES_MAX,
    RECEIVE_GROWTH_BYTES, WINDOW_BYTES, WINDOWS_IN_FLIGHT_MAX,
};
pub use message::{
    Applied, CycleBegin, CycleEnd, CycleId, DigestRequest, Digests, Hello, LastMaster,
    LastTransfer, Message, Refuse, Resume, TransferForm,
};
pub use version::{Version, VersionRange};
