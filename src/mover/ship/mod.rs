//! Shipping: the threads that drive the pieces of [`mover_core::ship`].
//!
//! Reading, scanning and packing are threads of their own; the queues between them are short, so
//! memory does not follow the volume's size.

pub mod ask;
pub mod changes;
pub mod extent_feed;
pub mod flow;
pub mod threads;
pub mod throttle;
