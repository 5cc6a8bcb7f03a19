//! Validate (no client required): does the spec make sense together with what it names?
//!
//! A problem stops what has not begun: no new cycle, no new move of the role. What runs goes on,
//! and nothing is deleted.

mod bandwidth;
mod checks;
mod file_shares;
mod outcome;
pub mod pinned;
mod settings;
mod snapshot_class;

pub use checks::Problem;
pub use file_shares::is_file_share;
pub use outcome::{Validated, validate};
pub use settings::{INTERVAL_MIN, Settings, SiteSettings, Verification, interval, quantity_bytes};
#[cfg(test)]
mod tests;
