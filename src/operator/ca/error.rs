//! What can go wrong with certificates.

/// Why a certificate is unavailable.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The API server refused.
    #[error("failed to {action} Secret {secret}: {source}")]
    Api {
        /// What was tried: `read`, `create`, `replace` or `apply`.
        action: &'static str,
        /// `namespace/name`.
        secret: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The Secret is there, but holds no usable authority.
    #[error(
        "failed to use Secret {secret}: {reason}; restore it from a backup, or delete it to start a \
         new authority (movers then reconnect with new certificates, nothing is copied again)"
    )]
    Unusable {
        /// `namespace/name`.
        secret: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name of a mover's Secret is taken by an object that is not ours.
    #[error("Secret {secret} exists but is not Ferry's; delete or rename it, then Ferry goes on")]
    NameTaken {
        /// `namespace/name`.
        secret: String,
    },
    /// Making a key or a certificate failed.
    #[error("failed to make a certificate for {name}: {source}")]
    Make {
        /// Whose certificate.
        name: String,
        /// What rcgen said.
        #[source]
        source: rcgen::Error,
    },
}
