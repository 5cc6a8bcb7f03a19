//! Regular files and block devices of the operating system.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use rustix::fs::{Advice, FallocateFlags, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::seam::{BlockFile, DiskError};
use buffers::{AlignedBuf, DIRECT_ALIGN};
use protocol::units::Extent;

/// Zeros are written in pieces of this many bytes where the storage can't make them by itself.
const ZERO_PIECE_BYTES: usize = 256 * 1024;

/// Bytes at an address that suits a direct transfer.
#[repr(align(4096))]
struct Aligned([u8; ZERO_PIECE_BYTES]);
static ZEROS: Aligned = Aligned([0; ZERO_PIECE_BYTES]);
const _: () = assert!(align_of::<Aligned>() == DIRECT_ALIGN);

/// What storage reads and writes at least, in bytes.
const SECTOR_BYTES: usize = 512;

/// The longest page of any kernel, in bytes.
const PAGE_BYTES_MAX: u64 = 64 * 1024;

/// How a file or device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write. A block device is taken exclusively, so that nothing has it mounted.
    Write,
}

/// An open file or block device.
///
/// Transfers bypass the page cache where the storage allows it: a volume is read once and written
/// once, so caching it would only push out what others need. Whatever is not aligned in memory is
/// copied to where it is. Only what is no multiple of a sector, as the end of a file may be, goes
/// through a second, cached descriptor of the same file: alone, and nothing of it is left in the cache
/// when the next transfer begins. So no range is ever written through the cache and past it at the same
/// time (D-14): a cached write of 4 KiB writes back the complete page, which has 64 KiB on some kernels,
/// and would take back what was written past the cache beside it.
#[derive(Debug)]
pub struct OsFile {
    name: String,
    cached: File,
    direct: Option<File>,
    /// Set once storage that takes O_DIRECT at opening turns a transfer down all the same.
    direct_refused: AtomicBool,
    /// Shared by transfers past the page cache; one through it has it to itself.
    paths: RwLock<()>,
    is_block_device: bool,
    size: AtomicU64,
    poisoned: AtomicBool,
}

impl OsFile {
    /// Opens `path`. With `direct`, the page cache is bypassed where that works.
    ///
    /// # Errors
    /// When it can't be opened, is in use (a block device for writing), or has no size.
    pub fn open(path: &Path, access: Access, direct: bool) -> Result<OsFile, DiskError> {
        let fail = |e: io::Error| DiskError::new("open", path.display().to_string(), e);
        let is_block_device = std::fs::metadata(path)
            .map_err(fail)?
            .file_type()
            .is_block_device();
        let write = access == Access::Write;
        let mut flags = OFlags::CLOEXEC;
        if is_block_device && write {
            // On a block device, O_EXCL without O_CREAT means: fail while it is mounted or claimed.
            flags |= OFlags::EXCL;
        }
        let open = |more: OFlags| {
            OpenOptions::new()
                .read(true)
                .write(write)
                .custom_flags((flags | more).bits().cast_signed())
                .open(path)
        };
        let cached = open(OFlags::empty()).map_err(fail)?;
        let direct = if direct {
            // The exclusive claim belongs to the first descriptor; a second claim would be refused.
            flags.remove(OFlags::EXCL);
            OpenOptions::new()
                .read(true)
                .write(write)
                .custom_flags((flags | OFlags::DIRECT).bits().cast_signed())
                .open(path)
                .ok()
        } else {
            None
        };
        OsFile::assemble(path.display().to_string(), cached, direct, is_block_device)
    }

    pub(super) fn from_file(name: String, file: File) -> Result<OsFile, DiskError> {
        OsFile::assemble(name, file, None, false)
    }

    fn assemble(
        name: String,
        cached: File,
        direct: Option<File>,
        is_block_device: bool,
    ) -> Result<OsFile, DiskError> {
        // Seeking to the end works alike for files and block devices.
        let size = rustix::fs::seek(&cached, SeekFrom::End(0))
            .map_err(|e| DiskError::new("find the size of", name.clone(), e.into()))?;
        Ok(OsFile {
            name,
            cached,
            direct,
            direct_refused: AtomicBool::new(false),
            paths: RwLock::default(),
            is_block_device,
            size: AtomicU64::new(size),
            poisoned: AtomicBool::new(false),
        })
    }

    /// Whether transfers bypass the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Whether a transfer past the page cache can be attempted.
    fn goes_direct(&self, offset: u64, len: usize) -> bool {
        self.direct.is_some()
            && offset.is_multiple_of(SECTOR_BYTES as u64)
            && len.is_multiple_of(SECTOR_BYTES)
            && !self.direct_refused.load(Ordering::Acquire)
    }

