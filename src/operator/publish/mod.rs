//! Record (client required to write), before a decision is performed and after: the status, and
//! Events where something has turned.

mod write;

pub use write::{Error, publish};
