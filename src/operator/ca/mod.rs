//! The install's certificate authority: one Secret, short-lived leafs, rotation without a copy.
//!
//! ```text
//! Secret ferry-ca ── Authority::load_or_create ──┬── issue(ferry://operator)        → memory
//!                                                └── ensure_mover_secret(pair, site) → Secret
//! ```

mod authority;
mod certificate;
mod error;
mod secrets;
#[cfg(test)]
mod tests;

pub use authority::{
    Authority, CA_LIFETIME, CA_OVERLAP, CA_RENEW_BEFORE, CLOCK_SKEW, LEAF_LIFETIME, LeafPem,
};
pub use error::CaError;
pub use secrets::{CA_SECRET, ensure_mover_secret, load_or_create, operator_identity};
