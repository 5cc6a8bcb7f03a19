//! Salvage: what only a diverged side holds is exported before it is discarded (H-6), and nothing on
//! that side is touched by it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use protocol::units::Point;
use salvage::export::Range;
use salvage::{Export, Facts, SalvageError, stream};
use storage::volume::digest::digest;

use crate::world::{MIB, World, bytes_at, demote};

/// The volume's last block is shorter than a block.
const SIZE: u64 = 24 * MIB + 1536;

/// East has diverged: 60 scattered writes, a range that was zeroed, and the odd end.
async fn diverged() -> (World, Point) {
    let mut world = World::new(SIZE).await;
    world.write(0, SIZE);
    let base = world.baseline().await;
    world.scatter(true, 60, SIZE);
    world.zero(5 * MIB, 2 * MIB);
    world.write(SIZE - 700, 700);
    let promoted = world.promote(false).await;
    assert!(demote(&world.east, &promoted, None).await.diverged);
    (world, base)
}

fn salvage(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferry"))
        .arg("salvage")
        .args(args)
        .output()
        .unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The list's ranges.
fn ranges(list: &Path) -> Vec<Range> {
    let list: serde_json::Value = serde_json::from_slice(&std::fs::read(list).unwrap()).unwrap();
    assert_eq!(list["format"], 1);
    assert_eq!(list["size"], SIZE);
    serde_json::from_value(list["ranges"].clone()).unwrap()
}

/// The export laid over the image `base` is the volume, and the list names exactly what differs.
fn assert_complete(world: &World, base: &Path, export: &Path) {
    let ranges = ranges(&PathBuf::from(format!("{}.json", export.display())));
    let restored = world.east.home.join("restored.img");
    std::fs::copy(base, &restored).unwrap();
    let file = OpenOptions::new().write(true).open(&restored).unwrap();
    for range in &ranges {
        let len = usize::try_from(range.length).unwrap();
        let bytes = bytes_at(export, range.offset, len);
        assert_eq!(blake3::hash(&bytes).to_hex().to_string(), range.digest);
        assert_eq!(range.zero, bytes.iter().all(|byte| *byte == 0));
        file.write_all_at(&bytes, range.offset).unwrap();
    }
    let volume = world.east.volume();
    assert_eq!(digest(&restored).unwrap(), digest(&volume).unwrap());
    let listed: u64 = ranges.iter().map(|range| range.length).sum();
    assert_eq!(listed, differing(base, &volume));
}

/// To save, to `to`, what differs from the digests that the side kept. The last word is the file.
fn digests_to<'a>(volume: &'a Path, meta: &'a Path, to: &'a Path) -> [&'a str; 6] {
    [
        "--volume",
        text(volume),
        "--meta",
        text(meta),
        "--to",
        text(to),
    ]
}

/// Bytes of the blocks in which two files differ.
fn differing(one: &Path, other: &Path) -> u64 {
    let (one, other) = (std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
    let blocks = one.chunks(4096).zip(other.chunks(4096));
    blocks
        .filter(|(a, b)| a != b)
        .map(|(a, _)| a.len() as u64)
        .sum()
}

/// Names and contents of a directory's files.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// H-6: the writes that consent would discard are exported first, by the digests that the side kept
/// of the common cut, beside a mover at work, and neither of its volumes is written to.
#[tokio::test]
async fn h_6_what_consent_would_discard_can_be_saved_first() {
    let (world, base) = diverged().await;
    let mover = world.east.start(&world.east.volume(), false).await.unwrap();
    let before = (
        digest(&world.east.volume()).unwrap(),
        contents(&world.east.meta()),
    );
    let to = world.east.home.join("saved.img");
    let (volume, meta) = (world.east.volume(), world.east.meta());
    let args = digests_to(&volume, &meta, &to);
    let said = salvage(&args);
    assert!(said.status.success(), "{said:?}");
    let line = String::from_utf8(said.stdout).unwrap();
    assert!(
        line.contains(&format!("digests kept of cut {base}")),
        "{line}"
    );
    let after = (
        digest(&world.east.volume()).unwrap(),
        contents(&world.east.meta()),
    );
    assert_eq!(before, after);
    mover.stop().await.unwrap();
    assert_complete(&world, &world.cut_file(base), &to);
    // Once more to the same file: nothing is overwritten.
    let again = salvage(&args);
    assert!(!again.status.success());
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("nothing is overwritten")
    );
}

/// Without digests there is the snapshot's image, or everything that is not zero; never a guess.
#[tokio::test]
async fn without_digests_a_base_or_the_whole_is_asked_for() {
    let (world, base) = diverged().await;
    for name in ["digests", "digests.state"] {
        std::fs::remove_file(world.east.meta().join(name)).unwrap();
    }
    let (volume, meta) = (world.east.volume(), world.east.meta());
    let to = world.east.home.join("saved.img");
    let args = digests_to(&volume, &meta, &to);
    let refused = salvage(&args);
    assert!(!refused.status.success());
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("--whole")
    );
    assert!(!to.exists());

    let cut = world.cut_file(base);
    let said = salvage(&[&args[..], &["--base", text(&cut)]].concat());
    assert!(said.status.success(), "{said:?}");
    assert_complete(&world, &cut, &to);

    let whole = world.east.home.join("whole.img");
    let mut args = args;
    args[5] = text(&whole);
    let said = salvage(&[&args[..], &["--whole"]].concat());
    assert!(said.status.success(), "{said:?}");
    assert_eq!(digest(&whole).unwrap(), digest(&volume).unwrap());
}

/// What `kubectl ferry salvage` takes out of a pod is the same, and a stream that is cut short, at
/// whatever byte, or changed, is never taken for whole.
#[tokio::test]
async fn a_stream_is_taken_whole_or_not_at_all() {
    let (world, base) = diverged().await;
    let (volume, meta) = (world.east.volume(), world.east.meta());
    let said = salvage(&["--volume", text(&volume), "--meta", text(&meta), "--stream"]);
    assert!(said.status.success(), "{said:?}");
    let to = world.east.home.join("streamed.img");
    let take = async |bytes: &[u8], to: &Path| {
        let open = |facts: &Facts| {
            assert!(facts.diverged);
            assert_eq!(facts.compared_with, Some(base));
            Export::create(to, facts)
        };
        stream::receive(bytes, open, |export, batch| export.take(batch), |_| {}).await
    };
    let export = take(&said.stdout, &to).await.unwrap();
    export.finish().unwrap();
    assert_complete(&world, &world.cut_file(base), &to);

    let len = said.stdout.len();
    for (number, at) in [0, 5, 100, len / 2, len - 1].into_iter().enumerate() {
        let to = world.east.home.join(format!("cut-short-{number}.img"));
        assert!(take(&said.stdout[..at], &to).await.is_err(), "cut at {at}");
        assert!(!to.exists());
        let mut changed = said.stdout.clone();
        changed[at] ^= 0x10;
        let to = world.east.home.join(format!("changed-{number}.img"));
        let taken = take(&changed, &to).await.map(|_| ());
        assert!(
            matches!(
                taken,
                Err(SalvageError::Stream(_) | SalvageError::Refused(_))
            ),
            "changed at {at}"
        );
    }
}
