//! Perform (client required): carries out what was decided, in order, and reports the results.
//!
//! An action that fails keeps only those from being done that stand on it, which the planner says. All are
//! idempotent, so the next reconcile simply decides again.

mod error;
mod objects;
mod probe;
mod requests;
mod run;
mod ship;
mod verify;

pub use error::Error;
pub use objects::{Only, delete, drop_with_snapshot};
pub use run::{Outcome, Round, apply, rebind, scale};
