//! Receiving: the threads that drive the pieces of [`mover_core::receive`].

pub mod digests;
pub mod thread;
