//! Shipping, piece by piece: from the operator's list and the device to batches.
//!
//! ```text
//! list ─┐
//!       ├─> candidates ─> read (zero test, digest, compare) ─> scan ─> pack (compress) ─> link
//! plan ─┘                   ▲ kept digests, or the standby's            ▲ window, bandwidth
//! ```
//!
//! Nothing here waits: where there is nothing yet it says so, and whoever drives the pieces asks
//! again. The mover drives them with threads, the simulator one at a time.

pub mod arbitrate;
pub mod candidates;
pub mod compare;
pub mod count;
pub mod fallback;
pub mod gather;
pub mod list;
pub mod pack;
pub mod pipeline;
pub mod scan;
pub mod window;
