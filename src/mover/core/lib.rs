//! The mover as a synchronous machine: what happens goes in, what has to be done comes out.
//!
//! [`Core::take`] takes one [`Input`] with the moment at which it came and returns the [`Effect`]s
//! that follow, in order. Nothing here has a thread, a socket or a clock. Whoever hosts a core
//! performs its effects: the mover's runtime with tokio and threads, the simulator at once, later or
//! never. An effect that takes long has a number, and its end comes back as an input with it.
//!
//! | question | file |
//! |---|---|
//! | What are the inputs of the core? | [`input`] |
//! | What does it ask for? | [`effect`] |
//! | In which order, and what waits for what? | [`machine`], [`lane`] |
//! | What does an action of the protocol lead to? | `actions` |
//! | What does a request of the operator lead to? | `commands` |
//! | What does a message of the peer lead to, and a report of work? | `inbound` |
//! | Who notices that nothing moves? | `watchdog` |
//! | What becomes of a set that can't be written? | `unwritten` |
//! | What is open on the state volume? | [`state_files`] |
//! | What does status show? | `status`, [`progress`] |
//! | Which wrong rules must the simulator notice? | [`mutations`] |
//! | How are changes found and packed? | [`ship`] |
//! | How are they checked, staged and applied? | [`receive`] |

mod actions;
mod commands;
pub mod digest_commit;
pub mod effect;
mod inbound;
pub mod input;
pub mod lane;
pub mod machine;
pub mod mutations;
pub mod progress;
pub mod receive;
pub mod ship;
pub mod state_files;
mod status;
#[cfg(test)]
mod tests;
pub mod translate;
mod unwritten;
mod watchdog;

pub use effect::{Discard, Effect, ShipWork, Work};
pub use input::{
    Counters, Input, Moment, NotWritten, ReceiveCounters, ReceiveEvent, ShipCounters, ShipEvent,
    Unusable,
};
pub use machine::{Config, Core, Found};
pub use mutations::{Rule, Rules, Settings};
pub use status::blank_status;
