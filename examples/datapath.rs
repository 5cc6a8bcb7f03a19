//! Measures the parts of the data path on files of this machine, each alone and all together.
//!
//! `cargo run --release --example datapath -- DIRECTORY [MIB]` makes an image of incompressible data
//! in DIRECTORY, and prints MiB/s for: reading, reading with nothing changed (kept digests), staging,
//! applying to a new image, and reading to applying with staging in between. Caches are dropped with
//! the files' own means; nothing outside DIRECTORY is touched.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use protocol::changes::{BLOCK_BYTES, BatchData, CycleId, Region, RegionKind, hash_blocks};
use protocol::units::{ChangeSource, Extent, Point};
use storage::journal::{Staging, StagingSpec};
use storage::seam::{Access, BlockFile, Directory, OsFile, SystemClock};
use storage::volume::{
    Applier, Known, ReadBatch, Reader, ReaderConfig, digest_blocks, everything, given, open_source,
    open_target,
};
use wire::WINDOW_BYTES;

const STALL: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().context("name a directory")?;
    let mib: u64 = args.next().map_or(Ok(1024), |n| n.parse())?;
    let dir = Path::new(&dir);
    let image = dir.join("source.img");
    make_image(&image, mib)?;
    let size = mib << 20;
    for threads in [1, 2, 4, 8, 16] {
        read(&image, size, threads)?;
    }
    unchanged(&image, size)?;
    scattered(&image, size)?;
    apply_scattered(dir, size)?;
    stage_and_apply(dir, &image, size)?;
    through(dir, &image, size)
}

fn make_image(path: &Path, mib: u64) -> Result<()> {
    std::fs::File::create(path)?;
    let file = OsFile::open(path, Access::Write, false)?;
    let mut state = 1_u64;
    for n in 0..mib {
        let piece: Vec<u8> = (0..(1 << 20) / 8)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        file.write_at(n << 20, &piece)?;
    }
    file.flush()?;
    Ok(file.drop_cache()?)
}

fn report(what: &str, bytes: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = bytes as f64 / seconds / f64::from(1 << 20);
    println!("{what:50} {seconds:8.3} s {rate:8.0} MiB/s");
}

fn start(device: &Arc<dyn BlockFile>, size: u64, threads: usize, known: Option<Known>) -> Reader {
    let config = ReaderConfig {
        threads,
        ..ReaderConfig::default()
    };
    let clock = Arc::new(SystemClock::new());
    Reader::start(device.clone(), everything(0, size), known, config, clock)
}

fn drain(reader: &Reader, mut each: impl FnMut(ReadBatch) -> Result<()>) -> Result<()> {
    while let Some(batch) = reader.next(STALL)? {
        each(batch)?;
    }
    Ok(())
}

/// One block of 4 KiB in a hundred, at random, to an image of data: past the cache as a mover writes, and
/// through it, where the kernel sorts and joins.
fn apply_scattered(dir: &Path, size: u64) -> Result<()> {
    let image = dir.join("scattered.img");
    make_image(&image, size >> 20)?;
    let blocks: Vec<u64> = (0..size / BLOCK_BYTES)
        .filter(|block| block.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57 == 0)
        .collect();
    for (what, direct) in [
        ("past", true),
        ("through", false),
        ("past", true),
        ("through", false),
    ] {
        let device = Arc::new(OsFile::open(&image, Access::Write, direct)?);
        device.drop_cache()?;
        let started = Instant::now();
        let applier = Applier::start(device, 2);
        for part in blocks.chunks(256) {
            applier.push(blocks_of_data(part))?;
        }
        applier.flush()?;
        let bytes = blocks.len() as u64 * BLOCK_BYTES;
        report(
            &format!("apply 1 % of random blocks {what} the cache"),
            bytes,
            started,
        );
    }
    Ok(())
}

fn blocks_of_data(blocks: &[u64]) -> BatchData {
    let data = vec![7; blocks.len() * usize::try_from(BLOCK_BYTES).unwrap_or(0)];
    let crc = crc32c::crc32c(&data[..4096]);
    let region = |block: &u64| Region {
        extent: Extent::new(block * BLOCK_BYTES, BLOCK_BYTES),
        kind: RegionKind::Data { crc },
    };
    BatchData {
        through: blocks.last().map_or(0, |last| (last + 1) * BLOCK_BYTES),
        regions: blocks.iter().map(region).collect(),
        data: data.into(),
    }
}

fn read(image: &Path, size: u64, threads: usize) -> Result<()> {
    let device = open_source(image)?;
    let started = Instant::now();
    drain(&start(&device, size, threads, None), |_| Ok(()))?;
    report(
        &format!("read, zero test, hash; {threads} threads"),
        size,
        started,
    );
    Ok(())
}

