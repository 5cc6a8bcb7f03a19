//! What can go wrong between the operator and a mover.

use protocol::units::PeerName;
use wire::control::Refusal;

/// Why a request did not get through or was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MoverLinkError {
    /// There is no link to this pod: `watch` was not called, or the pod is gone.
    #[error("failed to reach the mover of pod {pod}: it is not linked")]
    NotLinked {
        /// The pod's UID.
        pod: String,
    },
    /// The mover can't be dialled, or the connection broke.
    #[error("failed to reach the mover at {address}: {reason}")]
    Unreachable {
        /// The address that was dialled.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The mover did not answer in time. The request may or may not have been taken; repeat it.
    #[error("the mover at {address} did not answer within {seconds} s")]
    TimedOut {
        /// The address that was dialled.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Somebody else answers at the address.
    #[error("{address} is {found}, not {expected}; nothing was sent")]
    WrongIdentity {
        /// The address that was dialled.
        address: String,
        /// Who should be there.
        expected: PeerName,
        /// Who is there.
        found: PeerName,
    },
    /// The mover did not take the request; nothing has changed.
    #[error("the mover refused: {}", .0.message)]
    Refused(Refusal),
    /// The mover speaks another protocol.
    #[error(
        "the mover at {address} answered something unexpected: {reason}; are operator and mover of one version?"
    )]
    Protocol {
        /// The address that was dialled.
        address: String,
        /// What was wrong.
        reason: String,
    },
}
