//! Every write and flush of a real file system at work is logged; the states that its device went
//! through are replicated one after the other by Ferry's data path, and each copy is compared with
//! the log's own state byte for byte. That a copy mounts would be no proof: a third of damaged ones do.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use demo::shipment::Shipment;
use protocol::changes::CycleId;
use protocol::units::{ChangeSource, Extent, Point};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rustix::fs::SeekFrom;
use storage::journal::{Staging, StagingOutcome, StagingSpec};
use storage::seam::{BlockFile, Directory, DiskError, SystemClock};
use storage::volume::{Applier, ApplyError, Reader, ReaderConfig, given, open_source, open_target};

use super::device::Device;
use super::disks::{Kind, Loop, Mount, Place};
use super::write_log::{Entry, WriteLog};
use crate::world::World;

/// Points for each file system; others with `FERRY_CRASH_POINTS=n`.
const POINTS: usize = 1000;

/// Every so many points: one through real movers, one damaged on purpose, one mounted and checked.
const THROUGH_MOVERS: usize = 125;
const DAMAGED: usize = 10;
const MOUNTED: usize = 250;

/// Every so many points the apply dies in the middle and is resumed.
const DIES: usize = 3;

const STALL: Duration = Duration::from_secs(60);
const PIECE_BYTES: u64 = 256 * 1024;

#[tokio::test]
async fn every_state_of_a_busy_ext4_is_replicated_exactly() {
    replicate_every_state(Kind::Ext4).await;
}

#[tokio::test]
async fn every_state_of_a_busy_xfs_is_replicated_exactly() {
    replicate_every_state(Kind::Xfs).await;
}

async fn replicate_every_state(kind: Kind) {
    let points = std::env::var("FERRY_CRASH_POINTS").map_or(POINTS, |n| {
        n.parse().expect("FERRY_CRASH_POINTS is a number")
    });
    let place = Place::new();
    let log = logged(kind, &place, points * 3);
    let primary = place.file("primary.img", kind.size());
    let standby = place.file("standby.img", kind.size());
    std::fs::create_dir(place.path().join("meta")).unwrap();
    let mut world = World::at(place.path(), kind.size()).await;
    let image = OpenOptions::new().write(true).open(&primary).unwrap();
    let mut random = StdRng::seed_from_u64(17);
    let (mut replayed, mut since_movers, mut base) = (0, Vec::new(), None);
    let mut damaged = 0;
    for number in 1..=points {
        let end = log.entries().len() * number / points;
        let entries = &log.entries()[replayed..end];
        let changed: Vec<Extent> = entries
            .iter()
            .filter_map(|entry| log.replay(*entry, &image))
            .collect();
        replayed = end;
        since_movers.extend_from_slice(&changed);
        let dies = (number % DIES == 0).then(|| random.random_range(0..4));
        replicate(&place, &primary, &standby, changed, number as u64, dies);
        let different = first_difference(&primary, &standby);
        assert_eq!(different, None, "{kind:?}, point {number} (entry {end})");
        if number % DAMAGED == 0 {
            assert_damage_is_found(&log, end, &primary, &standby, &mut random);
            damaged += 1;
        }
        if number % THROUGH_MOVERS == 0 {
            let point = world.point();
            let shipment = match base {
                None => Shipment::of(point),
                Some(base) => Shipment::of(point).delta(base, std::mem::take(&mut since_movers)),
            };
            since_movers.clear();
            world.ship(&primary, shipment).await;
            base = Some(point);
        }
        if number % MOUNTED == 0 {
            assert_mounts(kind, &place, &standby);
        }
    }
    println!(
        "{kind:?}: {points} points of {} entries equal, {damaged} of {damaged} damaged ones found",
        log.entries().len()
    );
}

