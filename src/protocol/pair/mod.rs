//! The replication protocol as pure synchronous state machines. No tokio, kube or files.
//!
//! Events go in, actions come out; whoever drives a machine carries the actions out in order and
//! feeds what comes of them back in. Nothing here knows the time, a file or a socket, so the same
//! code runs in a mover, in a simulator and in a test.
//!
//! | question | file |
//! |---|---|
//! | How does a standby catch up, and may it at all? | [`handshake`] |
//! | How is it learned what has changed, and what when that breaks? | [`change_plan`] |
//! | Where does a cycle stand, and what may follow? | [`cycle`] |
//! | What does a shipping side do next? | [`source`] |
//! | What does a receiving side do next? | [`target`] |
//! | What does a receiving side check for itself? | [`begin_check`] |
//! | When are the two committed images compared, and how? | [`verify`] |
//! | May this side become primary, and with which image? | [`promote`] |
//! | What does a receiving side do to become primary? | `target_promotion` |
//! | What is an old primary worth afterwards? | [`demote`] |
//! | What does a driver have to do? | [`action`] |
//! | Who is refused for an old epoch? | [`fence`] |
//!
//! Depends on `units` only.

pub mod action;
pub mod begin_check;
pub mod change_plan;
pub mod cycle;
pub mod demote;
pub mod failure;
pub mod fence;
pub mod handshake;
pub mod message;
pub mod promote;
pub mod record;
pub mod side;
pub mod source;
#[cfg(test)]
mod state_tests;
pub mod target;
mod target_promotion;
mod target_state;
pub mod verify;

pub use action::{Action, Outcome};
pub use failure::{Cause, Refused};
pub use record::Record;
pub use side::Side;
