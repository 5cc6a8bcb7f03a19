//! Where a process dies: every effect that it has passes a fuse, which blows after a drawn number of
//! them. From then on the process reaches neither disk.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::seam::{BlockFile, Disk, DiskError};
use crate::units::Extent;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// SIGKILL: what it wrote stays in the page cache.
    Kill,
    /// The node loses power: what was not flushed is lost, kept or torn.
    Power,
}

/// A fuse; clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Fuse(Arc<State>);

#[derive(Default)]
struct State {
    /// Effects until it blows, plus one; 0 is never.
    left: AtomicU64,
    power: AtomicBool,
    blown: AtomicBool,
}

impl Fuse {
    /// Lets it blow after so many effects.
    pub(super) fn arm(&self, after: u64, death: Death) {
        self.0.left.store(after + 1, Ordering::Relaxed);
        self.0.power.store(death == Death::Power, Ordering::Relaxed);
    }

    /// How the process has died, if it has.
    pub(super) fn blown(&self) -> Option<Death> {
        let power = self.0.power.load(Ordering::Relaxed);
        let death = if power { Death::Power } else { Death::Kill };
        self.0.blown.load(Ordering::Relaxed).then_some(death)
    }

    /// Whether one more effect takes place.
    pub(super) fn pass(&self) -> bool {
        match self.0.left.load(Ordering::Relaxed) {
            0 => {}
            1 => self.0.blown.store(true, Ordering::Relaxed),
            left => self.0.left.store(left - 1, Ordering::Relaxed),
        }
        self.blown().is_none()
    }

    fn effect(&self, operation: &'static str) -> Result<(), DiskError> {
        if self.pass() {
            return Ok(());
        }
        let dead = io::Error::other("the process is dead");
        Err(DiskError::new(operation, "anything", dead))
    }
}

/// A disk behind a fuse.
#[derive(Clone)]
pub(super) struct FusedDisk<D> {
    /// The disk.
    pub(super) disk: D,
    /// The fuse.
    pub(super) fuse: Fuse,
}

/// A file behind a fuse.
pub(super) struct FusedFile {
    /// The file.
    pub(super) file: Arc<dyn BlockFile>,
    /// The fuse.
    pub(super) fuse: Fuse,
}

impl<D: Disk> FusedDisk<D> {
    fn fused(&self, file: Arc<dyn BlockFile>) -> Arc<dyn BlockFile> {
        Arc::new(FusedFile {
            file,
            fuse: self.fuse.clone(),
        })
    }
}

impl<D: Disk> Disk for FusedDisk<D> {
    fn open(&self, name: &str) -> Result<Option<Arc<dyn BlockFile>>, DiskError> {
        Ok(self.disk.open(name)?.map(|file| self.fused(file)))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn BlockFile>, DiskError> {
        self.fuse.effect("create")?;
        Ok(self.fused(self.disk.create(name)?))
    }

    fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.read_small(name)
    }

    fn replace_small(&self, name: &str, content: &[u8]) -> Result<(), DiskError> {
        let partial = self.create(&format!("{name}.partial"))?;
        partial.write_at(0, content)?;
        partial.flush()?;
        self.rename(&format!("{name}.partial"), name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.fuse.effect("rename")?;
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.fuse.effect("remove")?;
        self.disk.remove(name)
    }

    fn names(&self) -> Result<Vec<String>, DiskError> {
        self.disk.names()
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        self.disk.free_bytes()
    }
}

impl BlockFile for FusedFile {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.fuse.effect("write")?;
        self.file.write_at(offset, data)
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.fuse.effect("zero")?;
        self.file.zero(range)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.fuse.effect("flush")?;
        self.file.flush()
    }

    fn is_poisoned(&self) -> bool {
        self.file.is_poisoned()
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        self.file.drop_cache()
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.fuse.effect("resize")?;
        self.file.set_size(size)
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.fuse.effect("allocate")?;
        self.file.allocate(range)
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        self.file.next_data(from)
    }
}