/// The log of a file system that is made and then worked on until there are `entries`.
fn logged(kind: Kind, place: &Place, entries: usize) -> WriteLog {
    let live = place.file("live.img", kind.size());
    let device = Device::over(&live);
    let data = place.file("log.data", 0);
    let data = OpenOptions::new()
        .read(true)
        .write(true)
        .open(data)
        .unwrap();
    device.log_into(WriteLog::new(data));
    {
        let node = Loop::direct(device.path());
        kind.make(node.path());
        let mounted = Mount::new(node.path(), &place.path().join("busy"), kind);
        let mut random = StdRng::seed_from_u64(5);
        let mut names = 0_u32;
        while device.logged() < entries {
            work(mounted.at(), &mut random, &mut names);
        }
    }
    let log = device.take_log();
    // The log leaves nothing out: played back whole it is the device.
    let whole = place.file("whole.img", kind.size());
    let image = OpenOptions::new().write(true).open(&whole).unwrap();
    for entry in log.entries() {
        log.replay(*entry, &image);
    }
    assert_eq!(first_difference(&device.underneath(), &whole), None);
    std::fs::remove_file(whole).unwrap();
    log
}

/// One operation of an application: create, append, rename, unlink or truncate, and often fsync.
fn work(at: &Path, random: &mut StdRng, names: &mut u32) {
    let name = |number: u32| at.join(format!("d{}/f{number}", number % 4));
    std::fs::create_dir_all(at.join(format!("d{}", *names % 4))).unwrap();
    let old = name(random.random_range(0..(*names).max(1)));
    let mut data = vec![0; random.random_range(1..32 * 1024)];
    random.fill_bytes(&mut data);
    let file = match random.random_range(0..6) {
        0 | 1 => {
            *names += 1;
            let new = name(*names - 1);
            std::fs::write(&new, &data).unwrap();
            File::open(new).ok()
        }
        2 => std::fs::remove_file(&old).err().and(None),
        3 => {
            *names += 1;
            let parent = at.join(format!("d{}", (*names - 1) % 4));
            std::fs::create_dir_all(parent).unwrap();
            drop(std::fs::rename(&old, name(*names - 1)));
            None
        }
        more => OpenOptions::new()
            .write(true)
            .open(&old)
            .ok()
            .inspect(|file| {
                let len = file.metadata().unwrap().len();
                if more == 4 {
                    file.set_len(len / 2).unwrap();
                } else if len < 256 * 1024 {
                    file.write_all_at(&data, len).unwrap();
                }
            }),
    };
    if let Some(file) = file
        && random.random_bool(0.7)
    {
        file.sync_all().unwrap();
    }
}

/// Reader, staging, apply. With `dies`, the apply ends after so many writes and begins again from
/// what is staged, as after a crash.
fn replicate(
    place: &Place,
    primary: &Path,
    standby: &Path,
    changed: Vec<Extent>,
    number: u64,
    dies: Option<i64>,
) {
    let source = open_source(primary).unwrap();
    let disk = Arc::new(Directory::open(&place.path().join("meta")).unwrap());
    let spec = StagingSpec {
        id: CycleId {
            cycle: Point::new(1, number + 1),
            from: Some(Point::new(1, number)),
        },
        size_bytes: source.size(),
        change_source: ChangeSource::Delta,
    };
    let mut staging = Staging::create(disk.clone(), spec, u64::MAX).unwrap();
    let changes = given(changed, source.size());
    let config = ReaderConfig {
        threads: 2,
        ..ReaderConfig::default()
    };
    let clock = Arc::new(SystemClock::new());
    let reader = Reader::start(source, changes, None, config, clock);
    while let Some(read) = reader.next(STALL).unwrap() {
        staging.append(&read.batch, &read.digests).unwrap();
    }
    staging.seal(staging.sum()).unwrap();
    if let Some(writes) = dies {
        let device = Arc::new(Dying {
            inner: open_target(standby).unwrap(),
            left: AtomicI64::new(writes),
        });
        drop(apply(device, &staging));
        drop(staging);
        let base = Some(Point::new(1, number));
        let found = Staging::recover(disk, u64::MAX, base, &mut |_, _| Ok(())).unwrap();
        let StagingOutcome::Complete(again) = found else {
            panic!("a sealed staging is not whole after a crash");
        };
        staging = *again;
    }
    apply(open_target(standby).unwrap(), &staging).unwrap();
    staging.remove().unwrap();
}

