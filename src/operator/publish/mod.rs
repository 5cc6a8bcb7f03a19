//! Step 6, publish (client required to write): the status, and Events where something has turned.

mod write;

pub use write::{Error, publish};
