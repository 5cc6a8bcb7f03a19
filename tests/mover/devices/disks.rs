//! Loop devices, file systems on them, and a place for both that is cleaned up.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use super::super::world::MIB;

/// What a place of ours is called, followed by the process's number.
const PREFIX: &str = "ferry-devices-";

/// A directory for one test. What an earlier run that was killed has left mounted is unmounted first.
pub struct Place(tempfile::TempDir);

/// A loop device over a file or over another device.
pub struct Loop {
    path: PathBuf,
}

/// A mounted file system.
pub struct Mount {
    at: PathBuf,
}

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
}

/// A mounted file system whose files can be copied at one instant: where cuts are made.
pub struct Pool {
    // In the order in which they have to go.
    mount: Mount,
    _device: Loop,
}

impl Place {
    /// In memory where that is offered, as these tests write and flush without end.
    pub fn new() -> Place {
        let root = rustix::process::geteuid().is_root();
        assert!(
            root,
            "this test needs root, for loop devices and FUSE; without root `make unit` leaves it \
             out and says so"
        );
        for node in ["/dev/fuse", "/dev/loop-control"] {
            let found = Path::new(node).exists();
            assert!(found, "this test needs {node}, which is not there");
        }
        // Once: of two at the same time each would find gone what the other has just removed.
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let directory = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir_in(base());
        Place(directory.expect("a directory can't be made"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A new sparse file in it.
    pub fn file(&self, name: &str, size: u64) -> PathBuf {
        let path = self.path().join(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    }
}

impl Loop {
    /// A loop device over `file`.
    pub fn over(file: &Path) -> Loop {
        Loop::attach(file, "--direct-io=off")
    }

    /// A loop device over `file` that keeps nothing back: what is written goes to the file at once.
    pub fn direct(file: &Path) -> Loop {
        Loop::attach(file, "--direct-io=on")
    }

    fn attach(file: &Path, direct: &str) -> Loop {
        let shown = run(Command::new("losetup")
            .args(["--find", "--show", direct])
            .arg(file));
        Loop {
            path: PathBuf::from(shown.trim()),
        }
    }

    /// The device's node.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let done = Command::new("losetup").arg("-d").arg(&self.path).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("failed to detach {}", self.path.display());
        }
    }
}

impl Mount {
    /// Mounts `device` at `at`, which is made.
    pub fn new(device: &Path, at: &Path, kind: Kind) -> Mount {
        std::fs::create_dir_all(at).unwrap();
        // A cut carries the identity of what it was cut from, which xfs wants to see only once.
        let options = match kind {
            Kind::Ext4 => "rw",
            Kind::Xfs => "rw,nouuid",
        };
        run(Command::new("mount")
            .args(["-o", options])
            .arg(device)
            .arg(at));
        Mount { at: at.into() }
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !unmounted(&self.at) {
            eprintln!("failed to unmount {}", self.at.display());
        }
    }
}

impl Kind {
    /// Makes this file system on a device. Nothing is discarded first: it is new.
    pub fn make(self, device: &Path) {
        let mut command = match self {
            Kind::Ext4 => {
                let mut command = Command::new("mkfs.ext4");
                command.args(["-q", "-F", "-E", "nodiscard"]);
                command
            }
            Kind::Xfs => {
                let mut command = Command::new("mkfs.xfs");
                command.args(["-q", "-f", "-K", "-m", "reflink=1"]);
                command
            }
        };
        run(command.arg(device));
    }

    /// Whether the file system's own check finds nothing wrong with it.
    pub fn is_clean(self, device: &Path) -> bool {
        let mut command = match self {
            Kind::Ext4 => Command::new("e2fsck"),
            Kind::Xfs => Command::new("xfs_repair"),
        };
        if self == Kind::Ext4 {
            command.arg("-f");
        }
        let checked = command.arg("-n").arg(device).output();
        checked
            .expect("the check can't be started")
            .status
            .success()
    }

    /// The smallest size that its tools accept, rounded up.
    pub fn size(self) -> u64 {
        match self {
            Kind::Ext4 => 128 * MIB,
            Kind::Xfs => 320 * MIB,
        }
    }
}

impl Pool {
    /// A pool of `size` bytes, sparse, at `name` in the place.
    pub fn new(place: &Place, name: &str, size: u64) -> Pool {
        let image = place.file(&format!("{name}.img"), size);
        let device = Loop::over(&image);
        Kind::Xfs.make(device.path());
        let mount = Mount::new(device.path(), &place.path().join(name), Kind::Xfs);
        Pool {
            mount,
            _device: device,
        }
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        self.mount.at()
    }
}

/// Copies a file of a pool at one instant, sharing its blocks.
pub fn reflink(from: &Path, to: &Path) {
    let source = File::open(from).unwrap();
    let copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)
        .unwrap();
    rustix::fs::ioctl_ficlone(&copy, &source)
        .unwrap_or_else(|error| panic!("{} can't be cut: {error}", from.display()));
}

/// Runs a program that has to do well; what it has printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{} can't be started: {error}",
            command.get_program().display()
        )
    });
    assert!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn unmounted(at: &Path) -> bool {
    let done = Command::new("umount").arg(at).status();
    done.is_ok_and(|status| status.success())
}

fn base() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.into()
    } else {
        std::env::temp_dir()
    }
}

/// Unmounts, detaches and removes what runs that were killed have left.
fn sweep() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounted = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut left: Vec<&str> = mounted.filter(|at| is_left_over(at)).collect();
    left.reverse();
    for at in left {
        run(Command::new("umount").arg("--lazy").arg(at));
    }
    let loops = run(Command::new("losetup").args(["--noheadings", "--output", "NAME,BACK-FILE"]));
    for line in loops.lines().filter(|line| is_left_over(line)) {
        let name = line.split(' ').next().unwrap_or_default();
        run(Command::new("losetup").arg("-d").arg(name));
    }
    for entry in std::fs::read_dir(base()).unwrap() {
        let path = entry.unwrap().path();
        if is_left_over(&path.to_string_lossy()) {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

fn is_left_over(name: &str) -> bool {
    let Some((_, rest)) = name.split_once(PREFIX) else {
        return false;
    };
    let pid = rest.split('-').next().unwrap_or_default();
    !Path::new("/proc").join(pid).exists()
}
