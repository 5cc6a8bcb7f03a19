//! Step 1, observe (client required): everything that a visit needs to know, read once.

mod classes;
mod cluster;
mod read;

pub use classes::ClassCache;
pub use cluster::{Error, address, observe};
