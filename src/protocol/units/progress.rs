//! How far a cycle has come.

use serde::{Deserialize, Serialize};

use crate::units::Point;

/// Where a cycle stands (semantics C).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CyclePhase {
    /// Agreeing with the peer on how to catch up.
    Handshake,
    /// Reading changes and shipping them.
    Shipping,
    /// The change set is complete and durable in the standby's staging.
    Staged,
    /// The staged set is being written to the standby's volume.
    Applying,
    /// The standby's volume holds the cut; the commit record is still to come.
    Applied,
    /// The cut is the standby's committed point.
    Committed,
}

/// How far a cycle has come, in bytes of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The cut that is being shipped.
    pub cycle: Point,
    /// Where it stands.
    pub phase: CyclePhase,
    /// Bytes that have to be read, as far as known.
    pub planned_bytes: u64,
    /// Bytes of those that are done.
    pub done_bytes: u64,
    /// Bytes put on the wire so far, with framing, before encryption.
    pub wire_bytes: u64,
    /// Bytes of changed data found so far, zeros left out.
    pub data_bytes: u64,
    /// Bytes of changed ranges that are zero now.
    pub zero_bytes: u64,
    /// Milliseconds since the cycle's handshake began.
    pub elapsed_ms: u64,
}
