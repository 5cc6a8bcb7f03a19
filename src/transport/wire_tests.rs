//! Every message there and back, the bytes that may never change, and whatever else may arrive.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use protocol::changes::*;
use wire::control::{Compression, RefusalKind, Request, Response};
use wire::*;

use crate::{FrameReader, FrameWriter, ReceivedCount};
use protocol::units::{
    ChangeSource, Decision, Epoch, Extent, Generation, HandshakeMode, HandshakeRow, ImageState,
    Lineage, PairId, Point, Role, Seq,
};

const SIZE: u64 = 1 << 30;

fn id() -> CycleId {
    CycleId {
        cycle: Point::new(2, 9),
        from: Some(Point::new(2, 7)),
    }
}

fn hello() -> Hello {
    let generation = Generation(Uuid::from_u128(0x11));
    Hello {
        versions: VersionRange::OURS,
        pair_id: Some(PairId(Uuid::from_u128(0x22))),
        site: "east".parse().unwrap(),
        unreadable: false,
        role: Role::Primary,
        epoch: Epoch(2),
        lineage: Lineage::starting(Epoch(2), generation, Seq(1)),
        committed: Some(Point::new(2, 7)),
        applied: Some(Point::new(2, 7)),
        cut: None,
        image: ImageState::Consistent(Point::new(2, 7)),
        size_bytes: SIZE,
        diverged: false,
        never_writable: true,
        digests_of: Some(Point::new(2, 7)),
    }
}

fn refuse() -> Refuse {
    Refuse {
        kind: RefusalKind::StaleEpoch,
        message: "an older epoch".into(),
    }
}

fn data_batch() -> BatchData {
    let data: Vec<u8> = (0..3 * 4096_u32).map(|n| (n % 251) as u8 + 1).collect();
    let region = |offset, len, at: usize| Region {
        extent: Extent::new(offset, len as u64),
        kind: RegionKind::Data {
            crc: crc32c::crc32c(&data[at..at + len]),
        },
    };
    BatchData {
        through: 1 << 20,
        regions: vec![
            region(4096, 8192, 0),
            Region {
                extent: Extent::new(16384, 4096),
                kind: RegionKind::Zero,
            },
            region(40960, 4096, 8192),
        ],
        data: data.into(),
    }
}

fn compressor(mode: Compression) -> Compressor {
    Compressor::new(mode, || 0)
}

fn messages() -> Vec<Message> {
    let batch = pack(
        id().cycle,
        3,
        data_batch(),
        &mut compressor(Compression::Lz4),
    );
    let resume = Resume {
        id: id(),
        through: 77,
    };
    vec![
        Message::Hello(Box::new(hello())),
        Message::Refuse(refuse()),
        Message::Ping(1 << 40),
        Message::Pong(7),
        Message::Request(Box::new(Request::Commit { cycle: id().cycle }.into())),
        Message::Response(Box::new(Response::Accepted)),
        Message::Decision(Decision {
            mode: HandshakeMode::Bitmap,
            row: HandshakeRow::Bounded,
            reason: "why".into(),
        }),
        Message::CycleBegin(CycleBegin {
            id: id(),
            size_bytes: SIZE,
            form: TransferForm::Staged,
            change_source: ChangeSource::Delta,
            consent: None,
        }),
        Message::Resume(resume),
        Message::Batch(batch),
        Message::Progress(resume),
        Message::CycleEnd(CycleEnd {
            id: id(),
            sum: CycleDigest::new().finish(),
        }),
        Message::Staged(id()),
        Message::Applied(Applied {
            id: id(),
            apply_ms: 5,
        }),
        Message::Abort(refuse()),
        Message::DigestRequest(DigestRequest {
            extent: Extent::new(0, SIZE),
        }),
        Message::Digests(Digests {
            extent: Extent::new(0, 8192),
            digests: vec![BlockDigest::ZERO, BlockDigest([9; 16])],
        }),
    ]
}

