//! The requests of people: which of them counts, and what is written about each. Pure.
//!
//! A request is an object, made once and never changed. What counts is recorded in the pair's status
//! before anything is done for it, so that neither its deletion nor its return changes anything: absence
//! or deletion of a request is never a request.

mod answer;
mod history;
mod promotions;
mod record;
mod resyncs;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use promotions::{Roles, Standing, standings};
pub use record::{RequestWrites, What, Write, writes};
pub use resyncs::{consented, counting, follows};
