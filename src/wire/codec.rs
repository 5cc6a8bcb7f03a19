//! Messages to frames and back.

use bytes::{Buf, Bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::units::Point;
use crate::wire::handshake::{read_frozen, write_frozen};
use crate::wire::{
    BATCH_REGIONS_MAX, Batch, Codec, DIGESTS_PER_FRAME_MAX, Encoded, Frame, FrameKind, Hello,
    Message, Region, VersionRange, WireError, agree_version,
};

/// What of a batch is encoded; its data follows as it is.
#[derive(Serialize, Deserialize)]
struct BatchHead {
    cycle: Point,
    index: u64,
    through: u64,
    codec: Codec,
    unpacked_len: u32,
    regions: Vec<Region>,
}

/// Turns a message into a frame.
///
/// # Errors
/// Only by a defect of ours: every message can be encoded.
pub fn encode(message: Message) -> Result<Encoded, WireError> {
    let plain = |kind, head| Encoded {
        kind,
        head,
        bulk: Bytes::new(),
    };
    Ok(match message {
        Message::Hello(hello) => {
            let mut head = Vec::new();
            write_frozen(hello.versions, &mut head);
            head.extend_from_slice(&body("hello", &hello)?);
            plain(FrameKind::Hello, head)
        }
        Message::Refuse(m) => plain(FrameKind::Refuse, body("refusal", &m)?),
        Message::Ping(n) => plain(FrameKind::Ping, n.to_le_bytes().to_vec()),
        Message::Pong(n) => plain(FrameKind::Pong, n.to_le_bytes().to_vec()),
        Message::Request(m) => plain(FrameKind::Request, body("request", &m)?),
        Message::Response(m) => plain(FrameKind::Response, body("response", &m)?),
        Message::Decision(m) => plain(FrameKind::Decision, body("decision", &m)?),
        Message::CycleBegin(m) => plain(FrameKind::CycleBegin, body("cycle begin", &m)?),
        Message::Resume(m) => plain(FrameKind::Resume, body("resume", &m)?),
        Message::Batch(batch) => return encode_batch(batch),
        Message::Progress(m) => plain(FrameKind::Progress, body("progress", &m)?),
        Message::CycleEnd(m) => plain(FrameKind::CycleEnd, body("cycle end", &m)?),
        Message::Staged(m) => plain(FrameKind::Staged, body("staged", &m)?),
        Message::Applied(m) => plain(FrameKind::Applied, body("applied", &m)?),
        Message::Abort(m) => plain(FrameKind::Abort, body("abort", &m)?),
        Message::DigestRequest(m) => plain(FrameKind::DigestRequest, body("digest request", &m)?),
        Message::Digests(m) => plain(FrameKind::Digests, body("digests", &m)?),
    })
}

/// Turns a frame into a message. Any bytes are answered with a message or an error, never a panic,
/// and memory follows the frame's length.
///
/// # Errors
/// When the payload is no message of the frame's kind.
pub fn decode(frame: Frame) -> Result<Message, WireError> {
    let payload = frame.payload;
    Ok(match frame.kind {
        FrameKind::Hello => {
            let (versions, rest) = read_frozen(&payload)?;
            // Before the body: a version without a common one may look altogether different.
            agree_version(VersionRange::OURS, versions)?;
            // A newer version only ever adds fields at the end; they are not ours to read.
            let (mut hello, _newer): (Hello, _) =
                postcard::take_from_bytes(rest).map_err(|e| WireError::malformed("hello", e))?;
            hello.versions = versions;
            Message::Hello(Box::new(hello))
        }
        FrameKind::Refuse => Message::Refuse(whole("refusal", &payload)?),
        FrameKind::Ping => Message::Ping(number("ping", &payload)?),
        FrameKind::Pong => Message::Pong(number("pong", &payload)?),
        FrameKind::Request => Message::Request(whole("request", &payload)?),
        FrameKind::Response => Message::Response(whole("response", &payload)?),
        FrameKind::Decision => Message::Decision(whole("decision", &payload)?),
        FrameKind::CycleBegin => Message::CycleBegin(whole("cycle begin", &payload)?),
        FrameKind::Resume => Message::Resume(whole("resume", &payload)?),
        FrameKind::Batch => Message::Batch(decode_batch(payload)?),
        FrameKind::Progress => Message::Progress(whole("progress", &payload)?),
        FrameKind::CycleEnd => Message::CycleEnd(whole("cycle end", &payload)?),
        FrameKind::Staged => Message::Staged(whole("staged", &payload)?),
        FrameKind::Applied => Message::Applied(whole("applied", &payload)?),
        FrameKind::Abort => Message::Abort(whole("abort", &payload)?),
        FrameKind::DigestRequest => Message::DigestRequest(whole("digest request", &payload)?),
        FrameKind::Digests => {
            let digests: crate::wire::Digests = whole("digests", &payload)?;
            at_most(
                "digests in a frame",
                digests.digests.len(),
                DIGESTS_PER_FRAME_MAX,
            )?;
            Message::Digests(digests)
        }
    })
}

fn encode_batch(batch: Batch) -> Result<Encoded, WireError> {
    let head = body(
        "batch",
        &BatchHead {
            cycle: batch.cycle,
            index: batch.index,
            through: batch.through,
            codec: batch.codec,
            unpacked_len: batch.unpacked_len,
            regions: batch.regions,
        },
    )?;
    Ok(Encoded {
        kind: FrameKind::Batch,
        head,
        bulk: batch.packed,
    })
}

fn decode_batch(mut payload: Bytes) -> Result<Batch, WireError> {
    let (head, rest) = postcard::take_from_bytes::<BatchHead>(&payload)
        .map_err(|e| WireError::malformed("batch", e))?;
    at_most("regions in a batch", head.regions.len(), BATCH_REGIONS_MAX)?;
    let head_len = payload.len() - rest.len();
    payload.advance(head_len);
    Ok(Batch {
        cycle: head.cycle,
        index: head.index,
        through: head.through,
        codec: head.codec,
        unpacked_len: head.unpacked_len,
        regions: head.regions,
        packed: payload,
    })
}

fn body<T: Serialize>(what: &'static str, message: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_stdvec(message).map_err(|e| WireError::malformed(what, e))
}

fn whole<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, WireError> {
    let (message, rest) =
        postcard::take_from_bytes(bytes).map_err(|e| WireError::malformed(what, e))?;
    if !rest.is_empty() {
        return Err(WireError::malformed(what, "something follows it"));
    }
    Ok(message)
}

fn number(what: &'static str, bytes: &[u8]) -> Result<u64, WireError> {
    let bytes = bytes
        .try_into()
        .map_err(|_| WireError::malformed(what, "it is not eight bytes long"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn at_most(what: &'static str, got: usize, max: usize) -> Result<(), WireError> {
    if got > max {
        return Err(WireError::TooLarge {
            what,
            got: got as u64,
            max: max as u64,
        });
    }
    Ok(())
}