    /// Runs a transfer past the page cache; `None` where the storage does not take it.
    fn past_the_cache(
        &self,
        (offset, len): (u64, usize),
        run: impl FnOnce(&File) -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        let direct = self.direct.as_ref()?;
        let shared = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        let result = run(direct);
        drop(shared);
        match result {
            Err(e) if e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                let block = DIRECT_ALIGN;
                if offset.is_multiple_of(block as u64) && len.is_multiple_of(block) {
                    self.direct_refused.store(true, Ordering::Release);
                    tracing::info!(file = self.name, "no direct transfers here");
                }
                None
            }
            result => Some(result),
        }
    }

    /// Runs a transfer through the page cache. Where others bypass it they wait, and nothing of this one is
    /// left there.
    fn through_the_cache(
        &self,
        (offset, len): (u64, usize),
        writes: bool,
        run: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.direct.is_none() || self.direct_refused.load(Ordering::Acquire) {
            return run(&self.cached);
        }
        let _alone = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        run(&self.cached)?;
        if writes {
            self.cached.sync_data().inspect_err(|_| self.poison())?;
        }
        let start = offset / PAGE_BYTES_MAX * PAGE_BYTES_MAX;
        let pages = (offset + len as u64 - start).next_multiple_of(PAGE_BYTES_MAX);
        let pages = NonZeroU64::new(pages);
        Ok(rustix::fs::fadvise(
            &self.cached,
            start,
            pages,
            Advice::DontNeed,
        )?)
    }

    fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    fn at(&self, offset: u64) -> String {
        format!("{} at byte {offset}", self.name)
    }

    fn usable(&self, operation: &'static str) -> Result<(), DiskError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(DiskError::poisoned(operation, self.name.clone()));
        }
        Ok(())
    }

    fn write_zeros(&self, range: Extent) -> Result<(), DiskError> {
        let mut offset = range.offset;
        while offset < range.end() {
            let len = (range.end() - offset).min(ZERO_PIECE_BYTES as u64);
            let zeros = &ZEROS.0[..usize::try_from(len).unwrap_or(ZERO_PIECE_BYTES)];
            self.write(offset, zeros)
                .map_err(|e| DiskError::new("zero", self.at(offset), e))?;
            offset += len;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let shape = (offset, data.len());
        if self.goes_direct(offset, data.len()) {
            let written = match is_aligned(data) {
                true => self.past_the_cache(shape, |file| file.write_all_at(data, offset)),
                false => {
                    let mut copy = AlignedBuf::zeroed(data.len());
                    copy.copy_from_slice(data);
                    self.past_the_cache(shape, |file| file.write_all_at(&copy, offset))
                }
            };
            if let Some(result) = written {
                return result;
            }
        }
        self.through_the_cache(shape, true, |file| file.write_all_at(data, offset))
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let shape = (offset, buf.len());
        if self.goes_direct(offset, buf.len()) {
            let read = match is_aligned(buf) {
                true => self.past_the_cache(shape, |file| file.read_exact_at(buf, offset)),
                false => {
                    let mut copy = AlignedBuf::zeroed(buf.len());
                    let read =
                        self.past_the_cache(shape, |file| file.read_exact_at(&mut copy, offset));
                    buf.copy_from_slice(&copy);
                    read
                }
            };
            if let Some(result) = read {
                return result;
            }
        }
        self.through_the_cache(shape, false, |file| file.read_exact_at(buf, offset))
    }

    fn grown(&self, end: u64) {
        if !self.is_block_device {
            self.size.fetch_max(end, Ordering::AcqRel);
        }
    }
}

/// Whether bytes are at an address that suits a direct transfer.
fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(DIRECT_ALIGN)
}

