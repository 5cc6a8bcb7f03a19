//! Cutting frames out of a byte stream, and writing them to one.

use std::io;
use std::sync::Arc;

use buffers::{BufferPool, PooledBuf};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use wire::{
    Encoded, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameKind, HELLO_BYTES_MAX,
    RECEIVE_GROWTH_BYTES, WireError,
};

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
                None => FRAME_HEADER_BYTES - self.received,
                Some((kind, len)) => {
                    let whole = FRAME_HEADER_BYTES + len;
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
        let Some(header) = self.buf[..self.received].first_chunk::<FRAME_HEADER_BYTES>() else {
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
