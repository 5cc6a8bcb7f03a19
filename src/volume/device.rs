//! How a volume's device is opened.

use std::path::Path;
use std::sync::Arc;

use crate::seam::{Access, BlockFile, DiskError, OsFile};

/// A device that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It can't be opened. A busy target is mounted, or opened by another mover.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It has no bytes.
    #[error("{0} is empty: it is not the volume that it should be")]
    Empty(String),
}

/// Opens a source: read only, past the page cache where that works.
///
/// # Errors
/// When it can't be opened or is empty.
pub fn open_source(path: &Path) -> Result<Arc<dyn BlockFile>, DeviceError> {
    open(path, Access::Read)
}

/// Opens a target: for writing, and a block device exclusively.
///
/// # Errors
/// When it can't be opened, is in use, or is empty.
pub fn open_target(path: &Path) -> Result<Arc<dyn BlockFile>, DeviceError> {
    open(path, Access::Write)
}

fn open(path: &Path, access: Access) -> Result<Arc<dyn BlockFile>, DeviceError> {
    let file = OsFile::open(path, access, true)?;
    if file.size() == 0 {
        return Err(DeviceError::Empty(path.display().to_string()));
    }
    tracing::debug!(path = %path.display(), direct = file.is_direct(), size = file.size(), "opened");
    Ok(Arc::new(file))
}
