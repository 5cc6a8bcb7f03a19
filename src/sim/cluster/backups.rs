//! Copies of a side as a whole, its state volume and its volume of one moment, and what happens when an
//! older one is put back: of a standby, of a primary, of an epoch that is over.

use std::collections::BTreeSet;

use rand::Rng;

use crate::SimDisk;
use crate::cluster::world::{PAIR, SITES, World};
use api::names;
use protocol::pair::Record;
use protocol::units::{ImageState, Role};

/// A copy of a side.
pub(crate) struct Backup {
    state: SimDisk,
    volume: SimDisk,
    record: Record,
    damaged: bool,
    rotten: BTreeSet<u64>,
}

impl World {
    /// Takes a copy of a side, or puts an older one back.
    pub(crate) fn backup(&mut self, at: usize) {
        if self.is_moving() {
            return;
        }
        match self.data.backups[at].take() {
            Some(backup)
                if self.random.random_range(0..3) > 0 && self.can_go_on_after(at, &backup) =>
            {
                self.put_back(at, &backup);
            }
            _ => self.data.backups[at] = self.copy_of(at),
        }
    }

    fn copy_of(&mut self, at: usize) -> Option<Backup> {
        let record = self.superblock(at)?;
        let seed = self.random.random();
        let device = self.server.storage.device(self.volumes[at].as_ref()?)?;
        Some(Backup {
            state: self.state_files(at)?.clone_durable(seed),
            volume: device.backup(seed),
            record,
            damaged: self.data.damaged[at],
            rotten: self.oracle.rotten[at].clone(),
        })
    }

    /// Whether there is a way on: a side that leads, or one that can be promoted. Where the newest
    /// epoch is known only to a side without a complete image, both sides were lost, and no rule repairs it.
    /// Nobody puts a volume back under an application that runs, nor a standby's in the place of one whose
    /// claim the application has.
    fn can_go_on_after(&self, at: usize, backup: &Backup) -> bool {
        let mounted = self.volumes[at]
            .as_ref()
            .is_none_or(|volume| self.app_mounts().contains(volume));
        let role = self.superblock(at).map(|record| record.role);
        let lost = role == Some(Role::Primary) && backup.record.role == Role::Standby;
        let Some(other) = self.superblock(1 - at).filter(|_| !mounted && !lost) else {
            return false;
        };
        let newest = backup.record.epoch.max(other.epoch);
        let fit = |record: &&Record| {
            record.role == Role::Primary
                || (!record.diverged && matches!(record.image, ImageState::Consistent(_)))
        };
        let known = [&backup.record, &other];
        let mut know_the_newest = known.iter().filter(|record| record.epoch == newest);
        know_the_newest.any(fit)
    }

    fn put_back(&mut self, at: usize, backup: &Backup) {
        let state = names::state_claim(PAIR, SITES[at]);
        let state = self.server.handle_of_claim(&state);
        let (Some(state), Some(volume)) = (state, self.volumes[at].clone()) else {
            return;
        };
        if self.movers[at].is_some() {
            self.end_mover(at, None);
            self.server.fail_pod(&names::mover(PAIR, SITES[at]));
        }
        let seed = self.random.random();
        let storage = &mut self.server.storage;
        storage.put_back(&state, &volume, (&backup.state, &backup.volume), seed);
        self.data.damaged[at] |= backup.damaged;
        self.data.forget(at);
        self.oracle.went_back(at, &backup.rotten);
        if backup.record.role == Role::Primary {
            self.app.went_back();
        }
        self.staged_may_be_lost();
        let (role, epoch) = (backup.record.role, backup.record.epoch);
        let now = self.millis();
        self.story.tell(now, at, || {
            format!("an older copy is put back: {role:?} in epoch {epoch}")
        });
        self.server.changed();
    }
}
