//! Perform (client required): carries out what was decided, in order, and reports the results.
//!
//! The first action that fails ends the reconcile: those after it may rest on it. All are idempotent,
//! so the next reconcile simply decides again.

mod error;
mod objects;
mod probe;
mod requests;
mod run;
mod ship;
mod verify;

pub use error::Error;
pub use objects::{Only, delete};
pub use run::{Round, apply, rebind, scale};
