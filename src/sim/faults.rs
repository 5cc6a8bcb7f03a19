//! What goes wrong, and what people do, mixed by the seed.

use rand::Rng;
use rand::rngs::StdRng;

use crate::SimDisk;
use crate::backups::Backup;
use crate::fault::Fault;
use crate::fault_kinds::Kind;
use crate::fuse::Death;
use crate::image::Tag;
use crate::link::Mishap;
use crate::operator::{Move, Switch};
use crate::oracle::blocks;
use crate::world::{Device, Given, META_BYTES, Site, World};
use protocol::changes::BLOCK_BYTES;
use storage::journal::DigestStore;
use storage::seam::Disk;

/// Effects within which an armed fuse blows.
const EFFECTS_MAX: u64 = 60;

/// Bits that turn round at once in a cut of the primary.
const ROTTEN_BITS: u32 = 8;

/// Which faults a run has, how often, and what of them lasts.
pub(super) struct Faults {
    kinds: Vec<Kind>,
    /// Those that do not happen although they are drawn.
    without: Vec<Kind>,
    one_in: u32,
    /// The old primary can't be reached.
    pub(super) old_is_away: bool,
    /// The next device that is made of a cut is too short.
    pub(super) short_cut: bool,
    /// The primary's committed cut rots before it is read again.
    cut_rots: bool,
    pub(super) backups: [Option<Backup>; 2],
}

/// Faults by which kept digests may be lost.
const LOSING_DIGESTS: [Kind; 4] = [
    Kind::JournalFlip,
    Kind::LostStateWrite,
    Kind::MisplacedStateWrite,
    Kind::Backup,
];

impl Faults {
    /// Those of a run.
    pub(super) fn drawn(random: &mut StdRng, without: &[Kind], later: &[Kind]) -> Faults {
        let mut kinds: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|_| random.random_range(0..5) < 3)
            .collect();
        // Without the digests of its cut nobody can tell whether the primary is what is damaged: a run has
        // that fault, or those by which the digests may be lost.
        let rots = random.random_range(0..2) == 0;
        if kinds.contains(&Kind::PrimaryRot) {
            kinds.retain(|kind| match kind {
                Kind::PrimaryRot => rots,
                kind => !rots || !LOSING_DIGESTS.contains(kind),
            });
        }
        kinds.extend([Kind::Heal, Kind::Consent, Kind::Kill]);
        kinds.extend(later);
        Faults {
            kinds,
            without: without.to_vec(),
            one_in: [20, 40, 80][random.random_range(0..3)],
            old_is_away: false,
            short_cut: false,
            cut_rots: false,
            backups: [None, None],
        }
    }

    /// Whether a write to a state volume may be lost in this run without an error.
    fn misleads(&self) -> bool {
        let harm = [Kind::LostStateWrite, Kind::MisplacedStateWrite];
        self.kinds.iter().any(|kind| harm.contains(kind))
    }
}

impl World {
    /// The application writes: data, zeros and discards.
    pub(super) fn application(&mut self, faulty: bool) {
        if !faulty {
            return;
        }
        for at in 0..2 {
            if !self.sites[at].open || self.chance(3) {
                continue;
            }
            let all = blocks(self.sites[at].volume.size());
            let first = self.random.random_range(0..all);
            let count = self.random.random_range(1..=6).min(all - first);
            let zeros = self.chance(3);
            let mut writes: Vec<(u64, Tag)> = Vec::new();
            for block in first..first + count {
                // Sometimes a block goes back to what it was before.
                let old = self.chance(4) && self.next_tag > 4;
                let tag = match (zeros, old) {
                    (true, _) => 0,
                    (false, true) => self.random.random_range(1..=4),
                    (false, false) => {
                        self.next_tag += 1;
                        self.next_tag
                    }
                };
                writes.push((block, tag));
            }
            self.sites[at].volume.write(&writes);
            self.oracle.wrote(at, &writes);
        }
    }

