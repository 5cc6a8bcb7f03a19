//! Why a salvage does not come to its end.

use storage::journal::JournalError;
use storage::seam::DiskError;
use storage::volume::{DeviceError, ReadError};
use wire::WireError;

/// A salvage that failed. What was written so far has another name than the file asked for.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// The volume can't be opened.
    #[error("failed to open the volume: {0}")]
    Device(#[from] DeviceError),
    /// The volume can't be read.
    #[error("failed to read the volume: {0}")]
    Read(#[from] ReadError),
    /// The state volume can't be used.
    #[error("failed to use the state volume: {0}")]
    Metadata(#[from] JournalError),
    /// The file can't be written.
    #[error("failed to write the export: {0}")]
    Write(#[from] DiskError),
    /// The stream from the pod broke or makes no sense.
    #[error("the stream of what differs ended early: {0}")]
    Stream(#[from] WireError),
    /// It is not done, and why.
    #[error("{0}")]
    Refused(String),
}
