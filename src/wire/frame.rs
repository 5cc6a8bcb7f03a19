//! Frames: how messages are cut out of a byte stream.
//!
//! A frame is a header of twelve bytes and a payload:
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | length of the payload, u32 little-endian |
//! | 4 | kind of the message |
//! | 5 | 1 where the message goes on in the next frame of the same kind, else 0 |
//! | 6..8 | zero |
//! | 8..12 | CRC-32C of the eight bytes before and the payload, u32 little-endian |
//!
//! A message with much data may come in several frames, so that others come between them and wait for no
//! more than one (D-12). No message of the same kind comes before its last frame.

use crate::{FRAME_BYTES_MAX, WireError};
use bytes::Bytes;

/// The length of a frame's header in bytes.
pub const FRAME_HEADER_BYTES: usize = 12;

/// Byte 5 of a header: the message goes on in the next frame of its kind.
pub const FRAME_GOES_ON: u8 = 1;

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

    /// Whether a message of this kind may come in parts.
    #[must_use]
    pub fn has_parts(self) -> bool {
        matches!(self, FrameKind::Batch | FrameKind::Digests)
    }

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
        (FRAME_HEADER_BYTES + self.payload_bytes()) as u64
    }

    /// Whether it may be sent in parts.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        self.kind.has_parts()
    }

    /// The length of the payload in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.head.len() + self.bulk.len()
    }

    /// The part of the payload from byte `from` on, of at most `len` bytes.
    #[must_use]
    pub fn part(&self, from: usize, len: usize) -> Part {
        let end = from.saturating_add(len).min(self.payload_bytes());
        let split = self.head.len();
        let (head, bulk) = (
            from.min(split)..end.min(split),
            from.max(split)..end.max(split),
        );
        Part {
            kind: self.kind,
            goes_on: end < self.payload_bytes(),
            head: self.head[head].to_vec(),
            bulk: self.bulk.slice(bulk.start - split..bulk.end - split),
        }
    }
}

/// A frame to be sent: a message, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which message.
    pub kind: FrameKind,
    /// Whether the message goes on in the next frame of its kind.
    pub goes_on: bool,
    /// The beginning of the payload.
    pub head: Vec<u8>,
    /// The rest of the payload.
    pub bulk: Bytes,
}

impl Part {
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
        header[5] = u8::from(self.goes_on) * FRAME_GOES_ON;
        let crc = crc32c::crc32c(&header[..8]);
        let crc = crc32c::crc32c_append(crc, &self.head);
        let crc = crc32c::crc32c_append(crc, &self.bulk);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        Ok(header)
    }
}
