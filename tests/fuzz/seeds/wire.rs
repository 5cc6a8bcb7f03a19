//! What movers and operators send.

use futures::executor::block_on;
use protocol::changes::{BatchData, BlockDigest, CycleDigest, CycleId, Region, RegionKind};
use protocol::units::{
    ChangeSource, ChangeSourceUse, CyclePhase, Decision, Epoch, Extent, FailedRange, Generation,
    HandshakeMode, HandshakeRow, ImageState, Lineage, PairId, Point, Progress, Role, Seq, SiteName,
};
use transport::FrameWriter;
use uuid::Uuid;
use wire::control::*;
use wire::{
    Applied, Asked, Compressor, CycleBegin, CycleEnd, DigestRequest, Digests, FrameKind, Hello,
    Message, Refuse, Resume, TransferForm, VersionRange, encode, pack,
};

use crate::targets::VOLUME_BYTES;

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

fn generation(n: u128) -> Generation {
    Generation(Uuid::from_u128(n))
}

pub fn lineage() -> Lineage {
    Lineage::starting(Epoch(1), generation(1), Seq(1)).promoted(
        Point::new(1, 300),
        Epoch(2),
        generation(2),
    )
}

pub fn cycle() -> CycleId {
    CycleId {
        cycle: Point::new(2, 309),
        from: Some(Point::new(2, 308)),
    }
}

/// The smallest hello and a full one.
fn hello(full: bool) -> Hello {
    let point = full.then_some(Point::new(2, 308));
    Hello {
        versions: VersionRange::OURS,
        pair_id: full.then_some(PairId(Uuid::from_u128(9))),
        site: site("east"),
        unreadable: !full,
        role: Role::Primary,
        epoch: Epoch(2),
        lineage: if full { lineage() } else { Lineage::default() },
        committed: point,
        applied: point,
        cut: point,
        image: point.map_or(ImageState::None, ImageState::Redo),
        size_bytes: VOLUME_BYTES,
        diverged: false,
        never_writable: full,
        digests_of: point,
    }
}

/// Data of a region of zeros, of whole blocks and of the volume's short last block.
fn batch_data() -> BatchData {
    let data: Vec<u8> = (0..4096 + 1000_u32).map(|n| (n / 100) as u8 + 1).collect();
    let last = VOLUME_BYTES / 4096 * 4096;
    let region = |offset, bytes: &[u8]| Region {
        extent: Extent::new(offset, bytes.len() as u64),
        kind: RegionKind::Data {
            crc: crc32c::crc32c(bytes),
        },
    };
    BatchData {
        through: VOLUME_BYTES,
        regions: vec![
            region(8192, &data[..4096]),
            Region {
                extent: Extent::new(1 << 20, 1 << 20),
                kind: RegionKind::Zero,
            },
            region(last, &data[4096..]),
        ],
        data: data.into(),
    }
}

fn batch(compression: Compression) -> Message {
    let mut compressor = Compressor::new(compression, || 0);
    Message::Batch(pack(cycle().cycle, 7, batch_data(), &mut compressor))
}

fn verification() -> Request {
    Request::Verify(VerifyRequest {
        cycle: cycle().cycle,
        peer: "10.0.0.1:7400".into(),
        peer_site: site("west"),
        range: Extent::new(1 << 24, 1 << 30),
        read_bytes_per_second: Some(100 << 20),
        transfer: Transfer {
            bytes_per_second: None,
            compression: Compression::Auto,
            stall_timeout_ms: 60_000,
        },
    })
}

