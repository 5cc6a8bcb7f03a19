//! Cutting frames out of a byte stream, and writing them to one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use buffers::{BufferPool, PooledBuf};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::{
    Encoded, FRAME_BYTES_MAX, FRAME_GOES_ON, FRAME_HEADER_BYTES, Frame, FrameKind, HELLO_BYTES_MAX,
    Part, RECEIVE_GROWTH_BYTES, WireError,
};

/// Bytes received so far, before encryption, of frames that are still under way too.
#[derive(Clone, Debug, Default)]
pub struct ReceivedCount {
    /// All of them.
    pub all: Arc<AtomicU64>,
    /// Those of messages with much data, which may come in parts.
    pub data: Arc<AtomicU64>,
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
    count: ReceivedCount,
    /// What has come of a message that comes in parts.
    begun: Option<(FrameKind, Vec<u8>)>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader that takes only frames as long as a hello, until [`FrameReader::after_hello`].
    pub fn new(stream: R) -> FrameReader<R> {
        FrameReader::counting(stream, ReceivedCount::default())
    }

    /// The same; `count` rises with what is received, so that a frame which takes long is seen to be under
    /// way.
    pub fn counting(stream: R, count: ReceivedCount) -> FrameReader<R> {
        let buffers = Arc::new(BufferPool::default());
        FrameReader {
            stream,
            buf: buffers.take(RECEIVE_GROWTH_BYTES),
            buffers,
            received: 0,
            limit: HELLO_BYTES_MAX,
            longest: RECEIVE_GROWTH_BYTES,
            count,
            begun: None,
        }
    }

    /// Takes frames up to [`FRAME_BYTES_MAX`] from now on.
    pub fn after_hello(&mut self) {
        self.limit = FRAME_BYTES_MAX;
    }

    /// The next message; `None` when the peer ended the connection between two. It may be cancelled and
    /// called again without losing a byte.
    ///
    /// # Errors
    /// When the connection breaks, or the frame is not one that may be here.
    pub async fn next(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            let missing = match self.header()? {
                None => FRAME_HEADER_BYTES - self.received,
                Some((kind, goes_on, len)) => {
                    let whole = FRAME_HEADER_BYTES + len;
                    if self.received == whole {
                        let frame = self.take(kind)?;
                        match self.joined(frame, goes_on)? {
                            Some(frame) => return Ok(Some(frame)),
                            None => continue,
                        }
                    }
                    whole - self.received
                }
            };
            if !self.receive(missing).await? {
                return match (self.received, &self.begun) {
                    (0, None) => Ok(None),
                    _ => Err(WireError::Truncated),
                };
            }
        }
    }

    /// The message that is complete with this frame, if one is.
    fn joined(&mut self, frame: Frame, goes_on: bool) -> Result<Option<Frame>, WireError> {
        let begun = self.begun.take_if(|(kind, _)| *kind == frame.kind);
        let Some((kind, mut payload)) = begun else {
            if !goes_on {
                return Ok(Some(frame));
            }
            if self.begun.is_some() {
                let why = "it begins in parts before another has ended";
                return Err(WireError::malformed("frame", why));
            }
            self.begun = Some((frame.kind, frame.payload.to_vec()));
            return Ok(None);
        };
        let len = payload.len() + frame.payload.len();
        if len > self.limit {
            return Err(WireError::TooLarge {
                what: "a message in parts",
                got: len as u64,
                max: self.limit as u64,
            });
        }
        payload.extend_from_slice(&frame.payload);
        if goes_on {
            self.begun = Some((kind, payload));
            return Ok(None);
        }
        let payload = payload.into();
        Ok(Some(Frame { kind, payload }))
    }

    /// Kind and length of the frame under way, and whether its message goes on after it, once its header is
    /// here.
    fn header(&self) -> Result<Option<(FrameKind, bool, usize)>, WireError> {
        let Some(header) = self.buf[..self.received].first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = FrameKind::from_byte(header[4])?;
        let goes_on = header[5] == FRAME_GOES_ON && kind.has_parts();
        if header[5] > u8::from(goes_on) || header[6..8] != [0; 2] {
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
        Ok(Some((kind, goes_on, len)))
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
        self.count.all.fetch_add(n as u64, Ordering::Relaxed);
        let kind = self.buf[..self.received].get(4).copied();
        if kind.is_some_and(|byte| FrameKind::from_byte(byte).is_ok_and(FrameKind::has_parts)) {
            self.count.data.fetch_add(n as u64, Ordering::Relaxed);
        }
        self.received += n;
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
        let header = payload.split_to(FRAME_HEADER_BYTES);
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
        self.send_part(&message.part(0, usize::MAX)).await
    }

    /// Sends a part of a message. No other message of its kind may be sent before its last part.
    ///
    /// # Errors
    /// As [`FrameWriter::send`].
    pub async fn send_part(&mut self, message: &Part) -> Result<(), WireError> {
        let failed = |source| WireError::Io {
            operation: "write to",
            source,
        };
        let mut first = Vec::with_capacity(FRAME_HEADER_BYTES + message.head.len());
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
