//! A move of the primary role, step by step. The step is recorded before it is done, so that a crash
//! at any of them resumes there.
//!
//! ```text
//! StopApplication → LastCut (planned only) → Promote → Demote → Rebind → Release → Done
//!   └───────────────┴── the request is withdrawn → Cancel → Cancelled
//! ```
//! Up to `LastCut` nothing has happened to the data and the move can be withdrawn; from `Promote` on
//! it goes forward only, unless there turns out to be no complete image to promote.

mod advance;
mod application;
mod binding;
mod demote;
mod epoch;
mod lost_status;
mod promote;
mod steps;

pub use advance::{advance, note_last_cut};
pub use binding::desired_binding;
pub use demote::fence_returning_primary;
pub use lost_status::resume_after_loss;
#[cfg(test)]
pub(crate) use promote::loss;
pub use steps::{before_promotion, rebinding, unfinished};
