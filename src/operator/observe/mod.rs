//! Observe (client required): everything that a reconcile needs to know, read once.

mod attachments;
mod class_cache;
mod cluster;
mod workload;

pub use class_cache::ClassCache;
pub use cluster::{Error, address, observe};
