//! Step 6, publish (client required to write): the status, and Events where something has turned.

mod conditions;
mod turns;
mod write;

pub use conditions::conditions;
pub use turns::{Turn, turns};
pub use write::{Error, publish};
