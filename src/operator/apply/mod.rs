//! Perform (client required): carries out what was decided, in order, and reports what came of it.
//!
//! The first action that fails ends the visit: those after it may rest on it. All are idempotent,
//! so the next visit simply decides again.

mod error;
mod objects;
mod probe;
mod requests;
mod run;
mod ship;
mod verify;

pub use error::Error;
pub use objects::delete;
pub use run::{Visit, apply, rebind, scale};
