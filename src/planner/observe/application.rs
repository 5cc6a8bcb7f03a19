//! The workload that uses the application's claim, as it was seen.

/// The workload that uses the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Application {
    /// Its scale.
    Found {
        /// Replicas wanted.
        wanted: i64,
        /// Replicas there are.
        present: i64,
        /// Who set the number of replicas last, as a field manager; only read while the role moves.
        scaled_by: Option<String>,
        /// Whether its claims are deleted when it is scaled down; only read while the role moves.
        claims_go_when_scaled: bool,
        /// The version that its scale was read at.
        version: Option<String>,
    },
    /// It does not exist or can't be scaled, with the reason.
    Missing(String),
}
