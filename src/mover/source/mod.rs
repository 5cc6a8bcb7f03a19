//! Shipping: from the operator's list and the device to batches on the link.
//!
//! ```text
//! list ─┐
//!       ├─> candidates ─> scan (read, zero test, digest, compare) ─> pack (compress) ─> link
//! plan ─┘                   ▲ kept digests, or the standby's          ▲ window, bandwidth
//! ```
//!
//! Scanning and packing are threads of their own; the queues between them are short, so memory does
//! not follow the volume's size.

pub mod candidates;
pub mod compare;
pub mod falling;
pub mod gather;
pub mod list;
pub mod pack;
pub mod scan;
pub mod ship;
pub mod throttle;
pub mod window;
