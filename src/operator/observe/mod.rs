//! Observe (client required): everything that a reconcile needs to know, read once.

mod class_cache;
mod cluster;

pub use class_cache::ClassCache;
pub use cluster::{Error, address, observe};
