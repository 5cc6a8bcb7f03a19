//! Clock, disk, link and TLS: the only place that names wall time, fsync or sockets. Depends on
//! `units`.

#[cfg(test)]
mod block_device_tests;
mod buffer;
mod clock;
mod directory;
mod disk;
mod error;
mod file;
mod link;
#[cfg(test)]
mod link_tests;
mod tls;

pub use buffer::{
    AlignedBuf, BufferPool, DIRECT_ALIGN, DIRECT_WRITE_BYTES_MIN, HUGE_PAGE, PooledBuf,
};
pub use clock::{Clock, SystemClock};
pub use directory::Directory;
pub use disk::{BlockFile, Disk, SMALL_FILE_BYTES_MAX};
pub use error::{DiskError, DiskErrorKind};
pub use file::{Access, OsFile};
pub use link::{
    DIAL_TIMEOUT, HANDSHAKE_BYTES_MAX, HANDSHAKE_TIMEOUT, Link, LinkError, Listener, Session,
    UNAUTHENTICATED_MAX, dial,
};
pub use tls::{ALPN, TlsDir, TlsError};
