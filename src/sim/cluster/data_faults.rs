//! What goes wrong with the data: processes, disks and frames, mixed by the seed.

use std::collections::VecDeque;

use rand::Rng;
use rand::rngs::StdRng;

use crate::SimDisk;
use crate::cluster::backups::Backup;
use crate::cluster::data_kinds::DataFault;
use crate::cluster::requests::Given;
use crate::cluster::run::ClusterOptions;
use crate::cluster::storage::STATE_BYTES;
use crate::cluster::world::{APP_CLAIM, PAIR, SITES, World};
use crate::fault::Fault;
use crate::fuse::Death;
use crate::link::Mishap;
use crate::volume::Volume as Device;
use api::names;
use protocol::changes::BLOCK_BYTES;
use storage::seam::Disk as _;
use wire::control::{Request, Response};

/// Effects within which an armed fuse blows.
const EFFECTS_MAX: u64 = 60;

/// Of so many steps one has a fault that is to happen often.
const OFTEN_ONE_IN: u32 = 60;

/// Requests that are remembered, to be made again.
const GIVEN_MAX: usize = 24;

/// Faults by which kept digests may be lost.
const LOSING_DIGESTS: [DataFault; 4] = [
    DataFault::JournalFlip,
    DataFault::LostStateWrite,
    DataFault::MisplacedStateWrite,
    DataFault::Backup,
];

/// Which faults of the data a run has, how often, and what of them lasts.
#[derive(Default)]
pub(crate) struct DataFaults {
    kinds: Vec<DataFault>,
    /// Those that do not happen although they are drawn.
    without: Vec<DataFault>,
    one_in: u32,
    /// Something on a site's state volume was damaged.
    pub(crate) damaged: [bool; 2],
    /// A site's state volume was nearly full.
    pub(crate) full: [bool; 2],
    /// Copies of the sides.
    pub(crate) backups: [Option<Backup>; 2],
    /// Requests that were made, to be made again.
    given: VecDeque<(usize, Given)>,
}

impl DataFaults {
    /// Those of a run.
    pub(crate) fn drawn(random: &mut StdRng, options: &ClusterOptions) -> DataFaults {
        // A few kinds that meet often show something else than many that meet seldom.
        let in_five = random.random_range(1..5);
        let mut kinds: Vec<DataFault> = DataFault::ALL
            .into_iter()
            .filter(|_| random.random_range(0..5) < in_five)
            .collect();
        // Without the digests of its cut nobody can tell whether the primary is what is damaged: a run has
        // that fault, or those by which the digests may be lost.
        let rots = random.random_range(0..2) == 0;
        if kinds.contains(&DataFault::PrimaryRot) {
            kinds.retain(|kind| match kind {
                DataFault::PrimaryRot => rots,
                kind => !rots || !LOSING_DIGESTS.contains(kind),
            });
        }
        // A side that is put back knows an earlier size.
        if kinds.contains(&DataFault::Backup) {
            kinds.retain(|kind| *kind != DataFault::ShortCut);
        }
        kinds.push(DataFault::Kill);
        for _ in 0..kinds.len() {
            kinds.extend(&options.often_data);
        }
        DataFaults {
            kinds,
            without: options.without_data.clone(),
            one_in: [15, 30, 60][random.random_range(0..3)],
            ..DataFaults::default()
        }
    }

    /// These, and no others.
    pub(crate) fn only(kinds: &[DataFault]) -> DataFaults {
        DataFaults {
            kinds: kinds.to_vec(),
            one_in: OFTEN_ONE_IN,
            ..DataFaults::default()
        }
    }

    /// Whether a write to a state volume may be lost in this run without an error.
    fn misleads(&self) -> bool {
        let harm = [DataFault::LostStateWrite, DataFault::MisplacedStateWrite];
        self.kinds.iter().any(|kind| harm.contains(kind))
    }

    /// Requests to a side that is put back have died with it.
    pub(crate) fn forget(&mut self, at: usize) {
        self.given.retain(|(to, _)| *to != at);
    }

