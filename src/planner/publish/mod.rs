//! What people read: the conditions, and the Events where something has turned.

mod advice;
mod conditions;
mod transitions;

pub use advice::advice;
pub use conditions::conditions;
pub use transitions::{Transition, transitions};
