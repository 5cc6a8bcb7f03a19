//! How the running cycle, or the last one, is going: times and amounts for status and reports.

use crate::input::{ReceiveCounters, ShipCounters};
use protocol::changes::CycleSum;
use protocol::pair::cycle;
use protocol::units::{ChangeSourceUse, CyclePhase, Decision, Extent, Point, Progress};
use wire::control::{CycleOutcome, CycleReport, VerifyReport};

/// Milliseconds on the monotonic clock at which parts of a cycle began or ended.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    began: u64,
    shipping: Option<u64>,
    staged: Option<u64>,
    ended: Option<u64>,
}

/// One cycle, as one side sees it.
#[derive(Clone, Debug)]
pub struct CycleTrack {
    /// The cut.
    pub cycle: Point,
    /// Where it stands.
    pub phase: CyclePhase,
    /// Source: what the handshake decided.
    pub decision: Option<Decision>,
    /// The change source in use.
    pub change_source: Option<ChangeSourceUse>,
    /// The size of the volume in bytes, or less where less has to be looked at.
    pub planned_bytes: u64,
    /// Source: the range that is verified.
    pub range: Option<Extent>,
    /// The totals and digest of the set, once known.
    pub sum: Option<CycleSum>,
    /// Milliseconds that the target says applying took.
    pub apply_ms: u64,
    times: Times,
    done_bytes: u64,
    read_bytes: u64,
    data_bytes: u64,
    zero_bytes: u64,
    wire_bytes: u64,
}

impl CycleTrack {
    /// A cycle that begins at `now`.
    #[must_use]
    pub fn begin(cycle: Point, now: u64) -> CycleTrack {
        CycleTrack {
            cycle,
            phase: CyclePhase::Handshake,
            decision: None,
            change_source: None,
            planned_bytes: 0,
            range: None,
            sum: None,
            apply_ms: 0,
            times: Times {
                began: now,
                ..Times::default()
            },
            done_bytes: 0,
            read_bytes: 0,
            data_bytes: 0,
            zero_bytes: 0,
            wire_bytes: 0,
        }
    }

    /// Notes that it has come to `phase` at `now`. A process that takes a cycle up where another
    /// left it begins anywhere.
    pub fn enter(&mut self, phase: CyclePhase, now: u64) {
        let fits =
            self.times.began == now || self.phase == phase || cycle::may_follow(self.phase, phase);
        if !fits {
            tracing::warn!(from = ?self.phase, to = ?phase, "the cycle skipped a phase");
        }
        self.phase = phase;
        match phase {
            CyclePhase::Handshake => {}
            CyclePhase::Shipping => self.times.shipping = Some(now),
            CyclePhase::Staged => self.times.staged = Some(now),
            CyclePhase::Applying => self.done_bytes = 0,
            CyclePhase::Applied => self.end(now),
            CyclePhase::Committed => {}
        }
    }

    /// Notes that it ended, well or not.
    pub fn end(&mut self, now: u64) {
        self.times.ended.get_or_insert(now);
    }

    /// Takes over what a shipment has counted.
    pub fn shipped(&mut self, count: &ShipCounters) {
        let from = self.range.map_or(0, |range| range.offset);
        self.done_bytes = count.through.saturating_sub(from);
        self.read_bytes = count.read;
        self.data_bytes = count.data;
        self.zero_bytes = count.zero;
    }

    /// Takes over what a receiver has counted.
    pub fn received(&mut self, count: &ReceiveCounters) {
        self.done_bytes = count.through;
        self.data_bytes = count.data;
        self.zero_bytes = count.zero;
    }

    /// Takes over what the link has counted.
    pub fn wired(&mut self, bytes: u64) {
        self.wire_bytes = bytes;
    }

    /// What status shows. Times of a cycle under way are rounded to seconds, so that status changes
    /// no more often than it is of use.
    #[must_use]
    pub fn progress(&self, now: u64) -> Progress {
        let elapsed_ms = match self.times.ended {
            Some(ended) => ended.saturating_sub(self.times.began),
            None => now.saturating_sub(self.times.began) / 1000 * 1000,
        };
        Progress {
            cycle: self.cycle,
            phase: self.phase,
            planned_bytes: self.planned_bytes,
            done_bytes: self.done_bytes.min(self.planned_bytes.max(self.done_bytes)),
            wire_bytes: self.wire_bytes,
            data_bytes: self.data_bytes,
            zero_bytes: self.zero_bytes,
            elapsed_ms,
        }
    }

    /// The report of a cycle that has ended; `differing` is what a verification has found.
    #[must_use]
    pub fn outcome(&self, differing: Option<Vec<Extent>>) -> CycleOutcome {
        match self.range {
            None => CycleOutcome::Applied(self.report()),
            Some(range) => CycleOutcome::Verified(Box::new(VerifyReport {
                range,
                differing: differing.unwrap_or_default(),
                cycle: self.report(),
            })),
        }
    }

    fn report(&self) -> CycleReport {
        let Times {
            began,
            shipping,
            staged,
            ended,
        } = self.times;
        let ended = ended.unwrap_or(began);
        let shipping = shipping.unwrap_or(ended);
        let staged = staged.unwrap_or(ended);
        let sum = self.sum.unwrap_or_default();
        CycleReport {
            cycle: self.cycle,
            change_source: self
                .change_source
                .as_ref()
                .map_or(protocol::units::ChangeSource::Delta, |u| u.source),
            read_bytes: self.read_bytes,
            data_bytes: sum.data_bytes,
            zero_bytes: sum.zero_bytes,
            wire_bytes: self.wire_bytes,
            digest: sum.hex(),
            handshake_ms: shipping.saturating_sub(began),
            ship_ms: staged.saturating_sub(shipping),
            apply_ms: self.apply_ms.max(ended.saturating_sub(staged)),
        }
    }
}