    /// Perhaps something goes wrong now.
    pub(super) fn fault(&mut self) {
        if self.random.random_range(0..self.faults.one_in) != 0 {
            return;
        }
        let kind = self.faults.kinds[self.random.random_range(0..self.faults.kinds.len())];
        let at = self.random.random_range(0..2);
        if self.faults.without.contains(&kind) {
            return;
        }
        self.story.tell(self.now, at, || format!("fault: {kind:?}"));
        match kind {
            Kind::Kill | Kind::Power => {
                let death = if kind == Kind::Power {
                    Death::Power
                } else {
                    Death::Kill
                };
                let after = self.random.random_range(0..EFFECTS_MAX);
                self.sites[at].fuse.arm(after, death);
            }
            Kind::Cut => {
                self.net.cut(self.now);
                self.net.down_until = self.now + self.random.random_range(0..15_000);
            }
            Kind::DiskError | Kind::VolumeError => self.disk_error(at, kind),
            Kind::Full => self.fill_up(at),
            // The application's own writes do not fail: what it holds would be no promise of anybody.
            Kind::VolumeFull if self.sites[at].open => {}
            Kind::VolumeFull => {
                let after = self.random.random_range(0..20);
                self.sites[at].volume.disk.fail(Fault::full(after));
            }
            Kind::Rot => self.rot(at),
            Kind::PrimaryRot => self.faults.cut_rots = true,
            // A side that is put back knows an earlier size.
            Kind::ShortCut => {
                let backups = self.faults.kinds.contains(&Kind::Backup);
                self.faults.short_cut = self.operator.committed.is_some() && !backups;
            }
            Kind::WireFlip => self.net.next_frame = Mishap::Flip,
            Kind::Twice => self.net.next_frame = Mishap::Twice,
            Kind::Overtake => self.net.next_frame = Mishap::Overtake,
            Kind::JournalFlip => self.journal_flip(at),
            // Nothing is decided by what time it is, but time-outs are: hours pass at once.
            Kind::Clock => self.now += self.random.random_range(0..7_200_000),
            Kind::Repeat => self.repeat(),
            Kind::OperatorRestart => {
                if let Some(cycle) = &mut self.operator.cycle {
                    cycle.fed = false;
                    cycle.retry_at = 0;
                }
                self.operator.careless = self.chance(2);
            }
            Kind::StatusWiped if self.operator.switch.is_some() => {}
            Kind::StatusWiped => self.operator.forget(),
            Kind::Backup => self.backup(at),
            Kind::Grow => self.grow(),
            Kind::Planned | Kind::Forced => self.requested_primary(kind == Kind::Forced),
            Kind::Consent => {
                // Now and then it is the consent of an earlier day.
                self.operator.consent = Some(self.operator.epoch);
                self.faults.old_is_away = self.chance(3);
            }
            Kind::Heal => self.heal(),
            Kind::Hang | Kind::SlowOpen => self.slow_down(at, kind),
            Kind::LostStateWrite => self.mislead(at, None),
            Kind::MisplacedStateWrite => self.mislead(at, Some(BLOCK_BYTES)),
        }
    }

    /// Everything works again; what is lost stays lost.
    pub(super) fn heal(&mut self) {
        for site in &mut self.sites {
            if let Some((_, process)) = &mut site.process {
                process.slow_until(0, 0);
            }
            site.meta.heal();
            site.volume.disk.heal();
            site.meta.set_capacity(META_BYTES);
        }
        self.net.down_until = 0;
        self.net.next_frame = Mishap::None;
        self.faults.old_is_away = false;
        self.faults.short_cut = false;
        self.faults.cut_rots = false;
    }

    /// Bits of the primary's committed cut turn round when its mover is given that cut.
    pub(super) fn rot_primary(&mut self, at: usize, device: Device) {
        let Device::Cut(point) = device else {
            return;
        };
        if self.operator.committed != Some(point) || !std::mem::take(&mut self.faults.cut_rots) {
            return;
        }
        // Without digests of it nobody can tell whose copy is damaged.
        let kept = DigestStore::peek(&self.sites[at].meta).ok().flatten();
        if kept.is_none_or(|(of, _)| of != point) {
            return;
        }
        let size = self.sites[at].volume.size();
        for _ in 0..ROTTEN_BITS {
            let byte = self.random.random_range(0..size);
            self.sites[at].volume.flip_cut(point, byte);
        }
        self.story
            .tell(self.now, at, || format!("cut {point} has rotted"));
    }

    /// There is hardly any room on a state volume from now on.
    fn fill_up(&mut self, at: usize) {
        let spare = [0, 4 << 20][self.random.random_range(0..2)];
        let room = spare + self.random.random_range(0..64 * 1024);
        self.sites[at].full = true;
        let meta = &self.sites[at].meta;
        meta.set_capacity(used(meta) + room);
    }

