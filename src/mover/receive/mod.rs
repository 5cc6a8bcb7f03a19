//! Receiving: the threads that drive the pieces of [`crate::mover::core::receive`].

pub mod digests;
pub mod thread;
