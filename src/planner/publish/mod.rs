//! What people read: the conditions, and the Events where something has turned.

mod conditions;
mod turns;

pub use conditions::conditions;
pub use turns::{Turn, turns};
