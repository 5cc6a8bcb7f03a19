//! Decide (no client required): from what was observed, the status to record and what to do.
//!
//! The status is written before the actions are carried out: whatever an action needs to be found
//! again (a point, an epoch, the pods that are held) is recorded before it is used. Every reconcile
//! starts from the beginning; nothing is remembered but marks of time.

mod admission;
mod attempt;
mod builder;
mod change_source;
mod commit;
mod consent;
mod cut;
mod cycle;
mod evidence;
pub mod failing;
mod hold;
mod identity;
mod idle;
mod local;
mod movers;
mod newer;
mod next;
pub mod pair;
mod progress;
mod receive;
mod reports;
mod schedule;
mod setup;
mod ship;
mod silent;
mod sweep;
pub mod switch;
mod unchanged;
pub mod verify;
#[cfg(test)]
mod verify_tests;

pub use crate::site::{Action, Device, ProbePlan, ShipPlan, SnapshotRequest, VerifyPlan};
pub use admission::Barred;
pub use attempt::ATTEMPTS_MAX;
pub use builder::DecisionBuilder;
pub use local::{Decision, decide};
pub use newer::unknown as written_by_newer;
pub use next::Next;
pub use pair::PairDecision;
pub use reports::{Report, absorb};
