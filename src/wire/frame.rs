//! Frames: how messages are cut out of a byte stream.
//!
//! A frame is a header of twelve bytes and a payload:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | length of the payload, u32 little-endian |
//! | 4 | kind of the message |
//! | 5..8 | zero |
//! | 8..12 | CRC-32C of the eight bytes before and the payload, u32 little-endian |

use crate::{FRAME_BYTES_MAX, WireError};
use bytes::Bytes;

/// The length of a frame's header in bytes.
pub const FRAME_HEADER_BYTES: usize = 12;

/// Which message a frame carries. The numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "each is documented at the message of the same name"
)]
pub enum FrameKind {
    Hello = 1,
    Refuse = 2,
    Ping = 3,
    Pong = 4,
    Request = 16,
    Response = 17,
    Decision = 32,
    CycleBegin = 33,
    Resume = 34,
    Batch = 35,
    Progress = 36,
    CycleEnd = 37,
    Staged = 38,
    Applied = 39,
    Abort = 40,
    DigestRequest = 48,
    Digests = 49,
}

impl FrameKind {
    /// All kinds.
    pub const ALL: [FrameKind; 17] = [
        FrameKind::Hello,
        FrameKind::Refuse,
        FrameKind::Ping,
        FrameKind::Pong,
        FrameKind::Request,
        FrameKind::Response,
        FrameKind::Decision,
        FrameKind::CycleBegin,
        FrameKind::Resume,
        FrameKind::Batch,
        FrameKind::Progress,
        FrameKind::CycleEnd,
        FrameKind::Staged,
        FrameKind::Applied,
        FrameKind::Abort,
        FrameKind::DigestRequest,
        FrameKind::Digests,
    ];

    /// The kind with this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_byte(byte: u8) -> Result<FrameKind, WireError> {
        FrameKind::ALL
            .into_iter()
            .find(|kind| *kind as u8 == byte)
            .ok_or(WireError::UnknownKind(byte))
    }
}

/// A frame that was received whole and matches its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which message.
    pub kind: FrameKind,
    /// The message.
    pub payload: Bytes,
}

/// A message ready to be sent: what was encoded, and bulk data that needs no copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Which message.
    pub kind: FrameKind,
    /// The beginning of the payload.
    pub head: Vec<u8>,
    /// The rest of the payload.
    pub bulk: Bytes,
}

impl Encoded {
    /// Bytes on the wire, with the header, before encryption.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        (FRAME_HEADER_BYTES + self.head.len() + self.bulk.len()) as u64
    }

    /// The frame's header, with its checksum.
    ///
    /// # Errors
    /// When the payload is longer than [`FRAME_BYTES_MAX`].
    pub fn header(&self) -> Result<[u8; FRAME_HEADER_BYTES], WireError> {
        let len = self.head.len() + self.bulk.len();
        let len = u32::try_from(len)
            .ok()
            .filter(|len| *len as usize <= FRAME_BYTES_MAX)
            .ok_or(WireError::TooLarge {
                what: "our frame",
                got: len as u64,
                max: FRAME_BYTES_MAX as u64,
            })?;
        let mut header = [0; FRAME_HEADER_BYTES];
        header[0..4].copy_from_slice(&len.to_le_bytes());
        header[4] = self.kind as u8;
        let crc = crc32c::crc32c(&header[..8]);
        let crc = crc32c::crc32c_append(crc, &self.head);
        let crc = crc32c::crc32c_append(crc, &self.bulk);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        Ok(header)
    }
}
