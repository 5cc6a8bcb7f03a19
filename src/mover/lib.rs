//! The data mover: reads and writes one volume, talks mTLS to its peer, obeys the operator.
//!
//! One task owns everything that has state ([`run`]): it selects an input, feeds it to the pure
//! machines of [`protocol::pair`], and carries out the actions that come back. Connections and disk
//! work live in tasks and threads of their own that only send inputs to it, through queues with
//! limits. Never kube, api or operator.
//!
//! | question | file |
//! |---|---|
//! | Who may connect, and as what? | [`serve`] |
//! | What may the operator order, and how does it see what comes of it? | [`control`], [`status`] |
//! | How do frames get to the peer and back? | [`link`] |
//! | How are changes found, read and sent? | [`source`] |
//! | How are they staged, checked and applied? | [`target`] |
//! | What does a promotion or a demotion do here? | [`promote`], [`demote`] |

pub mod cli;
pub mod control;
pub mod convert;
pub mod demote;
mod hear;
pub mod keep;
mod land;
pub mod link;
mod orders;
mod perform;
mod progress;
pub mod promote;
pub mod run;
pub mod serve;
pub mod setup;
pub mod source;
pub mod status;
pub mod target;
mod watch;

pub use cli::{Args, run};
pub use setup::{Setup, SetupError};
