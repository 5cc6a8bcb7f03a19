//! Why something was not done, as data.

use std::fmt;

/// What kind of refusal or failure it is. The mover maps these to the stable names of its control
/// protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It does not fit the role, the phase or the epoch.
    OutOfOrder,
    /// An epoch below the one known here.
    StaleEpoch,
    /// The handshake refused (rows 1 to 3).
    HandshakeRefused,
    /// Writes that nobody else has would be overwritten, and there is no consent.
    Diverged,
    /// There is no complete image to promote.
    NoCommittedPoint,
    /// The peer is not the one that was asked for.
    WrongIdentity,
    /// The standby's volume is smaller than the primary's.
    TargetTooSmall,
    /// The change set does not fit into staging.
    StagingTooSmall,
    /// The state volume is full.
    StateVolumeFull,
    /// The link broke or never came up.
    PeerUnreachable,
    /// Nothing moved for the stall time-out.
    Stalled,
    /// Reading the source's device failed.
    SourceReadError,
    /// Writing or flushing the target's device failed.
    TargetWriteError,
    /// A checksum did not match.
    Corrupt,
    /// The superblock can't be read.
    SuperblockUnreadable,
    /// The primary's committed cut has rotted, and the standby's has not (D-4).
    PrimaryDamaged,
    /// The cut's device is shorter than the volume was (D-5).
    SourceShrunk,
    /// What was made of the first cut is no image of the volume (D-16).
    NotABlockImage,
    /// The state volume failed when it was opened, which may pass.
    StateVolumeFailed,
    /// The operator stopped it.
    Aborted,
    /// A defect of ours.
    Internal,
}

impl Cause {
    /// Whether trying the same cycle again, with nothing else changed, can help.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Cause::PeerUnreachable
                | Cause::Stalled
                | Cause::SourceReadError
                | Cause::TargetWriteError
                | Cause::Corrupt
                | Cause::Aborted
        )
    }
}

/// A refusal or failure: its kind, and a sentence that says what, where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The kind.
    pub cause: Cause,
    /// The sentence.
    pub message: String,
}

impl Refused {
    /// A refusal of this kind with this sentence.
    pub fn new(cause: Cause, message: impl Into<String>) -> Refused {
        Refused {
            cause,
            message: message.into(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        for cause in [
            Cause::PeerUnreachable,
            Cause::Stalled,
            Cause::SourceReadError,
            Cause::TargetWriteError,
            Cause::Corrupt,
            Cause::Aborted,
        ] {
            assert!(cause.is_retryable(), "{cause:?}");
        }
        for cause in [
            Cause::OutOfOrder,
            Cause::StaleEpoch,
            Cause::HandshakeRefused,
            Cause::Diverged,
            Cause::NoCommittedPoint,
            Cause::WrongIdentity,
            Cause::TargetTooSmall,
            Cause::StagingTooSmall,
            Cause::StateVolumeFull,
            Cause::SuperblockUnreadable,
            Cause::PrimaryDamaged,
            Cause::SourceShrunk,
            Cause::NotABlockImage,
            Cause::StateVolumeFailed,
            Cause::Internal,
        ] {
            assert!(!cause.is_retryable(), "{cause:?}");
        }
        assert_eq!(Refused::new(Cause::Stalled, "why").to_string(), "why");
    }
}
