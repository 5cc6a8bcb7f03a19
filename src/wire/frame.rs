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

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::seam::{BufferPool, PooledBuf};
use crate::wire::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, RECEIVE_GROWTH_BYTES, WireError};

const HEADER_BYTES: usize = 12;

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

    fn from_byte(byte: u8) -> Result<FrameKind, WireError> {
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
        (HEADER_BYTES + self.head.len() + self.bulk.len()) as u64
    }

    fn header(&self) -> Result<[u8; HEADER_BYTES], WireError> {
        let len = self.head.len() + self.bulk.len();
        let len = u32::try_from(len)
            .ok()
            .filter(|len| *len as usize <= FRAME_BYTES_MAX)
            .ok_or(WireError::TooLarge {
                what: "our frame",
                got: len as u64,
                max: FRAME_BYTES_MAX as u64,
            })?;
        let mut header = [0; HEADER_BYTES];
        header[0..4].copy_from_slice(&len.to_le_bytes());
        header[4] = self.kind as u8;
        let crc = crc32c::crc32c(&header[..8]);
        let crc = crc32c::crc32c_append(crc, &self.head);
        let crc = crc32c::crc32c_append(crc, &self.bulk);
        header[8..12].copy_from_slice(&crc.to_le_bytes());
        Ok(header)
    }
}

/// Cuts frames out of a stream.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffers: Arc<BufferPool>,
    /// The frame under way; its first `received` bytes are here.
    buf: PooledBuf,
    received: usize,
    limit: usize,
    longest: usize,
    bytes: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader that takes only frames as long as a hello, until [`FrameReader::after_hello`].
    pub fn new(stream: R) -> FrameReader<R> {
        let buffers = Arc::new(BufferPool::default());
        FrameReader {
            stream,
            buf: buffers.take(RECEIVE_GROWTH_BYTES),
            buffers,
            received: 0,
            limit: HELLO_BYTES_MAX,
            longest: RECEIVE_GROWTH_BYTES,
            bytes: 0,
        }
    }

    /// Takes frames up to [`FRAME_BYTES_MAX`] from now on.
    pub fn after_hello(&mut self) {
        self.limit = FRAME_BYTES_MAX;
    }

    /// Bytes received so far, before decryption counted as the frames' own.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.bytes
    }

    /// The next frame; `None` when the peer ended the connection between two frames. It may be
    /// cancelled and called again without losing a byte.
    ///
    /// # Errors
    /// When the connection breaks, or the frame is not one that may be here.
    pub async fn next(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            let missing = match self.header()? {
                None => HEADER_BYTES - self.received,
                Some((kind, len)) => {
                    let whole = HEADER_BYTES + len;
                    if self.received == whole {
                        return self.take(kind).map(Some);
                    }
                    whole - self.received
                }
            };
            if !self.receive(missing).await? {
                return match self.received {
                    0 => Ok(None),
                    _ => Err(WireError::Truncated),
                };
            }
        }
    }

    /// Kind and length of the frame under way, once its header is here.
    fn header(&self) -> Result<Option<(FrameKind, usize)>, WireError> {
        let Some(header) = self.buf[..self.received].first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = FrameKind::from_byte(header[4])?;
        if header[5..8] != [0; 3] {
            return Err(WireError::malformed(
                "frame",
                "its reserved bytes are not zero",
            ));
        }
        if len > self.limit {
            return Err(WireError::TooLarge {
                what: "a frame",
                got: len as u64,
                max: self.limit as u64,
            });
        }
        Ok(Some((kind, len)))
    }

    /// Receives up to `missing` bytes; false at the end of the stream.
    async fn receive(&mut self, missing: usize) -> Result<bool, WireError> {
        if self.received == self.buf.len() {
            self.grow(missing);
        }
        let end = self.buf.len().min(self.received + missing);
        let n = self
            .stream
            .read(&mut self.buf[self.received..end])
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => WireError::Truncated,
                _ => WireError::Io {
                    operation: "read from",
                    source,
                },
            })?;
        self.received += n;
        self.bytes += n as u64;
        Ok(n > 0)
    }

    /// Makes room for up to `missing` bytes. Memory follows what was received, now or by a frame
    /// before, never what is only claimed.
    fn grow(&mut self, missing: usize) {
        let trusted = self.longest.max(self.received);
        let mut larger = self.buffers.take(self.received + missing.min(trusted));
        larger[..self.received].copy_from_slice(&self.buf[..self.received]);
        self.buf = larger;
    }

    /// The frame, which is here as a whole, in its buffer; the next one gets another.
    fn take(&mut self, kind: FrameKind) -> Result<Frame, WireError> {
        self.longest = self.longest.max(self.received);
        let mut whole = std::mem::replace(&mut self.buf, self.buffers.take(self.longest));
        whole.truncate(std::mem::take(&mut self.received));
        let mut payload = Bytes::from_owner(whole);
        let header = payload.split_to(HEADER_BYTES);
        let claimed = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..8]), &payload);
        if crc != claimed {
            return Err(WireError::Checksum { what: "a frame" });
        }
        Ok(Frame { kind, payload })
    }
}

/// Writes frames to a stream.
#[derive(Debug)]
pub struct FrameWriter<W> {
    stream: W,
    bytes: u64,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// A writer to `stream`.
    pub fn new(stream: W) -> FrameWriter<W> {
        FrameWriter { stream, bytes: 0 }
    }

    /// Bytes sent so far, before encryption.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.bytes
    }

    /// Sends one frame. When it is cancelled half-way the stream is of no more use.
    ///
    /// # Errors
    /// When the connection breaks, or the frame is longer than [`FRAME_BYTES_MAX`].
    pub async fn send(&mut self, message: &Encoded) -> Result<(), WireError> {
        let failed = |source| WireError::Io {
            operation: "write to",
            source,
        };
        let mut first = Vec::with_capacity(HEADER_BYTES + message.head.len());
        first.extend_from_slice(&message.header()?);
        first.extend_from_slice(&message.head);
        self.stream.write_all(&first).await.map_err(failed)?;
        if !message.bulk.is_empty() {
            self.stream.write_all(&message.bulk).await.map_err(failed)?;
        }
        self.stream.flush().await.map_err(failed)?;
        self.bytes += message.wire_bytes();
        Ok(())
    }

    /// Ends our direction of the stream.
    ///
    /// # Errors
    /// When the connection is broken already.
    pub async fn finish(&mut self) -> Result<(), WireError> {
        self.stream
            .shutdown()
            .await
            .map_err(|source| WireError::Io {
                operation: "write to",
                source,
            })
    }
}
