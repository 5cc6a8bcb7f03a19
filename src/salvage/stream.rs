//! From a pod to whoever asked: what differs, in the frames that movers use between each other.
//!
//! A hello that says of which side it is, batches, a progress message now and then, and an end with the
//! totals. So every payload has its checksum and all of it a digest, and a stream that was cut short
//! is never taken for a complete one.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;

use crate::source::Source;
use crate::{Facts, SalvageError};
use protocol::changes::{BatchData, CycleDigest, CycleId, RegionKind, blocks_of, hash_blocks};
use protocol::units::{ImageState, Point, SiteName};
use storage::journal::Superblock;
use transport::{FrameReader, FrameWriter};
use wire::control::{Compression, RefusalKind};
use wire::{
    Compressor, CycleEnd, Hello, Message, Refuse, Resume, VersionRange, decode, encode, pack,
    unpack,
};

/// Batches of nothing after which a word says how far reading has come, so that nobody between the
/// two ends takes the connection for dead: 64 MiB of the volume.
const WORD_EVERY: u64 = 64;

/// Sends what differs in `source` to `out`.
///
/// # Errors
/// When the volume can't be read or `out` is gone.
pub fn send(
    source: &Source,
    out: impl AsyncWrite + Unpin,
    runtime: &Runtime,
) -> Result<(), SalvageError> {
    let mut out = FrameWriter::new(out);
    let mut say = |message| runtime.block_on(async { out.send(&encode(message)?).await });
    let superblock = source.superblock.as_ref().ok_or_else(|| {
        SalvageError::Refused(
            "the state volume has no superblock: this is no side of a pair".into(),
        )
    })?;
    let id = CycleId {
        cycle: source.point.unwrap_or(Point::new(0, 0)),
        from: source.point,
    };
    say(Message::Hello(Box::new(hello(source, superblock))))?;
    let mut compressor = Compressor::new(Compression::Lz4, || 0);
    let mut digest = CycleDigest::new();
    let (mut index, mut silent) = (0, 0);
    source.read(|read| {
        silent += 1;
        if read.batch.regions.is_empty() {
            if silent >= WORD_EVERY {
                silent = 0;
                let through = read.batch.through;
                say(Message::Progress(Resume { id, through }))?;
            }
            return Ok(());
        }
        silent = 0;
        add(&mut digest, &read.batch, &read.digests);
        let batch = pack(id.cycle, index, read.batch, &mut compressor);
        index += 1;
        Ok(say(Message::Batch(batch))?)
    })?;
    say(Message::CycleEnd(CycleEnd {
        id,
        sum: digest.finish(),
    }))?;
    Ok(())
}

/// Says to `out` that nothing comes, and why.
pub fn refuse(error: &SalvageError, out: impl AsyncWrite + Unpin, runtime: &Runtime) {
    let message = Message::Refuse(Refuse {
        kind: RefusalKind::Aborted,
        message: error.to_string(),
    });
    let mut out = FrameWriter::new(out);
    // Whoever is gone already learns of it from the exit code.
    drop(runtime.block_on(async { out.send(&encode(message)?).await }));
}

/// Takes a stream in from `from`. `open` is called with what it is of, and returns where it goes to; it
/// may refuse. `progress` is called with how far the volume was read.
///
/// # Errors
/// When the stream is not complete, is refused, or the export can't be written.
pub async fn receive<T>(
    from: impl AsyncRead + Unpin,
    open: impl FnOnce(&Facts) -> Result<T, SalvageError>,
    mut take: impl FnMut(&mut T, &BatchData) -> Result<(), SalvageError>,
    mut progress: impl FnMut(u64),
) -> Result<T, SalvageError> {
    let mut frames = FrameReader::new(from);
    let facts = match next(&mut frames).await? {
        Message::Hello(hello) => facts(&hello),
        other => return Err(strange(&other)),
    };
    frames.after_hello();
    let mut out = open(&facts)?;
    let mut digest = CycleDigest::new();
    let mut through = 0;
    loop {
        match next(&mut frames).await? {
            Message::Batch(batch) => {
                let batch = unpack(batch, through, facts.size)?;
                through = batch.through;
                add(&mut digest, &batch, &hash_blocks(&batch));
                take(&mut out, &batch)?;
                progress(through);
            }
            Message::Progress(word) => progress(word.through),
            Message::CycleEnd(end) if end.sum == digest.finish() => return Ok(out),
            Message::CycleEnd(_) => {
                return Err(SalvageError::Refused(
                    "what arrived is not what was sent: try again".into(),
                ));
            }
            other => return Err(strange(&other)),
        }
    }
}

async fn next(frames: &mut FrameReader<impl AsyncRead + Unpin>) -> Result<Message, SalvageError> {
    let frame = frames.next().await?;
    let frame = frame.ok_or(wire::WireError::Truncated)?;
    match decode(frame)? {
        Message::Refuse(refuse) => Err(SalvageError::Refused(refuse.message)),
        message => Ok(message),
    }
}

fn strange(message: &Message) -> SalvageError {
    tracing::debug!(?message, "not a part of an export");
    SalvageError::Refused("the pod sent something that is no part of an export".into())
}

fn add(digest: &mut CycleDigest, batch: &BatchData, digests: &[protocol::changes::BlockDigest]) {
    let mut rest = digests;
    for region in &batch.regions {
        match region.kind {
            RegionKind::Zero => digest.zero(region.extent),
            RegionKind::Data { .. } => {
                let blocks = blocks_of(region.extent);
                let count = usize::try_from(blocks.end - blocks.start).unwrap_or(rest.len());
                let (own, after) = rest.split_at(count.min(rest.len()));
                digest.data(region.extent, own);
                rest = after;
            }
        }
    }
}

fn hello(source: &Source, superblock: &Superblock) -> Hello {
    Hello {
        versions: VersionRange::OURS,
        pair_id: Some(superblock.pair_id),
        site: superblock.site.clone(),
        unreadable: false,
        role: superblock.role,
        epoch: superblock.epoch,
        lineage: superblock.lineage.clone(),
        committed: superblock.committed,
        applied: superblock.applied,
        cut: None,
        image: ImageState::Inconsistent,
        size_bytes: source.size(),
        diverged: superblock.diverged,
        never_writable: superblock.never_writable,
        digests_of: source.point,
    }
}

fn facts(hello: &Hello) -> Facts {
    let site: SiteName = hello.site.clone();
    Facts {
        pair_id: hello.pair_id,
        site: Some(site),
        epoch: Some(hello.epoch),
        diverged: hello.diverged,
        compared_with: hello.digests_of,
        against: match hello.digests_of {
            Some(point) => format!("the digests kept of cut {point}"),
            None => "nothing: everything that is not zero is exported".into(),
        },
        size: hello.size_bytes,
    }
}