fn requests() -> Vec<Request> {
    let (epoch, requested_primary) = (Epoch(3), site("west"));
    vec![
        Request::Status {
            after: 3,
            wait_ms: 10_000,
        },
        Request::Init(InitRequest {
            pair_id: PairId(Uuid::from_u128(9)),
            role: Role::Standby,
            epoch,
            generation: generation(3),
            start: Seq(310),
            never_writable: true,
            requested_primary: requested_primary.clone(),
            over_damage: false,
        }),
        Request::Ship(ship()),
        Request::Extents(ExtentBatch {
            cycle: cycle().cycle,
            changes: ChangeList::Allocated,
            from: 0,
            extents: vec![Extent::new(0, 4096), Extent::new(1 << 20, 1 << 16)],
            last: true,
        }),
        Request::ExtentsFailed {
            cycle: cycle().cycle,
            changes: ChangeList::Allocated,
            reason: "the stream broke".into(),
        },
        Request::Receive(ReceiveRequest {
            cycle: cycle().cycle,
            peer_site: site("east"),
        }),
        Request::Commit {
            cycle: cycle().cycle,
        },
        Request::Abort {
            reason: "the pair is deleted".into(),
        },
        Request::Promote(PromoteRequest {
            epoch,
            generation: generation(3),
            peer_head: Some(cycle().cycle),
            requested_primary: requested_primary.clone(),
        }),
        Request::Demote(DemoteRequest {
            epoch,
            lineage: lineage(),
            clean_at: None,
            requested_primary,
        }),
        Request::SetBandwidth {
            bytes_per_second: Some(1 << 20),
        },
        Request::Shutdown,
    ]
}

fn refusal() -> Refusal {
    Refusal {
        kind: RefusalKind::StaleEpoch,
        message: "epoch 1 is older than epoch 2".into(),
    }
}

fn status() -> MoverStatus {
    let point = cycle().cycle;
    MoverStatus {
        version: 40,
        site: site("west"),
        superblock: Some(SuperblockReport {
            pair_id: PairId(Uuid::from_u128(9)),
            role: Role::Standby,
            epoch: Epoch(2),
            lineage: lineage(),
            committed: Some(Point::new(2, 308)),
            applied: Some(point),
            image: ImageState::Consistent(point),
            diverged: false,
            requested_primary: site("east"),
        }),
        superblock_error: Some(refusal()),
        device_bytes: Some(VOLUME_BYTES),
        activity: Activity::Receiving(point),
        progress: Some(Progress {
            cycle: point,
            phase: CyclePhase::Shipping,
            planned_bytes: 1 << 30,
            done_bytes: 1 << 20,
            wire_bytes: 1 << 19,
            data_bytes: 1 << 18,
            zero_bytes: 4096,
            elapsed_ms: 900,
        }),
        decision: Some(decision()),
        change_source: Some(ChangeSourceUse {
            source: ChangeSource::Digests,
            reason: "the driver lists nothing".into(),
        }),
        last: Some(CycleOutcome::Applied(CycleReport {
            cycle: point,
            change_source: ChangeSource::Delta,
            read_bytes: 1,
            data_bytes: 2,
            zero_bytes: 3,
            wire_bytes: 4,
            digest: CycleDigest::new().finish().hex(),
            handshake_ms: 5,
            ship_ms: 6,
            apply_ms: 7,
        })),
        unwritten: vec![FailedRange {
            extent: Extent::new(6 << 20, 64 << 10),
            errno: 5,
        }],
    }
}

fn responses() -> Vec<Response> {
    let failed = CycleOutcome::Failed {
        cycle: cycle().cycle,
        cause: refusal(),
        retryable: true,
    };
    vec![
        Response::Accepted,
        Response::Refused(refusal()),
        Response::Status(Box::new(status())),
        Response::Status(Box::new(MoverStatus {
            activity: Activity::Promoting(Epoch(3)),
            last: Some(failed),
            ..status()
        })),
    ]
}

fn decision() -> Decision {
    Decision {
        mode: HandshakeMode::Bitmap,
        row: HandshakeRow::Bounded,
        reason: "what changed since 2.308 is known".into(),
    }
}

fn refuse() -> Refuse {
    Refuse {
        kind: RefusalKind::Diverged,
        message: "west holds writes that nobody else has".into(),
    }
}