    /// Remembers a request.
    pub(crate) fn remember(&mut self, at: usize, given: Given) {
        self.given.push_back((at, given));
        if self.given.len() > GIVEN_MAX {
            // Promotions stay: what an old one does much later has to be known.
            let plain = |(_, given): &(usize, Given)| !promotes(given);
            let oldest = self.given.iter().position(plain).unwrap_or(0);
            self.given.remove(oldest);
        }
    }
}

impl World {
    /// Perhaps something goes wrong with the data now.
    pub(crate) fn data_fault(&mut self) {
        if self.data.kinds.is_empty() || self.random.random_range(0..self.data.one_in) != 0 {
            return;
        }
        let kind = self.data.kinds[self.random.random_range(0..self.data.kinds.len())];
        let at = self.random.random_range(0..2);
        if self.data.without.contains(&kind) {
            return;
        }
        let now = self.millis();
        self.story.tell(now, at, || format!("fault: {kind:?}"));
        match kind {
            DataFault::Kill => self.arm(at, Death::Kill),
            DataFault::Power => self.arm(at, Death::Power),
            DataFault::DiskError | DataFault::VolumeError => self.disk_error(at, kind),
            DataFault::Full => self.fill_up(at),
            DataFault::VolumeFull => {
                let after = self.random.random_range(0..20);
                if let Some(device) = self.writable_device(at) {
                    device.disk.fail(Fault::full(after));
                }
            }
            DataFault::WireFlip => self.net.next_frame = Mishap::Flip,
            DataFault::Twice => self.net.next_frame = Mishap::Twice,
            DataFault::Overtake => self.net.next_frame = Mishap::Overtake,
            DataFault::JournalFlip => self.journal_flip(at),
            DataFault::Repeat => self.repeat(),
            DataFault::Grow => self.app_grows(),
            DataFault::Hang | DataFault::SlowOpen => self.slow_down(at, kind),
            DataFault::LostStateWrite => self.mislead(at, None),
            DataFault::MisplacedStateWrite => self.mislead(at, Some(BLOCK_BYTES)),
            DataFault::Rot => self.rot_standby(at),
            DataFault::PrimaryRot => {
                self.rot.cut_rots = true;
                self.want_comparison();
            }
            DataFault::ShortCut => {
                self.server.storage.short_clone = self.status().committed_point.is_some();
            }
            DataFault::Backup => self.backup(at),
        }
    }

    fn arm(&mut self, at: usize, death: Death) {
        let after = self.random.random_range(0..EFFECTS_MAX);
        if let Some(mover) = &self.movers[at] {
            mover.host.setup.fuse.arm(after, death);
        }
    }

    /// The files of a site's state volume.
    pub(crate) fn state_files(&self, at: usize) -> Option<&SimDisk> {
        let claim = names::state_claim(PAIR, SITES[at]);
        let handle = self.server.handle_of_claim(&claim)?;
        self.server.storage.files(&handle)
    }

    /// What a site's mover writes to. The application's own writes do not fail: what it holds would be no
    /// promise of anybody.
    fn writable_device(&self, at: usize) -> Option<&Device> {
        let volume = self.volumes[at].as_ref()?;
        if self.app_mounts().contains(volume) {
            return None;
        }
        self.server.storage.device(volume)
    }

    /// What a site's mover reads.
    fn read_device(&self, at: usize) -> Option<&Device> {
        let mover = self.movers[at].as_ref()?;
        self.server.storage.device(mover.device.as_ref()?)
    }

    fn disk_error(&mut self, at: usize, kind: DataFault) {
        let last = match kind {
            DataFault::DiskError => 4,
            _ if self.writable_device(at).is_none() => 1,
            _ => 3,
        };
        let fault = Fault::drawn(&mut self.random, last);
        let disk = match kind {
            DataFault::DiskError => self.state_files(at),
            _ => {
                let device = self.writable_device(at).or_else(|| self.read_device(at));
                device.map(|device| &device.disk)
            }
        };
        if let Some(disk) = disk {
            disk.fail(fault);
        }
    }

