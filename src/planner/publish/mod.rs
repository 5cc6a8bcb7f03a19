//! What people read: the conditions, and the Events where something has turned.

mod conditions;
mod transitions;

pub use conditions::conditions;
pub use transitions::{Transition, transitions};
