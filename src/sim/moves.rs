//! A move of the role, step by step, as the operator orders it.

use crate::operator::{Move, Phase, Switch};
use crate::world::{Device, Site, World};
use protocol::pair::Cause;
use protocol::units::{Epoch, ImageState, Role};
use wire::control::{Activity, DemoteRequest, PromoteRequest, Request, SuperblockReport};

/// How long a forced move waits for the old primary, in milliseconds.
const DEMOTE_WAIT_MS: u64 = 5_000;

impl World {
    /// Goes on with a move of the role.
    pub(super) fn move_on(&mut self, switch: Switch, faulty: bool) {
        let (old, new) = (1 - switch.to, switch.to);
        match switch.step {
            Move::Gate => {
                if !switch.forced || !faulty || self.chance(2) {
                    self.sites[old].open = false;
                }
                let young = self.operator.cycle.is_some_and(|cycle| {
                    matches!(cycle.phase, Phase::Cutting | Phase::Starting) || switch.forced
                });
                if young {
                    self.operator.cycle = None;
                }
                if self.operator.cycle.is_none() {
                    self.step_to(if switch.forced {
                        Move::Promote
                    } else {
                        Move::LastCut
                    });
                }
            }
            Move::LastCut => {
                let done = self.operator.cycle.is_none() && switch.point.is_some();
                if done && self.operator.committed == switch.point {
                    self.step_to(Move::Promote);
                } else if done {
                    // The last cut was abandoned: another is made.
                    if let Some(switch) = &mut self.operator.switch {
                        switch.point = None;
                    }
                }
            }
            Move::Promote => self.promote(switch, new),
            Move::Demote => self.demote(switch, old, new),
        }
    }

    /// The application writes at a site again: on storage that works.
    fn open(&mut self, at: usize) {
        self.sites[at].open = true;
        self.sites[at].volume.disk.heal();
    }

    fn step_to(&mut self, step: Move) {
        let now = self.now;
        if let Some(switch) = &mut self.operator.switch {
            switch.step = step;
            switch.since = now;
        }
    }

    fn promote(&mut self, switch: Switch, new: usize) {
        let whole = |r: &SuperblockReport| matches!(r.image, ImageState::Redo(_));
        let device = match self.sites[new].process.as_ref() {
            // A forced promotion needs the volume only to finish a set that is fully staged.
            Some((device, _)) if switch.forced && !self.report(new).is_some_and(whole) => *device,
            None if switch.forced => Device::None,
            _ => Device::Volume,
        };
        if !self.want(new, device) {
            return self.renew_stuck(new);
        }
        let Some(report) = self.report(new).cloned() else {
            return;
        };
        if report.role == Role::Primary && report.epoch == switch.epoch {
            let point = report.image.promotable_point().or(self.operator.committed);
            self.operator.primary = new;
            self.operator.epoch = switch.epoch;
            if switch.forced
                && let Some(switch) = &mut self.operator.switch
            {
                switch.point = point;
            }
            self.open(new);
            return self.step_to(Move::Demote);
        }
        if report.role == Role::Primary {
            return self.cancel("it is an old primary, put back");
        }
        if report.epoch.next() < switch.epoch {
            return self.tell_epoch(new, &report, switch.epoch);
        }
        match self.status(new).map(|status| status.activity) {
            Some(Activity::Promoting(_)) => return,
            Some(Activity::Idle) => {}
            _ => {
                let reason = "the site is being promoted".to_string();
                drop(self.give(new, Request::Abort { reason }.into()));
            }
        }
        self.oracle.promotes(switch.epoch, new, switch.generation);
        let order = PromoteRequest {
            epoch: switch.epoch,
            generation: switch.generation,
            peer_head: None,
            requested_primary: self.sites[new].name.clone(),
        };
        if let Err(refused) = self.give(new, Request::Promote(order).into())
            && matches!(
                refused.cause,
                Cause::NoCommittedPoint | Cause::Diverged | Cause::StaleEpoch
            )
        {
            self.cancel(&refused.message);
        }
    }