    /// A write to a state volume is lost, or lands further on.
    fn mislead(&mut self, at: usize, shift: Option<u64>) {
        let after = self.random.random_range(0..20);
        self.sites[at].meta.mislead(after, shift);
    }

    /// Notes which state volumes are damaged since the last step by a write that went astray.
    pub(super) fn note_astray(&mut self) {
        for at in 0..2 {
            if self.sites[at].meta.has_misled() {
                self.sites[at].damaged = true;
                self.staged_may_be_lost();
            }
        }
    }

    /// A mover's devices do not answer, or take long to be opened.
    fn slow_down(&mut self, at: usize, kind: Kind) {
        let until = self.now + self.random.random_range(1_000..180_000);
        if let Some((_, process)) = &mut self.sites[at].process {
            match kind {
                Kind::Hang => process.slow_until(until, 0),
                _ => process.slow_until(0, until),
            }
        }
    }

    fn disk_error(&mut self, at: usize, kind: Kind) {
        // Nor are the application's own writes made to fail here.
        let last = match kind {
            Kind::DiskError => 4,
            _ if self.sites[at].open => 1,
            _ => 3,
        };
        let fault = Fault::drawn(&mut self.random, last);
        if kind == Kind::DiskError {
            self.sites[at].meta.fail(fault);
        } else {
            self.sites[at].volume.disk.fail(fault);
        }
    }

    fn journal_flip(&mut self, at: usize) {
        let names = self.sites[at].meta.names().unwrap_or_default();
        if names.is_empty() {
            return;
        }
        let name = names[self.random.random_range(0..names.len())].clone();
        let len = self.sites[at]
            .meta
            .durable(&name)
            .map_or(0, |b| b.len() as u64);
        // Of the superblock one copy is hit: two would be a side that is held, not one that converges.
        // Where a save was cut short it may be the only new one: then nothing was saved.
        let len = if name == "superblock" { len / 2 } else { len };
        // Nor is one hit where a write to the other may have been lost.
        if name == "superblock" && self.faults.misleads() {
            return;
        }
        if name == "superblock" && self.sites[at].half_saved() {
            self.oracle.went_back(at, None);
        }
        if len > 0 {
            let byte = self.random.random_range(0..len);
            let bit = self.random.random_range(0..8);
            self.sites[at].damaged |= self.sites[at].meta.flip(&name, byte, bit);
            // Of the superblock there is a second copy.
            if name != "superblock" {
                self.staged_may_be_lost();
            }
            self.story
                .tell(self.now, at, || format!("a bit of {name} flips"));
        }
    }

    fn repeat(&mut self) {
        if self.given.is_empty() {
            return;
        }
        let mut index = self.random.random_range(0..self.given.len());
        let moves = |(_, given): &(usize, Given)| given.moves();
        if let Some(oldest) = self.given.iter().position(moves)
            && self.chance(2)
        {
            index = oldest;
        }
        let (at, given) = self.given[index].clone();
        self.story
            .tell(self.now, at, || "an order comes again".into());
        drop(self.deliver(at, given));
    }

    fn grow(&mut self) {
        let at = self.operator.primary;
        if !self.sites[at].open {
            return;
        }
        let size = self.sites[at].volume.size() + self.random.random_range(1..6) * BLOCK_BYTES;
        self.sites[at].volume.grow(size);
        self.oracle.grew(at, size);
    }

    /// Somebody wants the role to move.
    pub(super) fn requested_primary(&mut self, forced: bool) {
        let o = &self.operator;
        let to = 1 - o.primary;
        let possible = o.switch.is_none() && o.committed.is_some() && !o.diverged[to];
        if !possible {
            return;
        }
        let epoch = self.operator.epoch.next();
        let salt = self.random.random_range(1..u64::from(u32::MAX));
        self.operator.switch = Some(Switch {
            forced,
            to,
            epoch,
            generation: self.operator.generation(epoch, salt),
            step: Move::Gate,
            since: self.now,
            point: None,
        });
    }
}

impl Site {
    /// Whether the two copies of the superblock differ: a save was cut short.
    fn half_saved(&self) -> bool {
        let bytes = self.meta.durable("superblock").unwrap_or_default();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        first != second
    }
}

/// Bytes in use on a state volume.
fn used(meta: &SimDisk) -> u64 {
    let names = meta.names().unwrap_or_default();
    let files = names.iter().filter_map(|name| meta.open(name).ok()?);
    files.map(|file| file.size()).sum()
}
