//! The operator's end of the control protocol with movers.
//!
//! For each mover pod there is one connection that long-polls the status, one for requests, and one
//! for each list of extents while it is fed, so that a request never waits behind the others. The
//! newest status is kept for the observe step; a new one wakes the pair's reconcile.

mod connection;
mod error;
mod feed;
mod poll;
mod registry;
#[cfg(test)]
mod tests;

pub use error::MoverLinkError;
pub use feed::{FEED_STALL, FedExtents};
pub use registry::{
    DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN, LinkState, MoverKey, MoverLinks, REQUEST_TIMEOUT,
};
