//! Real block devices (loop devices): what files can't show.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::seam::{Access, AlignedBuf, BlockFile, OsFile};
use crate::units::Extent;

/// A loop device over a file, detached at the end.
struct LoopDevice {
    path: PathBuf,
    dir: tempfile::TempDir,
}

impl LoopDevice {
    /// A device of `size` bytes of nines; `None`, loudly, where there can be none.
    fn new(size: usize) -> Option<LoopDevice> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        std::fs::write(&image, vec![9; size]).unwrap();
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&image)
            .output();
        let reason = match output {
            Ok(done) if done.status.success() => {
                let path = PathBuf::from(String::from_utf8(done.stdout).unwrap().trim());
                return Some(LoopDevice { path, dir });
            }
            Ok(failed) => String::from_utf8_lossy(&failed.stderr).into_owned(),
            Err(e) => e.to_string(),
        };
        eprintln!("NOT RUN: this test needs root and a free loop device: {reason}");
        assert!(std::env::var_os("CI").is_none(), "a test could not run");
        None
    }

    fn open(&self) -> OsFile {
        OsFile::open(&self.path, Access::Write, true).unwrap()
    }

    fn image(&self) -> Vec<u8> {
        std::fs::read(self.dir.path().join("image")).unwrap()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let done = Command::new("losetup").arg("-d").arg(&self.path).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("failed to detach {}", self.path.display());
        }
    }
}

#[test]
fn zeroed_ranges_are_zero_and_their_neighbours_are_not() {
    let Some(device) = LoopDevice::new(1 << 20) else {
        return;
    };
    let file = device.open();
    assert_eq!(file.size(), 1 << 20);
    // Whole blocks, which the kernel zeroes, and odd bytes, which are written.
    let ranges = [
        Extent::new(8192, 65536),
        Extent::new(100_001, 77),
        Extent::new((1 << 20) - 4096, 4096),
    ];
    for range in ranges {
        file.zero(range).unwrap();
    }
    file.flush().unwrap();
    let expected = |at: u64| {
        let hit = ranges.iter().any(|r| (r.offset..r.end()).contains(&at));
        if hit { 0 } else { 9 }
    };
    for bytes in [device.image(), read_all(&file)] {
        let wrong = (0..).zip(&bytes).find(|(at, byte)| **byte != expected(*at));
        assert_eq!(wrong, None);
    }
    assert_eq!(file.next_data(4096).unwrap().unwrap().offset, 4096);
}

fn read_all(file: &OsFile) -> Vec<u8> {
    let mut bytes = AlignedBuf::zeroed(1 << 20);
    file.read_at(0, &mut bytes).unwrap();
    bytes.to_vec()
}

#[test]
fn a_target_is_taken_by_one_only_and_what_is_written_arrives() {
    let Some(device) = LoopDevice::new(1 << 20) else {
        return;
    };
    let file = device.open();
    assert!(file.is_direct());
    let open = |access| OsFile::open(Path::new(&device.path), access, true);
    let second = open(Access::Write).unwrap_err();
    assert!(second.to_string().contains("busy"), "{second}");
    assert!(open(Access::Read).is_ok());
    let mut data = AlignedBuf::zeroed(8192);
    data.fill(4);
    file.write_at(4096, &data).unwrap();
    file.write_at(20_000, b"odd").unwrap();
    file.flush().unwrap();
    let image = device.image();
    assert_eq!(&image[4096..12_288], &data[..]);
    assert_eq!(&image[20_000..20_003], b"odd");
    assert!(file.write_at(1 << 20, &data).is_err(), "past the end");
}