    /// A standby that was put back to a copy from before the role moved learns which epoch is over now.
    fn tell_epoch(&mut self, at: usize, report: &SuperblockReport, next: Epoch) {
        let order = DemoteRequest {
            epoch: Epoch(next.0 - 1),
            lineage: report.lineage.clone(),
            clean_at: None,
            requested_primary: report.requested_primary.clone(),
        };
        drop(self.give(at, Request::Demote(order).into()));
    }

    /// There is no image to promote: the role stays where it is.
    fn cancel(&mut self, why: &str) {
        let why = why.to_string();
        self.story
            .tell(self.now, 2, || format!("the role stays: {why}"));
        self.operator.switch = None;
        self.open(self.operator.primary);
    }

    fn demote(&mut self, switch: Switch, old: usize, new: usize) {
        let as_is = |site: &Site| site.process.as_ref().map(|(d, _)| *d);
        let device = as_is(&self.sites[old]).unwrap_or(Device::None);
        let new_device = as_is(&self.sites[new]).unwrap_or(Device::Volume);
        self.want(new, new_device);
        let unreachable = switch.forced && self.faults.old_is_away;
        if !unreachable && self.want(old, device) {
            let Some(report) = self.report(old).cloned() else {
                return;
            };
            if report.role == Role::Standby && report.epoch >= switch.epoch {
                self.operator.diverged[old] = report.diverged;
                if report.diverged {
                    self.operator.committed = None;
                }
                return self.moved();
            }
            self.sites[old].open = false;
            if !switch.forced && report.committed != switch.point {
                if let Some(last) = switch.point {
                    drop(self.give(old, Request::Commit { cycle: last }.into()));
                }
                return;
            }
            let Some(lineage) = self.report(new).map(|r| r.lineage.clone()) else {
                return;
            };
            let order = DemoteRequest {
                epoch: switch.epoch,
                lineage,
                clean_at: switch.point.filter(|_| !switch.forced),
                requested_primary: self.sites[new].name.clone(),
            };
            drop(self.give(old, Request::Demote(order).into()));
        } else if switch.forced && self.now.saturating_sub(switch.since) > DEMOTE_WAIT_MS {
            self.operator.diverged[old] = true;
            self.operator.committed = None;
            self.moved();
        } else {
            self.renew_stuck(old);
            self.now += 1_000;
        }
    }

    /// A side that was primary and missed the move of the role is demoted first of all.
    pub(super) fn fence_old_primary(&mut self) -> bool {
        let standby = 1 - self.operator.primary;
        let stale = self
            .report(standby)
            .is_some_and(|r| r.role == Role::Primary && r.epoch < self.operator.epoch);
        let promoting = |s: Switch| !matches!(s.step, Move::Gate | Move::LastCut);
        if !stale || self.operator.switch.is_some_and(promoting) {
            return false;
        }
        let primary = self.operator.primary;
        let Some(lineage) = self.report(primary).map(|r| r.lineage.clone()) else {
            let device = self.sites[primary]
                .process
                .as_ref()
                .map(|(device, _)| *device);
            // A mover that could not read its superblock reads it when it starts again.
            self.renew_stuck(primary);
            self.want(primary, device.unwrap_or(Device::None));
            return true;
        };
        self.sites[standby].open = false;
        let demote = DemoteRequest {
            epoch: self.operator.epoch,
            lineage,
            clean_at: None,
            requested_primary: self.sites[primary].name.clone(),
        };
        self.operator.diverged[standby] = true;
        drop(self.give(standby, Request::Demote(demote).into()));
        true
    }

    fn moved(&mut self) {
        let epoch = self.operator.epoch;
        self.operator.switch = None;
        self.operator.next_cycle = self.now;
        self.story.tell(self.now, 2, || {
            format!("the role has moved in epoch {epoch}")
        });
    }
}
