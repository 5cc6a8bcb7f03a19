//! What a re-binding waits for.

use std::fmt;

/// What a re-binding waits for. Nothing has to be done again when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Pods still use a claim.
    InUse {
        /// The claim.
        claim: String,
        /// The pods.
        pods: Vec<String>,
    },
    /// A claim is being deleted.
    ClaimGone {
        /// The claim.
        claim: String,
        /// Finalizers of others that hold it.
        finalizers: Vec<String>,
    },
    /// A claim is being bound.
    Bound {
        /// The claim.
        claim: String,
        /// The PersistentVolume.
        volume: String,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::InUse { claim, pods } => write!(
                f,
                "claim {claim} to be unused; it is used by {}",
                pods.join(", ")
            ),
            Wait::ClaimGone { claim, finalizers } if finalizers.is_empty() => {
                write!(f, "claim {claim} to be gone")
            }
            Wait::ClaimGone { claim, finalizers } => write!(
                f,
                "claim {claim} to be gone; it is held by {}",
                finalizers.join(", ")
            ),
            Wait::Bound { claim, volume } => {
                write!(f, "claim {claim} to be bound to PersistentVolume {volume}")
            }
        }
    }
}
