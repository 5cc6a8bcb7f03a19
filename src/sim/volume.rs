//! A volume, its snapshots, and what its driver knows of changes between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::SimDisk;
use crate::fuse::{Fuse, FusedFile};
use crate::image::{BLOCK, Tag, fill};
use protocol::changes::{BLOCK_BYTES, blocks_of};
use protocol::units::Extent;
use storage::seam::{BlockFile, Disk, DiskError};

const FILE: &str = "volume";

/// A volume on storage that tracks changes.
#[derive(Clone)]
pub(super) struct Volume {
    /// The device under it.
    pub(super) disk: SimDisk,
    tracker: Arc<Mutex<Tracker>>,
}

/// Which write changed each block last.
#[derive(Clone, Default)]
struct Tracker {
    writes: u64,
    last: BTreeMap<u64, u64>,
}

/// A snapshot: it never changes.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// The content.
    pub(super) bytes: Arc<Vec<u8>>,
    tracked: Tracker,
}

/// The volume as a process has it open.
struct Tracked {
    file: FusedFile,
    tracker: Arc<Mutex<Tracker>>,
}

/// A snapshot as a process has it open.
struct ReadOnly {
    bytes: Arc<Vec<u8>>,
    /// Stands in for the storage: its faults are those of the reads.
    disk: SimDisk,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Volume {
    /// Zeros.
    pub(super) fn new(size: u64, seed: u64) -> Result<Volume, DiskError> {
        let disk = SimDisk::new(u64::MAX / 4, seed);
        let file = disk.create(FILE)?;
        file.set_size(size)?;
        file.flush()?;
        Ok(Volume {
            disk,
            tracker: Arc::default(),
        })
    }

    /// What a snapshot holds.
    pub(super) fn holding(bytes: &[u8], seed: u64) -> Result<Volume, DiskError> {
        let volume = Volume::new(bytes.len() as u64, seed)?;
        if let Some(file) = volume.disk.open(FILE)? {
            file.write_at(0, bytes)?;
            file.flush()?;
        }
        Ok(volume)
    }

    /// Opens it for a process that only reads.
    pub(super) fn open_read_only(&self) -> Arc<dyn BlockFile> {
        Arc::new(ReadOnly {
            bytes: self.bytes(),
            disk: self.disk.clone(),
        })
    }

    /// The size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// What the storage holds.
    pub(super) fn bytes(&self) -> Arc<Vec<u8>> {
        self.disk.shared(FILE).unwrap_or_default()
    }

    /// Opens it for a process.
    pub(super) fn open(&self, fuse: Fuse) -> Option<Arc<dyn BlockFile>> {
        let file = self.disk.open(FILE).ok().flatten()?;
        Some(Arc::new(Tracked {
            file: FusedFile { file, fuse },
            tracker: self.tracker.clone(),
        }))
    }

    /// The application writes blocks.
    pub(super) fn write(&self, writes: &[(u64, Tag)]) {
        let Some(file) = self.open(Fuse::default()) else {
            return;
        };
        let size = file.size();
        let mut block_bytes = vec![0; BLOCK];
        for (block, tag) in writes {
            let offset = block * BLOCK_BYTES;
            let len = BLOCK_BYTES.min(size.saturating_sub(offset));
            fill(*tag, &mut block_bytes);
            // The application's own storage does not fail here: faults are planned for processes only.
            drop(file.write_at(offset, &block_bytes[..index(len)]));
        }
        drop(file.flush());
    }

    /// Makes it longer.
    pub(super) fn grow(&self, size: u64) {
        if size <= self.size() {
            return;
        }
        if let Ok(Some(file)) = self.disk.open(FILE) {
            drop(file.set_size(size));
            drop(file.flush());
        }
    }

    /// Turns a bit round, behind the driver's back.
    pub(super) fn flip(&self, byte: u64, bit: u8) {
        // There is such a byte: it is within the size.
        let _: bool = self.disk.flip(FILE, byte, bit);
    }

    /// What it holds now.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            bytes: self.bytes(),
            tracked: lock(&self.tracker).clone(),
        }
    }

    /// A copy of the volume as it is on the storage; snapshots are not part of it.
    pub(super) fn backup(&self, seed: u64) -> SimDisk {
        self.disk.clone_durable(seed)
    }

    /// Puts an earlier copy back in its place. To the driver all of it is written.
    pub(super) fn restore(&mut self, backup: &SimDisk, seed: u64) {
        let size = self.size();
        self.disk = backup.clone_durable(seed);
        self.grow(size);
        let mut tracker = lock(&self.tracker);
        for block in 0..size.div_ceil(BLOCK_BYTES) {
            tracker.note(block);
        }
    }
}

