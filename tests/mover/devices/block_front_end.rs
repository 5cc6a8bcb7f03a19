//! Cycles while a file system is made on the primary's block device and files are copied to it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use demo::shipment::Shipment;
use protocol::units::{ChangeSource, Extent, Point};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::disks::{Kind, Loop, Mount, Place, Pool, reflink, run};
use crate::world::{MIB, World};

/// What is copied: so many files, of up to so many bytes.
const FILES: usize = 64;
const FILE_BYTES_MAX: usize = 512 * 1024;

/// Cycles while that goes on.
const CYCLES: u32 = 8;

/// A cycle of this little data that takes longer hangs.
const CYCLE_MAX: Duration = Duration::from_secs(30);

/// C-6: format and copy through the block front end during cycles, the case that used to hang: every
/// cycle commits, and the standby equals the cut.
#[tokio::test]
async fn c_6_cycles_end_while_ext4_is_made_and_filled() {
    format_and_copy_during_cycles(Kind::Ext4).await;
}

/// C-6, with xfs.
#[tokio::test]
async fn c_6_cycles_end_while_xfs_is_made_and_filled() {
    format_and_copy_during_cycles(Kind::Xfs).await;
}

async fn format_and_copy_during_cycles(kind: Kind) {
    let place = Place::new();
    let pool = Pool::new(&place, "pool", 4096 * MIB);
    let mut world = World::at(pool.at(), kind.size()).await;
    let device = Loop::direct(&world.east.volume());
    let (node, at) = (device.path().to_path_buf(), place.path().join("mounted"));
    let enough = Arc::new(AtomicBool::new(false));
    let stop = enough.clone();
    let copying = std::thread::spawn(move || {
        let mut rounds = 0;
        while !stop.load(Ordering::Acquire) {
            format_and_copy(kind, &node, &at);
            rounds += 1;
        }
        rounds
    });
    let mut base = None;
    for number in 0..CYCLES {
        assert!(!copying.is_finished(), "nothing is written meanwhile");
        base = Some(cycle(&mut world, base, number).await);
    }
    enough.store(true, Ordering::Release);
    let rounds = copying.join().unwrap();
    println!("{CYCLES} cycles while {kind:?} was made and filled {rounds} times");
    // What was written last arrives as well, and is a file system with those files.
    cycle(&mut world, base, 1).await;
    assert_holds_the_files(kind, &world.west.volume(), &place);
}

/// One cycle of the volume as it is now; every other one from a list of changes. The standby's copy
/// must equal the cut.
async fn cycle(world: &mut World, base: Option<Point>, number: u32) -> Point {
    let point = world.point();
    let cut = world.cut_file(point);
    reflink(&world.east.volume(), &cut);
    let shipment = match base {
        Some(base) if number % 2 == 1 => {
            Shipment::of(point).delta(base, differing(&world.cut_file(base), &cut))
        }
        _ => Shipment::of(point),
    };
    let listed = !shipment.extents.is_empty();
    let started = Instant::now();
    let (report, _) = world.ship(&cut, shipment).await;
    assert!(started.elapsed() < CYCLE_MAX, "{:?}", started.elapsed());
    if listed {
        assert_eq!(report.change_source, ChangeSource::Delta);
    }
    if let Some(base) = base {
        std::fs::remove_file(world.cut_file(base)).unwrap();
    }
    point
}

/// Where two files of one pool do not share their blocks: a block that was written after the first
/// was copied is elsewhere in the second.
fn differing(before: &Path, after: &Path) -> Vec<Extent> {
    let (before, after) = (blocks(before), blocks(after));
    let only = |ours: &[(u64, u64)], theirs: &[(u64, u64)]| -> Vec<Extent> {
        ours.iter()
            .filter(|block| theirs.binary_search(block).is_err())
            .map(|&(logical, _)| Extent::new(logical * BLOCK, BLOCK))
            .collect()
    };
    let mut changed = only(&after, &before);
    changed.extend(only(&before, &after));
    changed
}

const BLOCK: u64 = 4096;

/// Each block of a file and where it is, as FIEMAP says; holes and reserved space have none.
fn blocks(file: &Path) -> Vec<(u64, u64)> {
    let listed = run(Command::new("filefrag")
        .args(["-v", "-s", "-b4096"])
        .arg(file));
    let mut found = Vec::new();
    for line in listed.lines() {
        let number = |field: Option<&str>| field?.trim().parse::<u64>().ok();
        let mut fields = line.split(':');
        let (Some(_), Some(logical), Some(physical)) = (
            number(fields.next()),
            fields
                .next()
                .and_then(|range| number(range.split("..").next())),
            fields
                .next()
                .and_then(|range| number(range.split("..").next())),
        ) else {
            continue;
        };
        let length = number(fields.next()).expect("filefrag gives a length");
        let unwritten = line.contains("unwritten");
        if !unwritten {
            found.extend((0..length).map(|block| (logical + block, physical + block)));
        }
    }
    found.sort_unstable();
    found
}

fn format_and_copy(kind: Kind, device: &Path, at: &Path) {
    kind.make(device);
    let mounted = Mount::new(device, at, kind);
    for number in 0..FILES {
        std::fs::write(file(at, number), content(number)).unwrap();
        if number % 8 == 7 {
            File::open(at).unwrap().sync_all().unwrap();
            run(Command::new("sync").arg("--file-system").arg(at));
        }
    }
    drop(mounted);
}

fn assert_holds_the_files(kind: Kind, volume: &Path, place: &Place) {
    let copy = place.path().join("standby.img");
    std::fs::copy(volume, &copy).unwrap();
    let device = Loop::over(&copy);
    {
        let mounted = Mount::new(device.path(), &place.path().join("standby"), kind);
        for number in 0..FILES {
            let read = std::fs::read(file(mounted.at(), number)).unwrap();
            assert!(read == content(number), "file {number} differs");
        }
    }
    assert!(kind.is_clean(device.path()));
}

fn file(at: &Path, number: usize) -> PathBuf {
    at.join(format!("file-{number}"))
}

fn content(number: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut bytes = vec![0; random.random_range(1..FILE_BYTES_MAX)];
    random.fill_bytes(&mut bytes);
    bytes
}
