//! A disk in memory that behaves as badly as a real one may.
//!
//! What is written but not flushed is lost, kept or torn at sector borders when the disk crashes. A
//! flush that fails keeps some of it, loses the rest, and calls all of it clean: reading goes on to
//! show the lost bytes until the cache is dropped. Names are durable when the call returns. Descriptors
//! from before a crash are dead.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::disk_content::{Content, Dirty, index};
use crate::fault::{ENOSPC, Fault, Operation};
use protocol::units::Extent;
use storage::seam::{BlockFile, Disk, DiskError, SMALL_FILE_BYTES_MAX};

/// What the disk writes as a whole or not at all, in bytes.
pub const SECTOR_BYTES: u64 = 512;

/// The most bytes by which reserving grows a file.
const RESERVE_BYTES_MAX: u64 = 32 * 1024;

/// A directory of files in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    faults: Vec<Fault>,
    counts: BTreeMap<Operation, u64>,
    capacity: u64,
    boot: u64,
    /// How often what is durable may have changed.
    changes: u64,
    random: StdRng,
    /// After so many writes one is lost, or lands so many bytes further on.
    astray: Option<(u64, Option<u64>)>,
    /// One has since that was asked last.
    misled: bool,
}

/// An open file.
struct SimFile {
    disk: SimDisk,
    name: String,
    content: Arc<Mutex<Content>>,
    boot: u64,
    poisoned: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimDisk {
    /// An empty disk of `capacity` bytes whose faults follow from `seed`.
    #[must_use]
    pub fn new(capacity: u64, seed: u64) -> SimDisk {
        SimDisk {
            inner: Arc::new(Mutex::new(Inner {
                files: BTreeMap::new(),
                faults: Vec::new(),
                counts: BTreeMap::new(),
                capacity,
                boot: 0,
                changes: 0,
                random: StdRng::seed_from_u64(seed),
                astray: None,
                misled: false,
            })),
        }
    }

    /// Plans a fault; counting starts now.
    pub fn fail(&self, fault: Fault) {
        lock(&self.inner).faults.push(fault);
    }

    /// After `after` writes one is lost without an error, or lands `shift` bytes further on.
    pub fn mislead(&self, after: u64, shift: Option<u64>) {
        lock(&self.inner).astray = Some((after, shift));
    }

    /// Whether a write was lost or misplaced since this was asked last.
    pub fn has_misled(&self) -> bool {
        std::mem::take(&mut lock(&self.inner).misled)
    }

    /// Where a write goes: where it should, further on, or nowhere.
    fn lands(&self, offset: u64) -> Option<u64> {
        let mut inner = lock(&self.inner);
        match inner.astray {
            Some((0, shift)) => {
                inner.astray = None;
                inner.misled = true;
                shift.map(|shift| offset + shift)
            }
            Some((after, shift)) => {
                inner.astray = Some((after - 1, shift));
                Some(offset)
            }
            None => Some(offset),
        }
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        let mut inner = lock(&self.inner);
        inner.faults.clear();
        inner.astray = None;
    }

    /// How many operations of the kind were tried so far.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        let inner = lock(&self.inner);
        inner.counts.get(&operation).copied().unwrap_or(0)
    }

    /// How often what is durable may have changed so far.
    pub(super) fn changes(&self) -> u64 {
        lock(&self.inner).changes
    }

    /// Sets the capacity in bytes.
    pub fn set_capacity(&self, capacity: u64) {
        lock(&self.inner).capacity = capacity;
    }

