//! What a disk operation can fail with.

use std::io;
use std::sync::Arc;

/// An operation on a volume or on the state volume that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to {operation} {what}: {source}")]
pub struct DiskError {
    /// What was tried: "read", "write", "flush", …
    pub operation: &'static str,
    /// On what: the file's or device's name, with the offset where there is one.
    pub what: String,
    /// What the system said.
    #[source]
    pub source: Arc<io::Error>,
}

/// The kinds of failure that callers treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No space is left, or a quota is used up.
    Full,
    /// An earlier flush failed: nothing more is done on this descriptor, because what it wrote
    /// may be lost although the kernel calls it clean.
    Poisoned,
    /// The file does not exist.
    NotFound,
    /// Anything else, such as an I/O error.
    Io,
}

#[derive(Debug, thiserror::Error)]
#[error("an earlier flush failed, so what was written may be lost; open it again and read it back")]
struct PoisonedDescriptor;

impl DiskError {
    /// An error of `operation` on `what`.
    #[must_use]
    pub fn new(operation: &'static str, what: impl Into<String>, source: io::Error) -> DiskError {
        DiskError {
            operation,
            what: what.into(),
            source: Arc::new(source),
        }
    }

    /// The error that every operation returns after a failed flush.
    #[must_use]
    pub fn poisoned(operation: &'static str, what: impl Into<String>) -> DiskError {
        DiskError::new(operation, what, io::Error::other(PoisonedDescriptor))
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> DiskErrorKind {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskErrorKind::Full,
            io::ErrorKind::NotFound => DiskErrorKind::NotFound,
            _ if self
                .source
                .get_ref()
                .is_some_and(|e| e.is::<PoisonedDescriptor>()) =>
            {
                DiskErrorKind::Poisoned
            }
            _ => DiskErrorKind::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_what_the_system_said() {
        let kind = |errno| DiskError::new("write", "x", io::Error::from_raw_os_error(errno)).kind();
        assert_eq!(kind(28), DiskErrorKind::Full); // ENOSPC
        assert_eq!(kind(122), DiskErrorKind::Full); // EDQUOT
        assert_eq!(kind(2), DiskErrorKind::NotFound);
        assert_eq!(kind(5), DiskErrorKind::Io);
        assert_eq!(
            DiskError::poisoned("write", "x").kind(),
            DiskErrorKind::Poisoned
        );
    }
}