fn apply(device: Arc<dyn BlockFile>, staging: &Staging) -> Result<(), ApplyError> {
    let applier = Applier::start(device, 2);
    for batch in staging.read().unwrap() {
        applier.push(batch.unwrap())?;
    }
    applier.flush().map(drop)
}

/// A device that does so many writes and then nothing more.
struct Dying {
    inner: Arc<dyn BlockFile>,
    left: AtomicI64,
}

impl Dying {
    fn alive(&self) -> Result<(), DiskError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let dead = std::io::Error::other("it died here");
        Err(DiskError::new("write", "the dying device", dead))
    }
}

impl BlockFile for Dying {
    fn size(&self) -> u64 {
        self.inner.size()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.inner.read_at(offset, buf)
    }
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.alive()?;
        self.inner.write_at(offset, data)
    }
    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.alive()?;
        self.inner.zero(range)
    }
    fn flush(&self) -> Result<(), DiskError> {
        self.alive()?;
        self.inner.flush()
    }
    fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }
    fn drop_cache(&self) -> Result<(), DiskError> {
        self.inner.drop_cache()
    }
    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.inner.set_size(size)
    }
    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.inner.allocate(range)
    }
    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        self.inner.next_data(from)
    }
}

/// The control: a copy that lacks one of the log's writes is found to differ, then it gets it back.
fn assert_damage_is_found(
    log: &WriteLog,
    end: usize,
    primary: &Path,
    standby: &Path,
    random: &mut StdRng,
) {
    let copy = OpenOptions::new().read(true).write(true).open(standby);
    let copy = copy.unwrap();
    loop {
        let Entry::Write(extent, _) = log.entries()[random.random_range(0..end)] else {
            continue;
        };
        let mut held = vec![0; usize::try_from(extent.len).unwrap()];
        copy.read_exact_at(&mut held, extent.offset).unwrap();
        if held.iter().all(|byte| *byte == 0) {
            continue;
        }
        copy.write_all_at(&vec![0; held.len()], extent.offset)
            .unwrap();
        let found = first_difference(primary, standby);
        copy.write_all_at(&held, extent.offset).unwrap();
        assert!(
            found.is_some(),
            "a write of {extent:?} is missing unnoticed"
        );
        return;
    }
}

fn assert_mounts(kind: Kind, place: &Place, standby: &Path) {
    let copy = place.path().join("mounted.img");
    std::fs::copy(standby, &copy).unwrap();
    let node = Loop::over(&copy);
    drop(Mount::new(node.path(), &place.path().join("seen"), kind));
    assert!(kind.is_clean(node.path()), "{kind:?} is not clean");
}

/// Where two files differ; ranges that are holes in both are equal without reading.
fn first_difference(ours: &Path, theirs: &Path) -> Option<u64> {
    let (ours, theirs) = (File::open(ours).unwrap(), File::open(theirs).unwrap());
    let size = ours.metadata().unwrap().len();
    assert_eq!(size, theirs.metadata().unwrap().len());
    let data = |file: &File, from| rustix::fs::seek(file, SeekFrom::Data(from)).unwrap_or(size);
    let (mut left, mut right) = (vec![0; PIECE_BYTES as usize], vec![0; PIECE_BYTES as usize]);
    let mut at = 0;
    loop {
        at = data(&ours, at).min(data(&theirs, at)) / PIECE_BYTES * PIECE_BYTES;
        if at >= size {
            return None;
        }
        let len = usize::try_from(PIECE_BYTES.min(size - at)).unwrap();
        ours.read_exact_at(&mut left[..len], at).unwrap();
        theirs.read_exact_at(&mut right[..len], at).unwrap();
        if left[..len] != right[..len] {
            return Some(at);
        }
        at += PIECE_BYTES;
        if at >= size {
            return None;
        }
    }
}
