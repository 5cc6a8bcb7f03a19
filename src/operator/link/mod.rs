//! The operator's end of the control protocol with movers.
//!
//! For each mover pod there is one connection for orders and one that long-polls the status, so
//! that an order never waits behind a poll. The newest status is kept for the observe step; a new
//! one wakes the pair's reconcile.

mod connection;
mod error;
mod feed;
mod registry;

pub use error::MoverLinkError;
pub use feed::{FEED_EXTENTS_MAX, FedExtents};
pub use registry::{
    DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN, LinkState, MoverKey, MoverLinks, ORDER_TIMEOUT,
};
