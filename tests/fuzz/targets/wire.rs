//! What travels: frames, and the message in each.

use bytes::Bytes;
use futures::executor::block_on;
use protocol::changes::{BATCH_BYTES_MAX, BATCH_REGIONS_MAX, BLOCK_BYTES, hash_blocks};
use transport::{FrameReader, FrameWriter};
use wire::control::Compression;
use wire::{Compressor, Encoded, Frame, FrameKind, Message, decode, encode, pack, unpack};

/// The size of the volume that batches are for: of whole blocks and a bit.
pub const VOLUME_BYTES: u64 = (1 << 30) + 1000;

/// A stream of frames, as after a connection was made. What was read is written again and must come
/// out the same, byte by byte.
pub fn frames(bytes: &[u8]) -> bool {
    block_on(async {
        let mut reader = FrameReader::new(bytes);
        let (mut written, mut read_frames) = (Vec::new(), Vec::new());
        let mut taken = true;
        loop {
            match reader.next().await {
                Ok(Some(frame)) => {
                    reader.after_hello();
                    let raw = Encoded {
                        kind: frame.kind,
                        head: Vec::new(),
                        bulk: frame.payload.clone(),
                    };
                    FrameWriter::new(&mut written).send(&raw).await.unwrap();
                    read_frames.push((frame.kind, crc32c::crc32c(&frame.payload)));
                    taken &= read(frame).is_some();
                }
                end => {
                    drop(reader);
                    assert_eq!(again(&written).await, read_frames, "what was written again");
                    // What came in parts is written as one.
                    assert!(written.len() <= bytes.len(), "more than there was");
                    return end.is_ok() && taken && !bytes.is_empty();
                }
            }
        }
    })
}

/// The kinds of what was written, and the sums of their payloads.
async fn again(written: &[u8]) -> Vec<(FrameKind, u32)> {
    let (mut reader, mut frames) = (FrameReader::new(written), Vec::new());
    while let Ok(Some(frame)) = reader.next().await {
        reader.after_hello();
        frames.push((frame.kind, crc32c::crc32c(&frame.payload)));
    }
    frames
}

/// A hello's payload.
pub fn hello(bytes: &[u8]) -> bool {
    read(frame(FrameKind::Hello, bytes)).is_some()
}

/// The payload of a request (the first byte is even) or of a response.
pub fn control(bytes: &[u8]) -> bool {
    let Some((kind, payload)) = bytes.split_first() else {
        return false;
    };
    let kind = match kind % 2 {
        0 => FrameKind::Request,
        _ => FrameKind::Response,
    };
    read(frame(kind, payload)).is_some()
}

/// The payload of any message; the first byte says of which.
pub fn message(bytes: &[u8]) -> bool {
    let Some((kind, payload)) = bytes.split_first() else {
        return false;
    };
    let kind = FrameKind::ALL[usize::from(*kind) % FrameKind::ALL.len()];
    read(frame(kind, payload)).is_some()
}

/// A batch's payload, unpacked as for a volume of [`VOLUME_BYTES`].
pub fn batch(bytes: &[u8]) -> bool {
    let Some(Message::Batch(batch)) = read(frame(FrameKind::Batch, bytes)) else {
        return false;
    };
    assert!(batch.regions.len() <= BATCH_REGIONS_MAX);
    let (cycle, index) = (batch.cycle, batch.index);
    let Ok(data) = unpack(batch, 0, VOLUME_BYTES) else {
        return false;
    };
    assert!(data.data.len() <= BATCH_BYTES_MAX);
    let (mut position, mut blocks) = (0, 0);
    for (region, bytes) in data.iter() {
        assert!(region.extent.offset >= position && region.extent.len > 0);
        assert_eq!(bytes.len() as u64, region.data_len());
        blocks += bytes.chunks(BLOCK_BYTES as usize).count();
        position = region.extent.end();
    }
    assert!(position <= data.through && data.through <= VOLUME_BYTES);
    assert_eq!(hash_blocks(&data).len(), blocks);
    let mut compressor = Compressor::new(Compression::Lz4, || 0);
    let again = pack(cycle, index, data.clone(), &mut compressor);
    assert_eq!(unpack(again, 0, VOLUME_BYTES).unwrap(), data);
    true
}

fn frame(kind: FrameKind, payload: &[u8]) -> Frame {
    Frame {
        kind,
        payload: Bytes::copy_from_slice(payload),
    }
}

/// Decodes a frame. What was decoded is encoded and decoded again and must be the same; it never
/// takes more bytes than it came in, or memory would grow from hop to hop.
fn read(frame: Frame) -> Option<Message> {
    let len = frame.payload.len();
    let message = decode(frame).ok()?;
    let encoded = encode(message.clone()).unwrap();
    let payload = [&encoded.head[..], &encoded.bulk].concat();
    assert!(payload.len() <= len, "{message:?} grew");
    let again = decode(Frame {
        kind: encoded.kind,
        payload: payload.into(),
    });
    assert_eq!(again.unwrap(), message);
    Some(message)
}
