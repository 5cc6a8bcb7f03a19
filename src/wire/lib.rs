//! Messages, versions, codec and limits. Bytes in, messages out; no sockets. Depends on `units`.
//!
//! A connection carries frames ([`Frame`]); a frame carries one [`Message`]. The first message in
//! each direction is [`Hello`], whose beginning never changes, so that any two versions can tell
//! each other which they speak. After it the operator's connection carries
//! [`control`] requests and responses, and a mover's carries cycles.

pub mod control;

mod batch;
mod codec;
mod compress;
mod error;
mod frame;
mod handshake;
mod limits;
mod message;
mod trace;
mod version;

pub use batch::{Batch, Codec, pack, unpack, unpack_within};
pub use codec::{decode, encode};
pub use compress::Compressor;
pub use error::WireError;
pub use frame::{Encoded, FRAME_GOES_ON, FRAME_HEADER_BYTES, Frame, FrameKind, Part};
pub use handshake::{HELLO_MAGIC, agree_version};
pub use limits::{
    DIGESTS_PER_FRAME_MAX, FRAME_BYTES_MAX, HELLO_BYTES_MAX, RECEIVE_GROWTH_BYTES, WINDOW_BYTES,
};
pub use message::{
    Applied, CycleBegin, CycleEnd, DigestRequest, Digests, Hello, Message, Refuse, Resume,
    TransferForm,
};
pub use trace::{Asked, Trace};
pub use version::{Version, VersionRange};
