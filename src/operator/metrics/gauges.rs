//! What a pair's gauges are set from.

use jiff::Timestamp;

/// What a pair's gauges are set from after each reconcile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairGauges {
    /// When the committed point was cut; `None` while there is none.
    pub committed_cut_at: Option<Timestamp>,
    /// The interval, in seconds.
    pub rpo_target_seconds: f64,
    /// Bytes still to ship in the running cycle; 0 when none runs.
    pub lag_bytes: u64,
    /// Whether the standby can't be promoted or is older than twice the interval.
    pub out_of_sync: bool,
    /// The primary's site; `None` while it is not known.
    pub primary: Option<String>,
    /// Whether both movers answered when last needed.
    pub peer_up: bool,
    /// Whether a site holds writes that nobody else has.
    pub diverged: bool,
    /// What the last verification found; `None` before the first.
    pub verified: Option<Verified>,
    /// Type and status of each condition.
    pub conditions: Vec<(String, String)>,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verified {
    /// When it ended.
    pub at: Timestamp,
    /// Bytes that were compared.
    pub compared_bytes: i64,
    /// Bytes in blocks that differed.
    pub differing_bytes: i64,
    /// Bytes of those that were repaired.
    pub repaired_bytes: i64,
}
