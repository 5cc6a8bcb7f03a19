//! The data mover: reads and writes one volume, talks mTLS to its peer, obeys the operator.
//!
//! What it decides is decided in [`mover_core`], which waits for nothing. [`runtime`] feeds it and performs
//! what it asks for: connections in tasks, work on the volumes in threads, each of which reports back
//! as an input. Never kube, api or operator.
//!
//! | question | file |
//! |---|---|
//! | What follows from what happens? | [`mover_core`] |
//! | How is it performed? | [`runtime`], `performer` |
//! | Who may connect, and as what? | `listener` |
//! | What may the operator ask, and how does it see the result? | [`control`], [`status`] |
//! | Does a volume still hold what was committed? | `probe` |
//! | Who saves the superblock? | `superblock_writer` |
//! | How do frames get to the peer and back? | [`link`] |
//! | What waits for what on the way out? | `outgoing` |
//! | Which threads find changes and send them? | [`ship`] |
//! | Which threads receive them? | [`receive`] |

pub mod cli;
pub mod control;
pub mod link;
mod listener;
mod outgoing;
mod performer;
mod probe;
pub mod receive;
pub mod runtime;
pub mod setup;
pub mod ship;
pub mod status;
mod superblock_writer;

pub use cli::{Args, run};
pub use setup::{Setup, SetupError};
