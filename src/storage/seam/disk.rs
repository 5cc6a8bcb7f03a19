//! Storage, behind two traits so that the simulator can own it.

use std::sync::Arc;

use crate::seam::DiskError;
use protocol::units::Extent;

/// The largest file that [`Disk::read_small`] returns, in bytes; a larger one is an error.
pub const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// A file or block device that is read and written by position.
///
/// Nothing written counts as kept before [`BlockFile::flush`] has returned. After a flush that
/// failed, the descriptor is poisoned: writing, zeroing and flushing through it fail for good
/// ([`crate::seam::DiskErrorKind::Poisoned`]), because the kernel may have marked lost pages clean.
pub trait BlockFile: Send + Sync {
    /// The size in bytes.
    fn size(&self) -> u64;

    /// Fills `buf` from `offset` (bytes). The end of the file inside `buf` is an error.
    ///
    /// # Errors
    /// What the system said.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError>;

    /// Writes all of `data` at `offset` (bytes).
    ///
    /// # Errors
    /// What the system said.
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError>;

    /// Makes the range read as zeros, giving its space back where the storage can.
    ///
    /// # Errors
    /// What the system said.
    fn zero(&self, range: Extent) -> Result<(), DiskError>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// What the system said; from then on the descriptor is poisoned.
    fn flush(&self) -> Result<(), DiskError>;

    /// Whether a flush has failed: only a file that is opened again can be written again.
    fn is_poisoned(&self) -> bool;

    /// Forgets what is cached of the file and already written out, so that the next read shows what
    /// the storage really holds.
    ///
    /// # Errors
    /// What the system said.
    fn drop_cache(&self) -> Result<(), DiskError>;

    /// Cuts or grows a regular file to `size` bytes; growth reads as zeros.
    ///
    /// # Errors
    /// What the system said; block devices can't be resized.
    fn set_size(&self, size: u64) -> Result<(), DiskError>;

    /// Reserves space for the range and grows the file to hold it; new bytes read as zeros.
    ///
    /// # Errors
    /// What the system said. Storage that can't reserve is no error.
    fn allocate(&self, range: Extent) -> Result<(), DiskError>;

    /// The first range at or after `from` that may hold data; `None` when only zeros follow.
    /// Storage that can't tell answers with everything from `from`.
    ///
    /// # Errors
    /// What the system said.
    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError>;
}

/// A directory of files with flat names.
pub trait Disk: Send + Sync {
    /// Opens an existing file for reading and writing; `None` when there is none.
    ///
    /// # Errors
    /// What the system said.
    fn open(&self, name: &str) -> Result<Option<Arc<dyn BlockFile>>, DiskError>;

    /// Creates an empty file, in place of one of the same name. The name is durable on return.
    ///
    /// # Errors
    /// What the system said.
    fn create(&self, name: &str) -> Result<Arc<dyn BlockFile>, DiskError>;

    /// The content of a small file; `None` when there is none.
    ///
    /// # Errors
    /// What the system said, also when the file is larger than [`SMALL_FILE_BYTES_MAX`].
    fn read_small(&self, name: &str) -> Result<Option<Vec<u8>>, DiskError>;

    /// Replaces a small file as a whole: afterwards, and after a crash at any moment, it has
    /// either the old content or the new one. Durable on return.
    ///
    /// # Errors
    /// What the system said; the old content is then still there or the new one already.
    fn replace_small(&self, name: &str, content: &[u8]) -> Result<(), DiskError>;

    /// Renames a file over whatever had the new name. Durable on return.
    ///
    /// # Errors
    /// What the system said.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file; one that does not exist is no error. Durable on return.
    ///
    /// # Errors
    /// What the system said.
    fn remove(&self, name: &str) -> Result<(), DiskError>;

    /// Names of all files, sorted.
    ///
    /// # Errors
    /// What the system said.
    fn names(&self) -> Result<Vec<String>, DiskError>;

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// What the system said.
    fn free_bytes(&self) -> Result<u64, DiskError>;
}
