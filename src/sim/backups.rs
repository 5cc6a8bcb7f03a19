//! Copies of a side as a whole, its state volume and its volume of one moment, and what happens
//! when an older one is put back: of a standby, of a primary, of an epoch that is over.

use std::collections::BTreeSet;

use rand::Rng;

use crate::SimDisk;
use crate::operator::Move;
use crate::world::World;
use protocol::pair::Record;
use protocol::units::{ImageState, Role};

/// A copy of a side.
pub(super) struct Backup {
    meta: SimDisk,
    volume: SimDisk,
    record: Record,
    damaged: bool,
    rotten: BTreeSet<u64>,
}

impl World {
    /// Takes a copy of a side, or puts an older one back.
    pub(super) fn backup(&mut self, at: usize) {
        if self.operator.switch.is_some() {
            return;
        }
        match self.faults.backups[at].take() {
            Some(backup) if !self.chance(3) && self.can_go_on_after(at, &backup) => {
                self.put_back(at, &backup);
            }
            _ => self.faults.backups[at] = self.copy_of(at),
        }
    }

    fn copy_of(&mut self, at: usize) -> Option<Backup> {
        let record = self.oracle.record(at)?.clone();
        let seed = self.random.random();
        let site = &self.sites[at];
        Some(Backup {
            meta: site.meta.clone_durable(seed),
            volume: site.volume.backup(seed),
            record,
            damaged: site.damaged,
            rotten: self.oracle.rotten(at).clone(),
        })
    }

    /// Whether there is a way on: a side that leads, or one that can be promoted. Where the newest
    /// epoch is known only to a side without a complete image, both sides were lost, and no rule repairs it.
    fn can_go_on_after(&self, at: usize, backup: &Backup) -> bool {
        let Some(other) = self.oracle.record(1 - at) else {
            return false;
        };
        let newest = backup.record.epoch.max(other.epoch);
        let fit = |record: &&Record| {
            record.role == Role::Primary
                || (!record.diverged && matches!(record.image, ImageState::Consistent(_)))
        };
        let known = [&backup.record, other];
        let mut know_the_newest = known.iter().filter(|record| record.epoch == newest);
        know_the_newest.any(fit)
    }

    fn put_back(&mut self, at: usize, backup: &Backup) {
        self.stop(at, None);
        let seed = self.random.random();
        let site = &mut self.sites[at];
        site.meta = backup.meta.clone_durable(seed);
        site.volume.restore(&backup.volume, seed);
        site.damaged |= backup.damaged;
        // Whoever puts a copy back starts the application again where it has the role by that copy.
        site.open = backup.record.role == Role::Primary;
        let bytes = site.volume.bytes();
        self.oracle.went_back(at, Some((&bytes, &backup.rotten)));
        self.staged_may_be_lost();
        self.operator.verifying = None;
        // Orders to the process before it have died with it.
        self.given.retain(|(to, _)| *to != at);
        if self.chance(2) {
            self.operator.cycle = None;
        }
        let (role, epoch) = (backup.record.role, backup.record.epoch);
        self.story.tell(self.now, at, || {
            format!("an older copy is put back: {role:?} in epoch {epoch}")
        });
    }

    /// Nobody leads in the newest epoch: people promote the side that can be. A planned move, which
    /// no site is left to cut and ship for, becomes a forced one.
    pub(super) fn give_the_role_away(&mut self, faulty: bool) {
        if !self.operator.leaderless || (faulty && !self.chance(8)) {
            return;
        }
        match &mut self.operator.switch {
            Some(switch) => {
                switch.forced = true;
                switch.step = Move::Gate;
                switch.point = None;
            }
            None => self.requested_primary(true),
        }
    }
}