fn all() -> Vec<Message> {
    let resume = Resume {
        id: cycle(),
        through: 1 << 20,
    };
    let end = CycleEnd {
        id: cycle(),
        sum: CycleDigest::new().finish(),
    };
    let begin = CycleBegin {
        id: cycle(),
        size_bytes: VOLUME_BYTES,
        form: TransferForm::InPlace,
        change_source: ChangeSource::FullRead,
        consent: Some(Epoch(2)),
    };
    vec![
        Message::Hello(Box::new(hello(true))),
        Message::Refuse(refuse()),
        Message::Ping(1 << 40),
        Message::Pong(7),
        Message::Request(Box::new(Asked {
            trace: wire::Trace::try_from("9f3a77c1-1.7".to_string()).ok(),
            request: Request::Shutdown,
        })),
        Message::Response(Box::new(Response::Accepted)),
        Message::Decision(decision()),
        Message::CycleBegin(begin),
        Message::Resume(resume),
        batch(Compression::Lz4),
        Message::Progress(resume),
        Message::CycleEnd(end),
        Message::Staged(cycle()),
        Message::Applied(Applied {
            id: cycle(),
            apply_ms: 12,
        }),
        Message::Abort(refuse()),
        Message::DigestRequest(DigestRequest {
            extent: Extent::new(0, 16 << 20),
        }),
        Message::Digests(Digests {
            extent: Extent::new(0, 8192),
            digests: vec![BlockDigest::ZERO, BlockDigest([9; 16])],
        }),
    ]
}

fn payload(message: Message) -> Vec<u8> {
    let encoded = encode(message).unwrap();
    [&encoded.head[..], &encoded.bulk].concat()
}

/// A payload behind a byte that says what it is.
fn marked(mark: usize, message: Message) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(mark).unwrap()];
    bytes.extend(payload(message));
    bytes
}

pub fn hellos() -> Vec<Vec<u8>> {
    let hello = |full| payload(Message::Hello(Box::new(hello(full))));
    // One of a later version, with fields that are not known here.
    let mut newer = hello(true);
    newer[10] = 9;
    newer.extend_from_slice(b"more");
    vec![hello(false), hello(true), newer]
}

pub fn messages() -> Vec<Vec<u8>> {
    let all = all().into_iter();
    all.map(|message| {
        let kind = encode(message.clone()).unwrap().kind;
        let mark = FrameKind::ALL.iter().position(|k| *k == kind).unwrap();
        marked(mark, message)
    })
    .collect()
}

pub fn controls() -> Vec<Vec<u8>> {
    let requests = requests().into_iter();
    let responses = responses().into_iter();
    requests
        .map(|request| marked(0, Message::Request(Box::new(request.into()))))
        .chain(responses.map(|response| marked(1, Message::Response(Box::new(response)))))
        .chain([marked(0, Message::Request(Box::new(verification().into())))])
        .collect()
}

pub fn batches() -> Vec<Vec<u8>> {
    [Compression::Off, Compression::Lz4, Compression::Zstd]
        .map(|compression| payload(batch(compression)))
        .to_vec()
}

pub fn streams() -> Vec<Vec<u8>> {
    let stream = |messages: Vec<Message>| {
        let mut bytes = Vec::new();
        block_on(async {
            let mut writer = FrameWriter::new(&mut bytes);
            for message in messages {
                writer.send(&encode(message).unwrap()).await.unwrap();
            }
        });
        bytes
    };
    let asked = requests()
        .into_iter()
        .map(|r| Message::Request(Box::new(r.into())));
    vec![stream(all()), stream(asked.collect())]
}

fn ship() -> ShipRequest {
    ShipRequest {
        cycle: cycle().cycle,
        peer: "10.0.0.1:7400".into(),
        peer_site: site("west"),
        changes: ChangeList::Delta {
            base: Point::new(2, 308),
        },
        changes_reason: "the driver lists changes".into(),
        discard_consent: Some(Epoch(3)),
        image: Some(BlockImage {
            bytes: 1 << 30,
            file_system: true,
        }),
        transfer: Transfer {
            bytes_per_second: Some(1 << 30),
            compression: Compression::Auto,
            stall_timeout_ms: 60_000,
        },
    }
}
