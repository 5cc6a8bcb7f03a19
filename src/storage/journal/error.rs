//! What can go wrong on the state volume.

use crate::seam::{DiskError, DiskErrorKind};

/// A failure on the state volume.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file was written by a newer version of Ferry.
    #[error("{file} has format {found}, but this version reads up to {known}: upgrade this site")]
    Newer {
        /// Which file.
        file: &'static str,
        /// Its format.
        found: u16,
        /// The newest format that we read.
        known: u16,
    },
    /// The file exists but can't be trusted.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The change set does not fit.
    #[error(
        "the change set needs {needed} bytes of staging, but the state volume has room for {limit}: raise spec.transfer.stateVolumeSize"
    )]
    StagingTooSmall {
        /// Bytes that it needs so far.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A call that does not fit what was done before: a defect of ours, or of the peer.
    #[error("{0}")]
    OutOfOrder(String),
    /// An earlier flush of this file failed, so nothing more is written to it before it was opened
    /// again and read back.
    #[error("{file} can't be written any more after a failed write: restart the mover")]
    Poisoned {
        /// Which file.
        file: &'static str,
    },
}

impl JournalError {
    pub(super) fn damaged(file: &'static str, reason: impl ToString) -> JournalError {
        JournalError::Damaged {
            file,
            reason: reason.to_string(),
        }
    }

    /// Whether the state volume is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, JournalError::Disk(e) if e.kind() == DiskErrorKind::Full)
    }

    /// Whether something on disk does not match its checksum.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, JournalError::Damaged { .. })
    }
}
