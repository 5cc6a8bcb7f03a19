//! Millisecond marks of the running cycle.
//!
//! Kubernetes rounds times to seconds, too coarse to see where a cycle's time goes. These marks
//! live in memory; an operator that was restarted in a cycle reports 0 for the parts it missed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use api::v1alpha1::{CyclePhase, SwitchStep};
use protocol::units::{Point, SiteName};

/// When the steps of a cycle were seen to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The cycle that the marks belong to.
    pub point: Option<Point>,
    /// The cycle began.
    pub began: Option<Timestamp>,
    /// The application began to be held.
    pub held: Option<Timestamp>,
    /// The snapshot was asked for.
    pub asked: Option<Timestamp>,
    /// The snapshot could be read.
    pub cut: Option<Timestamp>,
    /// Both movers answered.
    pub started: Option<Timestamp>,
    /// The target had applied the cut.
    pub applied: Option<Timestamp>,
    /// The source reports that, and the target does not.
    pub arrived: Option<Timestamp>,
    /// The cycle whose list of changes this process feeds, or has fed completely.
    pub fed: Option<Point>,
    /// The bandwidth limit that the source of this cycle was sent last.
    pub pace: Option<Option<u64>>,
    /// The step of a move of the role, and since when it was seen.
    pub switch_step: Option<(SwitchStep, Timestamp)>,
    /// How far the cycle was that a move of the role waits for, and since when it was seen there.
    pub switch_progress: Option<((CyclePhase, i64), Timestamp)>,
    /// Whether the driver has named nothing that changed since the committed cut; `None` before it
    /// was asked.
    pub unchanged: Option<bool>,
    /// The next attempt is not made before this.
    pub retry_at: Option<Timestamp>,
    /// The phase that the cycle is in now, and since when: what bounded waits count from.
    pub phase: Option<(CyclePhase, Timestamp)>,
    /// This very process is about to run the `pre` hooks.
    pub about_to_hold: bool,
    /// A claim that was deleted was restored, as far as that goes, at this time.
    pub restored: Option<Timestamp>,
    /// The slice of a verification that was asked for.
    pub verify: Option<VerifyMark>,
    /// What has failed, by what it is known by.
    pub failing: BTreeMap<String, Retry>,
    /// Movers that run and do not answer: the pod's UID and since when, by site.
    pub silent: BTreeMap<SiteName, (String, Timestamp)>,
    /// Sites whose mover said last that a set is staged completely and not written yet. A mover without
    /// the volume says so, and ends for one that has it.
    pub staged: BTreeSet<SiteName>,
}

/// What has failed is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often it has failed.
    pub times: u32,
    /// Not before this.
    pub at: Timestamp,
}

/// A slice of a verification that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyMark {
    /// The first byte.
    pub position: u64,
    /// The source's report when it was asked for.
    pub version: u64,
    /// When that was.
    pub since: Timestamp,
    /// It failed and is not tried again before this.
    pub retry_at: Option<Timestamp>,
}

impl Timeline {
    /// The marks of cycle `point`: these, or none if these are of another cycle.
    #[must_use]
    pub fn of(&self, point: Point) -> Timeline {
        if self.point == Some(point) {
            return self.clone();
        }
        Timeline {
            point: Some(point),
            switch_step: self.switch_step.clone(),
            switch_progress: self.switch_progress.clone(),
            restored: self.restored,
            failing: self.failing.clone(),
            silent: self.silent.clone(),
            staged: self.staged.clone(),
            ..Timeline::default()
        }
    }

    /// When `phase` was entered, marking it now if it is new.
    pub fn phase_since(&mut self, phase: &CyclePhase, now: Timestamp) -> Timestamp {
        match &self.phase {
            Some((name, since)) if name == phase => *since,
            _ => {
                self.phase = Some((phase.clone(), now));
                now
            }
        }
    }
}

/// Milliseconds from `from` to `to`; 0 when either was not seen.
#[must_use]
pub fn millis_between(from: Option<Timestamp>, to: Option<Timestamp>) -> i64 {
    match (from, to) {
        (Some(from), Some(to)) => i64::try_from(to.duration_since(from).as_millis())
            .unwrap_or(0)
            .max(0),
        _ => 0,
    }
}