impl BlockFile for OsFile {
    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.read(offset, buf)
            .map_err(|e| DiskError::new("read", self.at(offset), e))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.usable("write")?;
        self.write(offset, data)
            .map_err(|e| DiskError::new("write", self.at(offset), e))?;
        self.grown(offset + data.len() as u64);
        Ok(())
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.usable("zero")?;
        if !self.is_block_device && range.end() > self.size() {
            self.set_size(range.end())?;
        }
        // On a block device the kernel turns the first into BLKZEROOUT with unmapping, which never
        // leaves old data, and the second into plain zeroing; BLKDISCARD promises neither.
        for flags in [FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE] {
            let flags = flags | FallocateFlags::KEEP_SIZE;
            match rustix::fs::fallocate(&self.cached, flags, range.offset, range.len) {
                Ok(()) => return Ok(()),
                // Unsupported, or not aligned to the device's blocks: the next way may do.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {}
                Err(e) => return Err(DiskError::new("zero", self.at(range.offset), e.into())),
            }
        }
        self.write_zeros(range)
    }

    fn flush(&self) -> Result<(), DiskError> {
        self.usable("flush")?;
        self.cached.sync_data().map_err(|e| {
            self.poison();
            DiskError::new("flush", self.name.clone(), e)
        })
    }

    fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        rustix::fs::fadvise(&self.cached, 0, None, Advice::DontNeed)
            .map_err(|e| DiskError::new("drop the cache of", self.name.clone(), e.into()))
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.usable("resize")?;
        self.cached
            .set_len(size)
            .map_err(|e| DiskError::new("resize", self.name.clone(), e))?;
        self.size.store(size, Ordering::Release);
        Ok(())
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.usable("allocate")?;
        match rustix::fs::fallocate(
            &self.cached,
            FallocateFlags::empty(),
            range.offset,
            range.len,
        ) {
            Ok(()) => {
                self.grown(range.end());
                Ok(())
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if self.size() < range.end() => {
                self.set_size(range.end())
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(e) => Err(DiskError::new("allocate", self.at(range.offset), e.into())),
        }
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        let size = self.size();
        if from >= size {
            return Ok(None);
        }
        let fail = |e: Errno| DiskError::new("find data in", self.at(from), e.into());
        let start = match rustix::fs::seek(&self.cached, SeekFrom::Data(from)) {
            Ok(start) => start,
            // Either a hole up to the end, or an end that has come closer: then what was there is
            // gone, and must not pass for zeros.
            Err(Errno::NXIO)
                if rustix::fs::seek(&self.cached, SeekFrom::End(0)).map_err(fail)? < size =>
            {
                return Err(DiskError::new(
                    "find data in",
                    self.at(from),
                    io::ErrorKind::UnexpectedEof.into(),
                ));
            }
            Err(Errno::NXIO) => return Ok(None),
            // Block devices and old file systems can't tell.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                return Ok(Some(Extent::new(from, size - from)));
            }
            Err(e) => return Err(fail(e)),
        };
        let end = match rustix::fs::seek(&self.cached, SeekFrom::Hole(start)) {
            Ok(end) => end.min(size),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => size,
            Err(e) => return Err(fail(e)),
        };
        Ok((start < end).then(|| Extent::new(start, end - start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(size: u64) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        File::create(&path).unwrap().set_len(size).unwrap();
        (dir, path)
    }

    #[test]
    fn direct_and_cached_transfers_see_each_other() {
        let (_dir, path) = image(1 << 20);
        let file = OsFile::open(&path, Access::Write, true).unwrap();
        let mut aligned = AlignedBuf::zeroed(64 * 1024);
        aligned.fill(5);
        file.write_at(4096, &aligned).unwrap();
        file.write_at(5000, b"odd").unwrap();
        file.read_at(4096, &mut aligned).unwrap();
        assert_eq!(&aligned[904..907], b"odd");
        assert_eq!(aligned[907], 5);
        let mut odd = [0_u8; 3];
        file.read_at(5000, &mut odd).unwrap();
        assert_eq!(&odd, b"odd");
    }

    /// D-14: short and long writes side by side, from many threads, aligned in memory or not, and an odd end
    /// that can't go past the cache: what was written is there, through the cache and past it. The oracle is
    /// the last byte written to each place.
    #[test]
    fn d_14_short_and_long_writes_side_by_side_leave_what_was_written() {
        const SIZE: usize = (1 << 20) + 1000;
        let (_dir, path) = image(SIZE as u64);
        let file = OsFile::open(&path, Access::Write, true).unwrap();
        assert!(file.is_direct());
        let piece = |n: usize| match n % 3 {
            0 => 4096,
            1 => 65_536,
            _ => 512,
        };
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        while at < SIZE {
            let len = piece(pieces.len()).min(SIZE - at);
            pieces.push((at, len));
            at += len;
        }
        let value = |round: usize, at: usize| u8::try_from((at / 512 + 7 * round) % 251).unwrap();
        for round in 0..4 {
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (file, pieces) = (&file, &pieces);
                    scope.spawn(move || {
                        for (at, len) in pieces.iter().skip(thread).step_by(4) {
                            let data = vec![value(round, *at); *len + 1];
                            file.write_at(*at as u64, &data[round % 2..*len + round % 2])
                                .unwrap();
                        }
                    });
                }
            });
            let mut through = vec![0; SIZE];
            file.read_at(0, &mut through).unwrap();
            for bytes in [through, std::fs::read(&path).unwrap()] {
                for (at, len) in &pieces {
                    assert!(
                        bytes[*at..at + len]
                            .iter()
                            .all(|byte| *byte == value(round, *at))
                    );
                }
            }
        }
    }

    #[test]
    fn zeroing_gives_space_back_and_leaves_the_neighbours() {
        let (_dir, path) = image(0);
        let file = OsFile::open(&path, Access::Write, false).unwrap();
        file.write_at(0, &vec![9; 1 << 20]).unwrap();
        file.zero(Extent::new(4096, 1 << 19)).unwrap();
        file.flush().unwrap();
        let mut all = vec![1; 1 << 20];
        file.read_at(0, &mut all).unwrap();
        let hole = 4096..4096 + (1 << 19);
        assert!(
            all.iter()
                .enumerate()
                .all(|(i, b)| *b == if hole.contains(&i) { 0 } else { 9 })
        );
        assert_eq!(
            file.next_data(4096).unwrap(),
            Some(Extent::new(4096 + (1 << 19), (1 << 20) - 4096 - (1 << 19)))
        );
    }

    #[test]
    fn reading_past_the_end_is_an_error_and_a_hole_at_the_end_is_no_data() {
        let (_dir, path) = image(10_000);
        let file = OsFile::open(&path, Access::Read, true).unwrap();
        assert_eq!(file.size(), 10_000);
        assert!(file.read_at(8192, &mut [0; 4096]).is_err());
        assert_eq!(file.next_data(0).unwrap(), None);
        assert_eq!(file.next_data(10_000).unwrap(), None);
    }
}
