//! Clock and disk: the only place below the mover that names wall time or fsync.

#[cfg(test)]
mod block_device_tests;
mod clock;
mod directory;
mod disk;
mod error;
mod file;

pub use clock::{Clock, SystemClock};
pub use directory::Directory;
pub use disk::{BlockFile, Disk, SMALL_FILE_BYTES_MAX};
pub use error::{DiskError, DiskErrorKind};
pub use file::{Access, OsFile};