impl Snapshot {
    /// The blocks that were written since an earlier snapshot of the volume. A driver that tracks in larger
    /// pieces names all blocks of a piece. What is beyond `common`, the size that both sides' snapshots of
    /// the base have, counts as written, as the operator has it.
    pub(super) fn changed_since(&self, base: &Snapshot, common: u64, piece: u64) -> Vec<u64> {
        let size = self.bytes.len() as u64;
        let since = base.tracked.writes;
        let common = common.min(base.bytes.len() as u64);
        let grown = (size > common).then_some(common / BLOCK_BYTES);
        let hit = |block: &u64| {
            let first = block / piece * piece;
            let mut near = self.tracked.last.range(first..first + piece);
            near.any(|(_, write)| *write > since) || grown.is_some_and(|grown| *block >= grown)
        };
        (0..size.div_ceil(BLOCK_BYTES)).filter(hit).collect()
    }

    /// The blocks that may hold data.
    pub(super) fn allocated(&self) -> Vec<u64> {
        let data = |block: &[u8]| block.iter().any(|byte| *byte != 0);
        let blocks = (0..).zip(self.bytes.chunks(BLOCK));
        let blocks = blocks.filter(|(_, block)| data(block));
        blocks.map(|(n, _)| n).collect()
    }
}

impl Tracker {
    fn note(&mut self, block: u64) {
        self.writes += 1;
        self.last.insert(block, self.writes);
    }
}

impl Tracked {
    fn note(&self, extent: Extent) {
        let mut tracker = lock(&self.tracker);
        for block in blocks_of(extent) {
            tracker.note(block);
        }
    }
}

impl BlockFile for Tracked {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.note(Extent::new(offset, data.len() as u64));
        self.file.write_at(offset, data)
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.note(range);
        self.file.zero(range)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.file.flush()
    }

    fn is_poisoned(&self) -> bool {
        self.file.is_poisoned()
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        self.file.drop_cache()
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.file.set_size(size)
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.file.allocate(range)
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        self.file.next_data(from)
    }
}

fn read_only(operation: &'static str) -> DiskError {
    let error = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
    DiskError::new(operation, "a snapshot", error)
}

impl BlockFile for ReadOnly {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        // A read of the device underneath, so that its planned faults hit.
        if let Some(file) = self.disk.open(FILE)? {
            file.read_at(0, &mut [0])?;
        }
        let from = index(offset);
        match self.bytes.get(from..from + buf.len()) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => return Err(read_only("read past the end of")),
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), DiskError> {
        Err(read_only("write"))
    }

    fn zero(&self, _: Extent) -> Result<(), DiskError> {
        Err(read_only("zero"))
    }

    fn flush(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn is_poisoned(&self) -> bool {
        false
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn set_size(&self, _: u64) -> Result<(), DiskError> {
        Err(read_only("resize"))
    }

    fn allocate(&self, _: Extent) -> Result<(), DiskError> {
        Err(read_only("allocate"))
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        let rest = self.size().saturating_sub(from);
        Ok((rest > 0).then(|| Extent::new(from, rest)))
    }
}
