//! Decide (no client required): from what was observed, the status to record and what to do.
//!
//! The status is written before the actions are carried out: whatever an action needs to be found
//! again (a point, an epoch, the pods that are held) is recorded before it is used. Every visit
//! starts from the beginning; nothing is remembered but marks of time.

mod action;
mod admission;
mod attempt;
mod change_source;
mod commit;
mod cut;
mod cycle;
mod draft;
mod hold;
mod identity;
mod movers;
mod newer;
mod pass;
mod progress;
mod reports;
mod schedule;
mod setup;
mod ship;
mod sweep;
#[cfg(test)]
pub(crate) mod tests;
mod unchanged;

pub use action::{Action, Device, ProbePlan, ShipPlan, SnapshotRequest, VerifyPlan};
pub use admission::{Barred, barred};
pub use attempt::ATTEMPTS_MAX;
pub use cycle::{consent, is_diverged};
pub use draft::{Decision, Draft};
pub use movers::ready as mover_ready;
pub use newer::unknown as written_by_newer;
pub use pass::decide;
pub use reports::{Report, absorb};
pub use ship::{receive, source_claim};
