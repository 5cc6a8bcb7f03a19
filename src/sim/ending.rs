//! How a simulated cycle ends: watched, tried again, committed, and what it leaves swept away.

use rand::Rng;

use crate::operator::{ATTEMPTS_MAX, Cycle, Phase};
use crate::rules::Wrong;
use crate::world::{Device, META_BYTES, World};
use mover_core::translate;
use protocol::pair::{Cause, Refused};
use protocol::units::Point;
use storage::seam::Disk;
use wire::control::{Activity, CycleOutcome, MoverStatus, Request};

impl World {
    pub(super) fn watch_cycle(&mut self, cycle: Cycle) {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        if self.holds(standby, cycle.point) {
            return self.enter(Phase::Committing);
        }
        let (Some(source), Some(target)) = (self.status(primary), self.status(standby)) else {
            return self.retry(cycle, "a mover went away");
        };
        let ships = matches!(source.activity, Activity::Shipping(_));
        let applied = applied(source) == Some(cycle.point);
        if let Some(refused) = failed(source, target, cycle.point) {
            if refused.cause == Cause::Diverged {
                self.operator.diverged[standby] = true;
                return self.fail_cycle(&refused.message);
            }
            // What two lists of changes have left, one after the other, is not what was sent.
            if refused.message.starts_with("staging is damaged") {
                self.staged_may_be_lost();
            }
            if refused.cause.is_retryable() {
                return self.retry(cycle, &refused.message);
            }
            return self.fail_cycle(&refused.message);
        }
        if applied {
            return;
        }
        if !cycle.fed || !ships {
            self.enter(Phase::Starting);
        }
    }

    pub(super) fn retry(&mut self, cycle: Cycle, why: &str) {
        if cycle.attempt >= ATTEMPTS_MAX {
            return self.fail_cycle(why);
        }
        let why = why.to_string();
        self.story.tell(self.now, 2, || {
            format!("tries {} again: {why}", cycle.point)
        });
        if let Some(now) = &mut self.operator.cycle {
            now.attempt += 1;
            now.retry_at = self.now + (1_000 << cycle.attempt.min(5));
            now.phase = Phase::Starting;
        }
    }

    pub(super) fn fail_cycle(&mut self, why: &str) {
        let point = self.operator.cycle.take().map(|cycle| cycle.point);
        self.operator.failed = true;
        self.operator.next_cycle = self.now + 2_000;
        let why = why.to_string();
        self.story
            .tell(self.now, 2, || format!("gives {point:?} up: {why}"));
    }

    pub(super) fn commit(&mut self, point: Point) {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        let early = self.wrong == Some(Wrong::CommitsBeforeSnapshot);
        if !self.want(standby, Device::Volume) {
            return self.renew_stuck(standby);
        }
        if self.report(standby).is_some() && !self.holds(standby, point) {
            // Somebody put an older copy of it back.
            self.sites[standby].volume.snapshots.remove(&point);
            return self.enter(Phase::Starting);
        }
        let cut = self.sites[standby].volume.snapshots.contains_key(&point);
        if !cut && !early {
            return self.cut(standby, point);
        }
        if self
            .report(standby)
            .is_none_or(|r| r.committed != Some(point))
        {
            drop(self.give(standby, Request::Commit { cycle: point }.into()));
            if self.report(primary).is_some() {
                drop(self.give(primary, Request::Commit { cycle: point }.into()));
            }
            return;
        }
        if self
            .report(primary)
            .is_some_and(|r| r.committed != Some(point))
        {
            drop(self.give(primary, Request::Commit { cycle: point }.into()));
            return;
        }
        if !cut {
            self.cut(standby, point);
        }
        self.operator.cycle = None;
        self.operator.failed = false;
        self.operator.committed = Some(point);
        self.operator.diverged[standby] = false;
        self.operator.next_cycle = self.now + self.random.random_range(0..6_000);
        self.story
            .tell(self.now, 2, || format!("{point} is committed"));
        self.oracle.committed();
        let site = &mut self.sites[standby];
        site.damaged = false;
        site.full = site
            .meta
            .free_bytes()
            .is_ok_and(|free| free < META_BYTES / 2);
    }

    /// A mover that can't use its superblock is started again.
    pub(super) fn renew_stuck(&mut self, at: usize) {
        let status = self.status(at);
        let unreadable = status.is_some_and(|status| status.superblock_error.is_some());
        if unreadable {
            self.stop(at, None);
        }
    }

    /// Takes a snapshot at a site.
    pub(super) fn cut(&mut self, at: usize, point: Point) {
        if self.sites[at].volume.snapshots.contains_key(&point) {
            return;
        }
        self.sites[at].volume.cut(point);
        if at == self.operator.primary {
            self.oracle.cut(at, point);
        }
        self.story
            .tell(self.now, at, || format!("snapshot of {point}"));
    }

    /// Deletes snapshots that nothing needs: the common base and the running cycle's stay. A side with
    /// writes of its own keeps what it has, and which one that is a forced move shows at its end.
    pub(super) fn sweep(&mut self) {
        let o = &self.operator;
        let nothing_known = o.committed.is_none() && o.cycle.is_none() && !o.failed;
        if nothing_known || o.switch.is_some_and(|s| s.forced) {
            return;
        }
        let base = self.common_base();
        let running = o.cycle.map(|cycle| cycle.point);
        let early = self.wrong == Some(Wrong::BaseDroppedEarly) && running.is_some();
        for at in 0..2 {
            if self.operator.diverged[at] {
                continue;
            }
            self.sites[at]
                .volume
                .snapshots
                .retain(|point, _| (Some(*point) == base && !early) || Some(*point) == running);
        }
    }

    /// The point whose snapshots are the common base: the committed one, unless a side has none of it.
    fn common_base(&self) -> Option<Point> {
        let common = self.common_cuts();
        let committed = self.operator.committed;
        let held = committed.filter(|point| common.contains(point));
        held.or(common.last().copied()).or(committed)
    }

    /// The cuts that both sides have a snapshot of.
    pub(super) fn common_cuts(&self) -> Vec<Point> {
        let [east, west] = self.sites.each_ref().map(|site| &site.volume.snapshots);
        let both = east.keys().filter(|point| west.contains_key(point));
        both.copied().collect()
    }
}

/// The cut that a source knows to be applied.
pub(super) fn applied(source: &MoverStatus) -> Option<Point> {
    match &source.last {
        Some(CycleOutcome::Applied(report)) => Some(report.cycle),
        _ => None,
    }
}

/// How an attempt failed: the target's cause first, for the source sees only that it hung up, or
/// that a target which has failed meanwhile expects nothing any more.
fn failed(source: &MoverStatus, target: &MoverStatus, point: Point) -> Option<Refused> {
    fn cause(status: &MoverStatus, point: Point) -> Option<Refused> {
        match &status.last {
            Some(CycleOutcome::Failed { cycle, cause, .. }) if *cycle == point => Some(
                Refused::new(translate::cause_of(cause.kind), cause.message.clone()),
            ),
            _ => None,
        }
    }
    if matches!(source.activity, Activity::Shipping(_)) {
        return None;
    }
    let from_source = cause(source, point)?;
    let from_target = cause(target, point);
    let sees_little = matches!(
        from_source.cause,
        Cause::PeerUnreachable | Cause::OutOfOrder
    );
    Some(from_target.filter(|_| sees_little).unwrap_or(from_source))
}