    /// Power fails: what was not flushed is lost, kept or torn, and all descriptors are dead.
    pub fn crash(&self) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        inner.boot += 1;
        inner.changes += 1;
        for content in inner.files.values() {
            let mut content = lock(content);
            content.lose(&mut inner.random);
            content.cached = content.durable.to_vec();
        }
    }

    /// The process is killed: all descriptors are dead, but the page cache stays.
    pub fn kill(&self) {
        lock(&self.inner).boot += 1;
    }

    /// Turns one bit of a file round, on the storage and in the cache. Whether there was such a bit.
    #[must_use]
    pub fn flip(&self, name: &str, byte: u64, bit: u8) -> bool {
        let mut inner = lock(&self.inner);
        inner.changes += 1;
        let Some(content) = inner.files.get(name) else {
            return false;
        };
        let mut content = lock(content);
        let content = &mut *content;
        let mut flipped = false;
        let durable = Arc::make_mut(&mut content.durable);
        for bytes in [durable, &mut content.cached] {
            if let Some(byte) = bytes.get_mut(index(byte)) {
                *byte ^= 1 << (bit % 8);
                flipped = true;
            }
        }
        flipped
    }

    /// What the storage would hold after a crash that loses everything unflushed.
    #[must_use]
    pub fn durable(&self, name: &str) -> Option<Vec<u8>> {
        self.shared(name).map(|bytes| bytes.to_vec())
    }

    /// The same, shared until it changes.
    pub(super) fn shared(&self, name: &str) -> Option<Arc<Vec<u8>>> {
        let inner = lock(&self.inner);
        let content = inner.files.get(name)?;
        let durable = lock(content).durable.clone();
        Some(durable)
    }

    /// An independent copy of the disk as it is on the storage.
    #[must_use]
    pub fn clone_durable(&self, seed: u64) -> SimDisk {
        let inner = lock(&self.inner);
        let copy = SimDisk::new(inner.capacity, seed);
        for (name, content) in &inner.files {
            let durable = lock(content).durable.clone();
            let content = Content {
                cached: durable.to_vec(),
                durable,
                dirty: Vec::new(),
            };
            lock(&copy.inner)
                .files
                .insert(name.clone(), Arc::new(Mutex::new(content)));
        }
        copy
    }

    fn attempt(&self, operation: Operation, what: &str) -> Result<(), DiskError> {
        let mut inner = lock(&self.inner);
        *inner.counts.entry(operation).or_insert(0) += 1;
        inner.changes += u64::from(matches!(operation, Operation::Flush | Operation::Name));
        let mut failed = None;
        for fault in &mut inner.faults {
            if fault.operation != operation {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else {
                failed = Some(*fault);
            }
        }
        let Some(fault) = failed else { return Ok(()) };
        if !fault.lasting {
            inner.faults.retain(|f| *f != fault);
        }
        let name = match operation {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Flush => "flush",
            Operation::Name => "rename",
        };
        let source = io::Error::from_raw_os_error(fault.errno);
        Err(DiskError::new(name, what, source))
    }

    fn used(inner: &Inner) -> u64 {
        let files = inner.files.values();
        files.map(|content| lock(content).cached.len() as u64).sum()
    }

    fn handle(&self, name: &str, content: Arc<Mutex<Content>>) -> Arc<dyn BlockFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            name: name.into(),
            content,
            boot: lock(&self.inner).boot,
            poisoned: Mutex::new(false),
        })
    }
}

impl SimFile {
    fn alive(&self, operation: &'static str) -> Result<(), DiskError> {
        if lock(&self.disk.inner).boot != self.boot {
            let gone = io::Error::other("the process that opened it is gone");
            return Err(DiskError::new(operation, self.name.clone(), gone));
        }
        Ok(())
    }

    fn change(&self, operation: &'static str, dirty: Dirty) -> Result<(), DiskError> {
        self.alive(operation)?;
        if *lock(&self.poisoned) {
            return Err(DiskError::poisoned(operation, self.name.clone()));
        }
        self.disk.attempt(Operation::Write, &self.name)?;
        let (used, capacity) = {
            let inner = lock(&self.disk.inner);
            (SimDisk::used(&inner), inner.capacity)
        };
        let mut content = lock(&self.content);
        let end = match &dirty {
            Dirty::Write(offset, data) => offset + data.len() as u64,
            Dirty::Size(size) => *size,
        };
        let more = end.saturating_sub(content.cached.len() as u64);
        if used + more > capacity {
            let full = io::Error::from_raw_os_error(ENOSPC);
            return Err(DiskError::new(operation, self.name.clone(), full));
        }
        dirty.apply(&mut content.cached);
        content.dirty.push(dirty);
        Ok(())
    }
}