fn unchanged(image: &Path, size: u64) -> Result<()> {
    let device = open_source(image)?;
    let digests = digest_blocks(&*device, Extent::new(0, size))?;
    let known = Known::new(move |first, out| {
        for (block, out) in (first..).zip(out) {
            *out = usize::try_from(block)
                .ok()
                .and_then(|b| digests.get(b).copied());
        }
        Ok(())
    });
    let started = Instant::now();
    drain(&start(&device, size, 8, Some(known)), |_| Ok(()))?;
    report("the same, nothing changed; 8 threads", size, started);
    Ok(())
}

fn scattered(image: &Path, size: u64) -> Result<()> {
    let device = open_source(image)?;
    let blocks = size / BLOCK_BYTES;
    let extents: Vec<Extent> = (0..blocks / 100)
        .map(|n| Extent::new(n * 7919 % blocks * BLOCK_BYTES, BLOCK_BYTES))
        .collect();
    let bytes = extents.len() as u64 * BLOCK_BYTES;
    for threads in [4, 8, 16, 32] {
        let config = ReaderConfig {
            threads,
            budget_bytes: 64 << 20,
            ..ReaderConfig::default()
        };
        let clock = Arc::new(SystemClock::new());
        let changes = given(extents.clone(), size);
        let started = Instant::now();
        let reader = Reader::start(device.clone(), changes, None, config, clock);
        drain(&reader, |_| Ok(()))?;
        report(
            &format!("1 % in scattered blocks; {threads} threads"),
            bytes,
            started,
        );
    }
    Ok(())
}

fn new_staging(dir: &Path, size: u64) -> Result<Staging> {
    let spec = StagingSpec {
        id: CycleId {
            cycle: Point::new(1, 2),
            from: None,
        },
        size_bytes: size,
        change_source: ChangeSource::FullRead,
    };
    let disk = Arc::new(Directory::open(dir)?);
    Ok(Staging::create(disk, spec, u64::MAX)?)
}

fn new_target(dir: &Path, size: u64) -> Result<Arc<dyn BlockFile>> {
    let path = dir.join("target.img");
    drop(std::fs::remove_file(&path));
    std::fs::File::create(&path)?.set_len(size)?;
    Ok(open_target(&path)?)
}

fn stage_and_apply(dir: &Path, image: &Path, size: u64) -> Result<()> {
    let device = open_source(image)?;
    let mut batches: Vec<(BatchData, Vec<_>)> = Vec::new();
    drain(&start(&device, size, 8, None), |read| {
        let data = bytes::Bytes::copy_from_slice(&read.batch.data);
        let batch = BatchData {
            data,
            ..read.batch.clone()
        };
        batches.push((batch, read.digests));
        Ok(())
    })?;
    let started = Instant::now();
    let mut staging = new_staging(dir, size)?;
    let mut unflushed = 0;
    for (batch, digests) in &batches {
        staging.append(batch, digests)?;
        unflushed += batch.data.len() as u64;
        if unflushed >= WINDOW_BYTES {
            staging.checkpoint().run()?;
            unflushed = 0;
        }
    }
    staging.seal(staging.sum())?;
    report("stage, a flush for each window", size, started);
    let started = Instant::now();
    for (batch, _) in &batches {
        std::hint::black_box(hash_blocks(batch));
    }
    report("hash at the target, 1 thread", size, started);
    for threads in [1, 2, 4, 8] {
        let target = new_target(dir, size)?;
        let started = Instant::now();
        let applier = Applier::start(target, threads);
        for (batch, _) in &batches {
            applier.push(batch.clone())?;
        }
        applier.flush()?;
        report(
            &format!("apply from memory; {threads} threads"),
            size,
            started,
        );
    }
    let target = new_target(dir, size)?;
    let started = Instant::now();
    let applier = Applier::start(target, 4);
    for batch in staging.read()? {
        applier.push(batch?)?;
    }
    applier.flush()?;
    report("apply from staging; 4 threads", size, started);
    Ok(staging.remove()?)
}

fn through(dir: &Path, image: &Path, size: u64) -> Result<()> {
    let device = open_source(image)?;
    let target = new_target(dir, size)?;
    let started = Instant::now();
    let applier = Applier::start(target, 4);
    let reader = start(&device, size, 4, None);
    drain(&reader, |read| Ok(applier.push(read.batch)?))?;
    applier.flush()?;
    report("read to applied in place", size, started);
    let target = new_target(dir, size)?;
    let started = Instant::now();
    let mut staging = new_staging(dir, size)?;
    drain(&start(&device, size, 4, None), |read| {
        Ok(staging.append(&read.batch, &read.digests)?)
    })?;
    staging.seal(staging.sum())?;
    let applier = Applier::start(target, 4);
    for batch in staging.read()? {
        applier.push(batch?)?;
    }
    applier.flush()?;
    report("read, fully staged, applied", size, started);
    staging.remove()?;
    Ok(std::fs::remove_file(dir.join("target.img"))?)
}
