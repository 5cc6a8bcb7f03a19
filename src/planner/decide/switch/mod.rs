//! A move of the primary role, step by step. The step is recorded before it is done, so that a crash
//! at any of them resumes there.
//!
//! ```text
//! StopApplication → LastCut → Park → Ship → Promote → Demote → Rebind → Release → Done
//!   │    └── forced ───────▲  └── forced ──▲
//!   └── somebody used the volume, or it is cancelled: Unpark → StopApplication, or Cancel → Cancelled
//! ```
//! Up to `Ship` nothing has happened to the data, and a move that is withdrawn or stands still is undone.
//! From `Promote` on a planned one is undone by promoting the old primary in the epoch after, as long as
//! nothing has run at the new one.

mod advance;
mod application;
mod binding;
mod cancel;
mod closed;
mod demote;
mod epoch;
mod lost_status;
mod promote;
mod requested;
mod steps;
#[cfg(test)]
mod tests;

pub use advance::{advance, note_last_cut};
pub use binding::desired_binding;
pub use cancel::WITHDRAWN;
pub use demote::{clean_end, fence_returning_primary};
pub use lost_status::{note, noted, resume_after_loss, volumes_by_evidence};
pub use steps::{before_promotion, rebinding, unfinished};
