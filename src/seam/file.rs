//! Regular files and block devices of the operating system.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{Advice, FallocateFlags, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::seam::{BlockFile, DIRECT_ALIGN, DIRECT_WRITE_BYTES_MIN, DiskError};
use crate::units::Extent;

/// Zeros are written in pieces of this many bytes where the storage can't make them by itself.
const ZERO_PIECE_BYTES: usize = 256 * 1024;
static ZEROS: [u8; ZERO_PIECE_BYTES] = [0; ZERO_PIECE_BYTES];

/// What storage reads and writes at least, in bytes.
const SECTOR_BYTES: usize = 512;

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
/// Aligned transfers bypass the page cache where the storage allows it: a volume is read once and
/// written once, so caching it would only push out what others need. Other transfers go through a
/// second, cached descriptor of the same file, which the kernel keeps coherent with the first; so do
/// writes shorter than [`DIRECT_WRITE_BYTES_MIN`].
#[derive(Debug)]
pub struct OsFile {
    name: String,
    cached: File,
    direct: Option<File>,
    /// Set once storage that takes O_DIRECT at opening turns a transfer down all the same.
    direct_refused: AtomicBool,
    is_block_device: bool,
    size: AtomicU64,
    poisoned: AtomicBool,
}

/// Which transfers bypass the page cache.
#[derive(Clone, Copy)]
struct Fit {
    /// The least bytes.
    least: usize,
    /// What address, offset and length are multiples of.
    align: usize,
}

impl Fit {
    const READ: Fit = Fit {
        least: 0,
        align: DIRECT_ALIGN,
    };
    const WRITE: Fit = Fit {
        least: DIRECT_WRITE_BYTES_MIN,
        align: DIRECT_ALIGN,
    };
    /// Also where a volume ends in the middle of a block.
    const WRITE_THROUGH: Fit = Fit {
        least: 0,
        align: SECTOR_BYTES,
    };
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
            is_block_device,
            size: AtomicU64::new(size),
            poisoned: AtomicBool::new(false),
        })
    }

    /// Whether aligned transfers bypass the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Runs a transfer past the page cache if it is fit for that, through it otherwise.
    fn transfer<T>(
        &self,
        operation: &'static str,
        fit: Fit,
        (offset, address, len): (u64, *const u8, usize),
        mut run: impl FnMut(&File) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let fits = len >= fit.least
            && offset.is_multiple_of(fit.align as u64)
            && len.is_multiple_of(fit.align)
            && address.addr().is_multiple_of(fit.align)
            && !self.direct_refused.load(Ordering::Relaxed);
        if let Some(direct) = self.direct.as_ref().filter(|_| fits) {
            match run(direct) {
                Err(e) if e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    if fit.align == DIRECT_ALIGN {
                        self.direct_refused.store(true, Ordering::Relaxed);
                        tracing::info!(file = self.name, "no direct transfers here");
                    }
                }
                result => return result.map_err(|e| DiskError::new(operation, self.at(offset), e)),
            }
        }
        run(&self.cached).map_err(|e| DiskError::new(operation, self.at(offset), e))
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
            self.cached
                .write_all_at(
                    &ZEROS[..usize::try_from(len).unwrap_or(ZERO_PIECE_BYTES)],
                    offset,
                )
                .map_err(|e| DiskError::new("zero", self.at(offset), e))?;
            offset += len;
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8], fit: Fit) -> Result<(), DiskError> {
        self.usable("write")?;
        let shape = (offset, data.as_ptr(), data.len());
        self.transfer("write", fit, shape, |file| file.write_all_at(data, offset))?;
        self.grown(offset + data.len() as u64);
        Ok(())
    }

    fn grown(&self, end: u64) {
        if !self.is_block_device {
            self.size.fetch_max(end, Ordering::AcqRel);
        }
    }
}

impl BlockFile for OsFile {
    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let shape = (offset, buf.as_ptr(), buf.len());
        self.transfer("read", Fit::READ, shape, |file| {
            file.read_exact_at(buf, offset)
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.write(offset, data, Fit::WRITE)
    }

    fn write_through(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.write(offset, data, Fit::WRITE_THROUGH)
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
            self.poisoned.store(true, Ordering::Release);
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
    use crate::seam::AlignedBuf;

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
        let mut aligned = AlignedBuf::zeroed(DIRECT_WRITE_BYTES_MIN);
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