    /// There is hardly any room on a state volume from now on.
    fn fill_up(&mut self, at: usize) {
        let room = [0, 4 << 20][self.random.random_range(0..2)];
        let room = room + self.random.random_range(0..64 * 1024);
        self.data.full[at] = true;
        if let Some(files) = self.state_files(at) {
            files.set_capacity(STATE_BYTES);
            let free = files.free_bytes().unwrap_or(0);
            files.set_capacity(STATE_BYTES.saturating_sub(free) + room);
        }
    }

    /// A bit of a file on a state volume turns round. Of the superblock one copy is hit: two would be a
    /// side that is held, not one that goes on; so is one of which a save was cut short.
    fn journal_flip(&mut self, at: usize) {
        let Some(files) = self.state_files(at).cloned() else {
            return;
        };
        let all = files.names().unwrap_or_default();
        if all.is_empty() {
            return;
        }
        let name = &all[self.random.random_range(0..all.len())];
        let bytes = files.durable(name).unwrap_or_default();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let len = match name.as_str() {
            // Nor is one hit where a write to the other may have been lost.
            "superblock" if first != second || self.data.misleads() => return,
            "superblock" => first.len(),
            _ => bytes.len(),
        };
        if len > 0 {
            let byte = self.random.random_range(0..len) as u64;
            let bit = self.random.random_range(0..8);
            self.data.damaged[at] |= files.flip(name, byte, bit);
            // Of the superblock there is a second copy.
            if name != "superblock" {
                self.staged_may_be_lost();
            }
            let now = self.millis();
            self.story
                .tell(now, at, || format!("a bit of {name} flips"));
        }
    }

    /// An earlier request comes again.
    fn repeat(&mut self) {
        let given = &self.data.given;
        if given.is_empty() {
            return;
        }
        let mut index = self.random.random_range(0..given.len());
        if let Some(oldest) = given.iter().position(|(_, given)| promotes(given))
            && self.random.random()
        {
            index = oldest;
        }
        let (at, given) = self.data.given[index].clone();
        if matches!(given.request, Request::Verify(_)) {
            self.resent.begins_again(at);
        }
        let now = self.millis();
        self.story.tell(now, at, || "a request comes again".into());
        if let Some(mover) = &mut self.movers[at] {
            let id = mover.host.ask(given.request, &mut self.net, now);
            let answer = mover.host.answer_to(id);
            if !given.parts.is_empty() && matches!(answer, Some(Response::Accepted)) {
                mover.host.parts = given.parts.into();
            }
        }
    }

    /// A write to a state volume is lost, or lands further on.
    fn mislead(&mut self, at: usize, shift: Option<u64>) {
        let after = self.random.random_range(0..20);
        if let Some(files) = self.state_files(at) {
            files.mislead(after, shift);
        }
    }

    /// Notes which state volumes are damaged since the last step by a write that went astray.
    pub(crate) fn note_astray(&mut self) {
        if !self.data.misleads() {
            return;
        }
        for at in 0..2 {
            if self.state_files(at).is_some_and(SimDisk::has_misled) {
                self.data.damaged[at] = true;
                self.staged_may_be_lost();
            }
        }
    }

    /// The application's people ask for a larger claim.
    fn app_grows(&mut self) {
        let Some(device) = self.app_device() else {
            return;
        };
        let bytes = device.size() + self.random.random_range(1..6) * BLOCK_BYTES;
        if self.server.grow_claim(APP_CLAIM, bytes).is_ok() {
            self.app_has_grown(bytes);
        }
    }

    /// A mover's devices do not answer, or take long to be opened.
    fn slow_down(&mut self, at: usize, kind: DataFault) {
        let until = self.millis() + self.random.random_range(1_000..180_000);
        if let Some(mover) = &mut self.movers[at] {
            match kind {
                DataFault::Hang => mover.host.slow_until(until, 0),
                _ => mover.host.slow_until(0, until),
            }
        }
    }

    /// Everything works again; what is lost stays lost.
    pub(crate) fn heal_data(&mut self) {
        for mover in self.movers.iter_mut().flatten() {
            mover.host.slow_until(0, 0);
        }
        self.net.next_frame = Mishap::None;
        self.server.storage.heal();
    }
}

fn promotes(given: &Given) -> bool {
    matches!(given.request, Request::Promote(_))
}
