//! What processes leave on the state volume.

use std::sync::Arc;

use protocol::changes::{BatchData, BlockDigest, CycleId, Region, RegionKind, hash_blocks};
use protocol::units::{ChangeSource, Epoch, Extent, ImageState, PairId, Point, Role};
use sim::{Fault, Operation, SimDisk};
use storage::journal::{
    DigestLog, DigestLogSpec, DigestStore, InPlaceMark, Staging, StagingSpec, Superblock,
    SuperblockStore,
};
use storage::seam::Disk as _;
use uuid::Uuid;

use super::wire::{cycle, lineage};

/// A small volume whose only block is short, so that seeds are short too.
const TINY: u64 = 64;

fn disk() -> SimDisk {
    SimDisk::new(1 << 20, 0)
}

fn region(offset: u64, bytes: &[u8]) -> Region {
    Region {
        extent: Extent::new(offset, bytes.len() as u64),
        kind: RegionKind::Data {
            crc: crc32c::crc32c(bytes),
        },
    }
}

fn zeros(offset: u64, len: u64) -> Region {
    Region {
        extent: Extent::new(offset, len),
        kind: RegionKind::Zero,
    }
}

pub fn superblocks() -> Vec<Vec<u8>> {
    let full = Superblock {
        pair_id: PairId(Uuid::from_u128(9)),
        site: "west".parse().unwrap(),
        role: Role::Standby,
        epoch: Epoch(2),
        lineage: lineage(),
        committed: Some(Point::new(2, 308)),
        applied: Some(Point::new(2, 309)),
        image: ImageState::Consistent(Point::new(2, 309)),
        size_bytes: 1 << 30,
        volume: None,
        never_writable: true,
        diverged: false,
        requested_primary: "east".parse().unwrap(),
    };
    let disk = disk();
    let (mut store, _) = SuperblockStore::open(Arc::new(disk.clone())).unwrap();
    store.save(&full).unwrap();
    vec![disk.durable("superblock").unwrap()]
}

/// A log after some batches, and the same one sealed.
fn staging(size: u64, batches: &[BatchData]) -> Vec<Vec<u8>> {
    let disk = disk();
    let spec = StagingSpec {
        id: cycle(),
        size_bytes: size,
        change_source: ChangeSource::Delta,
    };
    let mut staging = Staging::create(Arc::new(disk.clone()), spec, 1 << 20).unwrap();
    for batch in batches {
        staging.append(batch, &hash_blocks(batch)).unwrap();
    }
    staging.checkpoint().run().unwrap();
    let open = file(&disk, "staging");
    staging.seal(staging.sum()).unwrap();
    vec![open, file(&disk, "staging")]
}

/// A file without the space that is reserved behind its end.
fn file(disk: &SimDisk, name: &str) -> Vec<u8> {
    let mut bytes = disk.durable(name).unwrap();
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    bytes.truncate((end + 32).max(4096));
    bytes
}

pub fn stagings() -> Vec<Vec<u8>> {
    let data = [7; TINY as usize];
    let tiny = BatchData {
        through: TINY,
        regions: vec![region(0, &data)],
        data: data.to_vec().into(),
    };
    let first = BatchData {
        through: 3 * 4096,
        regions: vec![zeros(4096, 4096)],
        ..BatchData::default()
    };
    let last = BatchData {
        through: (1 << 20) + TINY,
        regions: vec![zeros(3 * 4096, 8 * 4096), region(1 << 20, &data)],
        data: data.to_vec().into(),
    };
    let mut seeds = staging(TINY, &[tiny]);
    seeds.extend(staging((1 << 20) + TINY, &[first, last]));
    seeds
}

fn log(disk: &SimDisk, id: CycleId) -> DigestLog {
    let spec = DigestLogSpec {
        id,
        size_bytes: (1 << 21) + TINY,
        change_source: ChangeSource::Digests,
    };
    let mut log = DigestLog::create(Arc::new(disk.clone()), spec).unwrap();
    let data = |offset, len| Region {
        extent: Extent::new(offset, len),
        kind: RegionKind::Data { crc: 0 },
    };
    let digests = [BlockDigest([5; 16]), BlockDigest([6; 16])];
    log.append(16_384, &[data(4096, 8192), zeros(12_288, 4096)], &digests)
        .unwrap();
    log.append((1 << 21) + TINY, &[data(1 << 21, TINY)], &digests[..1])
        .unwrap();
    log
}

pub fn digest_logs() -> Vec<Vec<u8>> {
    let whole = CycleId {
        from: None,
        ..cycle()
    };
    [cycle(), whole]
        .iter()
        .flat_map(|id| {
            let disk = disk();
            let mut log = log(&disk, *id);
            let present = disk.open("digests.next").unwrap().unwrap();
            present.flush().unwrap();
            let open = file(&disk, "digests.next");
            log.seal().unwrap();
            [open, file(&disk, "digests.next")]
        })
        .collect()
}

pub fn marks() -> Vec<Vec<u8>> {
    let disk = disk();
    let mark = InPlaceMark {
        id: CycleId {
            from: None,
            ..cycle()
        },
        size_bytes: (1 << 21) + TINY,
        through: 1 << 20,
    };
    mark.write(&disk).unwrap();
    vec![disk.durable("in-place").unwrap()]
}

/// The three files of the kept digests in one, as the target takes them.
fn store(disk: &SimDisk) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in ["digests.state", "digests"] {
        let content = disk.durable(name).unwrap();
        bytes.extend_from_slice(&u16::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend(content);
    }
    if disk.durable("digests.next").is_some() {
        bytes.extend(file(disk, "digests.next"));
    }
    bytes
}

pub fn digest_stores() -> Vec<Vec<u8>> {
    let disk = disk();
    let whole = CycleId {
        cycle: Point::new(2, 308),
        from: None,
    };
    let mut kept = DigestStore::open(Arc::new(disk.clone())).unwrap();
    let mut first = log(&disk, whole);
    first.seal().unwrap();
    kept.commit(first).unwrap();
    let settled = store(&disk);
    // An update that was cut short: the state says what is to come, and the log is still there.
    let mut next = log(&disk, cycle());
    next.seal().unwrap();
    disk.fail(Fault::once(Operation::Flush, 1));
    kept.commit(next).unwrap_err();
    disk.heal();
    vec![settled, store(&disk)]
}
