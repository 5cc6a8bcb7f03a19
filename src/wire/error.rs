//! What can be wrong with what a peer sends.

use std::io;

use protocol::changes::InvalidRegions;

use crate::VersionRange;

/// A connection that can't go on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The connection broke.
    #[error("failed to {operation} the peer: {source}")]
    Io {
        /// "read from" or "write to".
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The connection ended in the middle of a frame.
    #[error("the peer ended the connection in the middle of a frame")]
    Truncated,
    /// A length or count above its limit.
    #[error("the peer sent {what} of {got}, above the limit of {max}")]
    TooLarge {
        /// Which length or count.
        what: &'static str,
        /// What it claims.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// A checksum that does not match.
    #[error("the checksum of {what} does not match: it was changed on its way")]
    Checksum {
        /// Of what.
        what: &'static str,
    },
    /// Bytes that are no message.
    #[error("the peer sent a malformed {what}: {reason}")]
    Malformed {
        /// Which message.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A frame kind that this version does not know.
    #[error("the peer sent a frame of the unknown kind {0}")]
    UnknownKind(u8),
    /// No version is spoken by both.
    #[error(
        "no common protocol version: we speak {ours}, the peer {theirs}; upgrade the older side"
    )]
    NoCommonVersion {
        /// Our versions.
        ours: VersionRange,
        /// The peer's versions.
        theirs: VersionRange,
    },
}

impl WireError {
    /// Bytes of `what` that are no message, and why.
    pub fn malformed(what: &'static str, reason: impl ToString) -> WireError {
        WireError::Malformed {
            what,
            reason: reason.to_string(),
        }
    }

    /// Whether the peer broke the rules, rather than the connection.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        !matches!(self, WireError::Io { .. } | WireError::Truncated)
    }
}

impl From<InvalidRegions> for WireError {
    fn from(invalid: InvalidRegions) -> WireError {
        WireError::malformed("batch", invalid)
    }
}