fn payload(message: Message) -> (FrameKind, Vec<u8>) {
    let encoded = encode(message).unwrap();
    (encoded.kind, [&encoded.head[..], &encoded.bulk].concat())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

#[test]
fn every_message_comes_out_of_the_stream_as_it_went_in() {
    let sent = messages();
    let kinds: Vec<FrameKind> = sent.iter().map(|m| payload(m.clone()).0).collect();
    for kind in FrameKind::ALL {
        assert!(kinds.contains(&kind), "{kind:?} is not tried here");
    }
    runtime().block_on(async {
        // A pipe of odd length, so that frames arrive in pieces.
        let (near, far) = tokio::io::duplex(113);
        let count = ReceivedCount::default();
        let mut writer = FrameWriter::new(near);
        let mut reader = FrameReader::counting(far, count.clone());
        let send = async {
            for message in &sent {
                writer
                    .send(&encode(message.clone()).unwrap())
                    .await
                    .unwrap();
            }
            writer.finish().await.unwrap();
            writer.wire_bytes()
        };
        let receive = async {
            let mut received = Vec::new();
            while let Some(frame) = reader.next().await.unwrap() {
                received.push(decode(frame).unwrap());
            }
            (received, count.all.load(Ordering::Relaxed))
        };
        let (bytes_out, (received, bytes_in)) = tokio::join!(send, receive);
        assert_eq!(received, sent);
        assert_eq!(bytes_out, bytes_in);
    });
}

/// A refusal and the beginning of a hello must be understood by every version that will ever be; the rest
/// of a hello is the same in every build of a version.
#[test]
fn the_bytes_of_refuse_never_change_and_those_of_hello_only_with_the_version() {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (kind, bytes) = payload(Message::Refuse(refuse()));
    assert_eq!((kind as u8, hex(&bytes)), (2, GOLDEN_REFUSE.into()));
    let (kind, bytes) = payload(Message::Hello(Box::new(hello())));
    assert_eq!((kind as u8, hex(&bytes)), (1, GOLDEN_HELLO.into()));
}

const GOLDEN_REFUSE: &str = "010e616e206f6c6465722065706f6368";
const GOLDEN_HELLO_1: &str = concat!(
    "4645525259484c4f0100010001100000000000000000000000000000002204656173740000020102",
    "10000000000000000000000000000000110101020701020700010207808080800400010104776573",
    "7401100000000000000000000000000000001101010002070101000102070102090102078020",
);
const GOLDEN_HELLO: &str = concat!(
    "4645525259484c4f0300030001100000000000000000000000000000002204656173740000020102",
    "1000000000000000000000000000000011010102070102070001020780808080040001010207",
);

/// Version 1 is sent which versions there are, whatever its hello looks like.
#[test]
fn a_hello_of_version_1_finds_no_common_version() {
    let byte = |at: usize| u8::from_str_radix(&GOLDEN_HELLO_1[at..at + 2], 16).unwrap();
    let payload: Vec<u8> = (0..GOLDEN_HELLO_1.len()).step_by(2).map(byte).collect();
    let error = decode(Frame {
        kind: FrameKind::Hello,
        payload: payload.into(),
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no common protocol version: we speak 3, the peer 1; upgrade the older side"
    );
}

#[test]
fn a_newer_hello_is_read_and_one_without_a_common_version_is_named() {
    let (kind, mut bytes) = payload(Message::Hello(Box::new(hello())));
    bytes[10] = 9;
    bytes.extend_from_slice(b"fields of version 9");
    let frame = |bytes: &[u8]| Frame {
        kind,
        payload: Bytes::copy_from_slice(bytes),
    };
    match decode(frame(&bytes)).unwrap() {
        Message::Hello(read) => assert_eq!(read.versions.max, Version(9)),
        other => panic!("{other:?}"),
    }
    bytes[8] = 8;
    let error = decode(frame(&bytes)).unwrap_err();
    assert!(
        matches!(error, WireError::NoCommonVersion { .. }),
        "{error}"
    );
}

#[test]
fn batches_unpack_to_what_was_packed_whatever_the_compression() {
    let plain = data_batch();
    for mode in [
        Compression::Off,
        Compression::Lz4,
        Compression::Zstd,
        Compression::Auto,
    ] {
        let packed = pack(id().cycle, 0, plain.clone(), &mut compressor(mode));
        assert_eq!(unpack(packed, 4096, SIZE).unwrap(), plain);
    }
}

#[test]
fn a_batch_that_breaks_a_rule_is_refused() {
    let good = || {
        pack(
            id().cycle,
            0,
            data_batch(),
            &mut compressor(Compression::Off),
        )
    };
    assert!(unpack(good(), 0, SIZE).is_ok());
    assert!(
        unpack(good(), 4097, SIZE).is_err(),
        "before what was sent already"
    );
    assert!(unpack(good(), 0, 40960).is_err(), "past the volume's end");
    type Spoil = fn(&mut Batch);
    let cases: [(&str, Spoil); 9] = [
        ("not ascending", |b| b.regions.swap(0, 2)),
        ("overlapping", |b| b.regions[1].extent.offset = 8192),
        ("empty", |b| b.regions[1].extent.len = 0),
        ("no whole blocks", |b| b.regions[1].extent.len = 100),
        ("overflowing", |b| {
            b.regions[2].extent.offset = u64::MAX - 4095
        }),
        ("through before the end", |b| b.through = 4096),
        ("data missing", |b| b.packed.truncate(100)),
        ("a bomb", |b| b.unpacked_len = u32::MAX),
        ("wrong codec", |b| b.codec = Codec::Zstd),
    ];
    for (what, spoil) in cases {
        let mut bad = good();
        spoil(&mut bad);
        assert!(unpack(bad, 0, SIZE).is_err(), "{what} was taken");
    }
    assert!(good().is_next(0).is_ok());
    assert!(good().is_next(1).is_err(), "out of turn");
    let mut flipped = good();
    let mut data = flipped.packed.to_vec();
    data[5000] ^= 1;
    flipped.packed = data.into();
    let error = unpack(flipped, 0, SIZE).unwrap_err();
    assert!(matches!(error, WireError::Checksum { .. }), "{error}");
}

/// D-12: what comes between the parts of a message is read at once, and the message is the same.
#[test]
fn d_12_messages_come_between_the_parts_of_another() {
    for part_bytes in [1, 7, 1000, 4096] {
        for message in messages() {
            let long = encode(message).unwrap();
            if !long.has_parts() {
                continue;
            }
            let ping = encode(Message::Ping(7)).unwrap();
            runtime().block_on(async {
                let mut bytes = Vec::new();
                let mut writer = FrameWriter::new(&mut bytes);
                let (mut from, mut pings) = (0, 0);
                loop {
                    let part = long.part(from, part_bytes);
                    writer.send_part(&part).await.unwrap();
                    from += part.head.len() + part.bulk.len();
                    if !part.goes_on {
                        break;
                    }
                    writer.send(&ping).await.unwrap();
                    pings += 1;
                }
                let mut reader = FrameReader::new(&bytes[..]);
                reader.after_hello();
                for _ in 0..pings {
                    assert_eq!(reader.next().await.unwrap().unwrap().kind, FrameKind::Ping);
                }
                let frame = reader.next().await.unwrap().unwrap();
                assert_eq!(frame.kind, long.kind);
                assert_eq!(frame.payload, [&long.head[..], &long.bulk[..]].concat());
                assert!(reader.next().await.unwrap().is_none());
            });
        }
    }
}

/// Parts that are no message: one that never ends, one within another, and one of a kind that has none.
#[test]
fn parts_that_do_not_fit_together_end_the_stream() {
    let part = |kind: FrameKind, goes_on: bool| {
        let part = wire::Part {
            kind,
            goes_on,
            head: vec![1; 100],
            bulk: Bytes::new(),
        };
        [&part.header().unwrap()[..], &part.head[..]].concat()
    };
    let batch = part(FrameKind::Batch, true);
    assert!(matches!(read_all(&batch, true), Err(WireError::Truncated)));
    let digests = part(FrameKind::Digests, true);
    let nested = [batch.clone(), digests].concat();
    assert!(matches!(
        read_all(&nested, true),
        Err(WireError::Malformed { .. })
    ));
    let ping = part(FrameKind::Ping, true);
    assert!(matches!(
        read_all(&ping, true),
        Err(WireError::Malformed { .. })
    ));
    let endless = batch.repeat(FRAME_BYTES_MAX / 100 + 1);
    assert!(matches!(
        read_all(&endless, true),
        Err(WireError::TooLarge { .. })
    ));
}

/// Reads whatever the stream holds until its end or its first error.
fn read_all(bytes: &[u8], established: bool) -> Result<usize, WireError> {
    runtime().block_on(async {
        let mut reader = FrameReader::new(bytes);
        if established {
            reader.after_hello();
        }
        let mut count = 0;
        while let Some(frame) = reader.next().await? {
            decode(frame)?;
            count += 1;
        }
        Ok(count)
    })
}

fn stream() -> Vec<u8> {
    runtime().block_on(async {
        let mut bytes = Vec::new();
        let mut writer = FrameWriter::new(&mut bytes);
        for message in messages() {
            writer.send(&encode(message).unwrap()).await.unwrap();
        }
        bytes
    })
}

#[test]
fn a_long_frame_is_refused_unread_and_before_hello_a_short_one_is_long() {
    let claim = |len: u32| [&len.to_le_bytes()[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    for (len, established) in [(HELLO_BYTES_MAX as u32 + 1, false), (u32::MAX, true)] {
        let error = read_all(&claim(len), established).unwrap_err();
        assert!(matches!(error, WireError::TooLarge { .. }), "{error}");
    }
    // A claim within the limit costs only what a claim may cost, and then the end is noticed.
    let error = read_all(&claim(FRAME_BYTES_MAX as u32), true).unwrap_err();
    assert!(matches!(error, WireError::Truncated), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        kind in 0..FrameKind::ALL.len(),
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let frame = Frame { kind: FrameKind::ALL[kind], payload: bytes.clone().into() };
        if let Ok(Message::Batch(batch)) = decode(frame) {
            drop(unpack(batch, 0, SIZE));
        }
        drop(read_all(&bytes, true));
    }

    /// Damage anywhere in a stream is found by a checksum, or by the header's own rules.
    #[test]
    fn damage_to_a_stream_is_always_noticed(at in 0_usize..8000, bit in 0_u8..8) {
        let mut bytes = stream();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(read_all(&bytes, true).is_err());
    }

    #[test]
    fn mutated_messages_never_panic(message in 0_usize..17, at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let (kind, mut bytes) = payload(messages().swap_remove(message));
        let at = at % bytes.len().max(1);
        if let Some(b) = bytes.get_mut(at) {
            *b = byte;
        }
        if cut {
            bytes.truncate(at);
        }
        if let Ok(Message::Batch(batch)) = decode(Frame { kind, payload: bytes.into() }) {
            drop(unpack(batch, 0, SIZE));
        }
    }
}