impl BlockFile for SimFile {
    fn size(&self) -> u64 {
        lock(&self.content).cached.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.alive("read")?;
        self.disk.attempt(Operation::Read, &self.name)?;
        let content = lock(&self.content);
        let range = index(offset)..index(offset) + buf.len();
        let Some(bytes) = content.cached.get(range) else {
            let end = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(DiskError::new("read", self.name.clone(), end));
        };
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let Some(offset) = self.disk.lands(offset) else {
            return Ok(());
        };
        self.change("write", Dirty::Write(offset, data.to_vec()))
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.change(
            "zero",
            Dirty::Write(range.offset, vec![0; index(range.len)]),
        )
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.alive("flush")?;
        if *lock(&self.poisoned) {
            return Err(DiskError::poisoned("flush", self.name.clone()));
        }
        let result = self.disk.attempt(Operation::Flush, &self.name);
        let mut inner = lock(&self.disk.inner);
        let mut content = lock(&self.content);
        if let Err(e) = result {
            *lock(&self.poisoned) = true;
            content.lose(&mut inner.random);
            return Err(e);
        }
        // What an earlier flush has lost stays lost: it counts as clean.
        content.settle();
        Ok(())
    }

    fn is_poisoned(&self) -> bool {
        *lock(&self.poisoned)
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        self.alive("drop the cache of")?;
        let mut content = lock(&self.content);
        let mut cached = content.durable.to_vec();
        for dirty in &content.dirty {
            dirty.apply(&mut cached);
        }
        content.cached = cached;
        Ok(())
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.change("resize", Dirty::Size(size))
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        // As little as shows a log its own reserve: memory is dearer here than on a disk.
        let end = range.end().min(self.size() + RESERVE_BYTES_MAX);
        if end <= self.size() {
            return Ok(());
        }
        self.change("allocate", Dirty::Size(end))
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        let content = lock(&self.content);
        let Some(rest) = content.cached.get(index(from)..) else {
            return Ok(None);
        };
        let Some(first) = rest.iter().position(|b| *b != 0) else {
            return Ok(None);
        };
        let start = from + first as u64;
        Ok(Some(Extent::new(
            start,
            content.cached.len() as u64 - start,
        )))
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> Result<Option<Arc<dyn BlockFile>>, DiskError> {
        let content = lock(&self.inner).files.get(name).cloned();
        Ok(content.map(|content| self.handle(name, content)))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn BlockFile>, DiskError> {
        self.attempt(Operation::Name, name)?;
        let content = Arc::new(Mutex::new(Content::default()));
        lock(&self.inner).files.insert(name.into(), content.clone());
        Ok(self.handle(name, content))
    }

    fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        self.attempt(Operation::Read, name)?;
        let inner = lock(&self.inner);
        let Some(content) = inner.files.get(name) else {
            return Ok(None);
        };
        let bytes = lock(content).cached.clone();
        if bytes.len() as u64 > SMALL_FILE_BYTES_MAX {
            let large = io::Error::from(io::ErrorKind::FileTooLarge);
            return Err(DiskError::new("read", name, large));
        }
        Ok(Some(bytes))
    }

    fn replace_small(&self, name: &str, content: &[u8]) -> Result<(), DiskError> {
        let partial = self.create(&format!("{name}.partial"))?;
        partial.write_at(0, content)?;
        partial.flush()?;
        self.rename(&format!("{name}.partial"), name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.attempt(Operation::Name, from)?;
        let mut inner = lock(&self.inner);
        match inner.files.remove(from) {
            Some(content) => {
                inner.files.insert(to.into(), content);
                Ok(())
            }
            None => {
                let missing = io::Error::from(io::ErrorKind::NotFound);
                Err(DiskError::new("rename", from, missing))
            }
        }
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.attempt(Operation::Name, name)?;
        lock(&self.inner).files.remove(name);
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, DiskError> {
        Ok(lock(&self.inner).files.keys().cloned().collect())
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let inner = lock(&self.inner);
        Ok(inner.capacity.saturating_sub(SimDisk::used(&inner)))
    }
}
