//! Receiving: the threads that drive the pieces of [`crate::core::receive`].

pub mod digests;
pub mod thread;
