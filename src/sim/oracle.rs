//! What must hold after every step, worked out slowly from what was written and cut, and never from
//! what the code under test says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::SimDisk;
use crate::image::{BLOCK, Image, Tag};
use crate::resent::Sent;
use crate::world::{Site, World};
use mover_core::translate;
use protocol::changes::{RegionKind, blocks_of};
use protocol::pair::Record;
use protocol::units::{Epoch, Extent, Generation, ImageState, Point, Role};
use storage::journal::{Staging, StagingOutcome, SuperblockStore};
use storage::seam::Disk;

/// What is known of a side from its storage.
#[derive(Default)]
struct Seen {
    superblock: Vec<u8>,
    record: Option<Record>,
    /// What a diverged side held when it was demoted.
    frozen: Option<Vec<u8>>,
}

/// The oracle.
pub(super) struct Oracle {
    /// What the application has written at each side.
    model: [Image; 2],
    /// Every cut that was ever made.
    cuts: BTreeMap<Point, Image>,
    /// Which side was asked to start which epoch, and as what.
    ordered: BTreeSet<(Epoch, usize, Generation)>,
    seen: [Seen; 2],
    /// Whether each side has had its first superblock.
    pub(super) begun: [bool; 2],
    /// Shipments that were begun.
    pub(super) attempts: u64,
    /// Cycles that were committed.
    pub(super) commits: u64,
    /// Moves of the role.
    pub(super) moves: u64,
    /// Ranges that were verified.
    pub(super) verified: u64,
    /// The blocks of each side where it may differ from what was cut, because something has rotted.
    rotten: [BTreeSet<u64>; 2],
    /// What is being sent.
    pub(super) sent: Option<Sent>,
    /// The cut of which anything may be sent again, for a good reason.
    pub(super) excused: Option<Point>,
    /// A cut was committed, and no side was put back since: both have a snapshot of one cut.
    in_common: bool,
    /// The snapshots that are known to be what was cut.
    proved: [BTreeSet<Point>; 2],
}

impl Oracle {
    /// Of two volumes of zeros.
    pub(super) fn new(size: u64) -> Oracle {
        Oracle {
            model: [Image::zeros(size), Image::zeros(size)],
            cuts: BTreeMap::new(),
            ordered: BTreeSet::new(),
            seen: Default::default(),
            begun: [false; 2],
            attempts: 0,
            commits: 0,
            moves: 0,
            verified: 0,
            rotten: Default::default(),
            sent: None,
            excused: None,
            in_common: false,
            proved: Default::default(),
        }
    }

    /// The application has written.
    pub(super) fn wrote(&mut self, at: usize, writes: &[(u64, Tag)]) {
        for (block, tag) in writes {
            self.model[at].write(*block, *tag);
        }
    }

    /// A side's volume has grown.
    pub(super) fn grew(&mut self, at: usize, size: u64) {
        self.model[at].grow(size);
    }

    /// A cut was made at a side.
    pub(super) fn cut(&mut self, at: usize, point: Point) {
        self.cuts.insert(point, self.model[at].clone());
    }

    /// A cut is committed at both sides.
    pub(super) fn committed(&mut self) {
        self.commits += 1;
        self.in_common = true;
    }

    /// A side is asked to become primary.
    pub(super) fn promotes(&mut self, epoch: Epoch, at: usize, generation: Generation) {
        self.ordered.insert((epoch, at, generation));
    }

    /// What a side's volume ought to hold while the application writes there.
    pub(super) fn model(&self, at: usize) -> &Image {
        &self.model[at]
    }

    /// A block of a standby has rotted.
    pub(super) fn rotted(&mut self, at: usize, block: u64) {
        self.rotten[at].insert(block);
    }

    /// What may have rotted at a side.
    pub(super) fn rotten(&self, at: usize) -> &BTreeSet<u64> {
        &self.rotten[at]
    }

    /// Both sides were compared there: from now on they are the same.
    pub(super) fn verified(&mut self, standby: usize, range: Extent) {
        self.verified += 1;
        let compared = blocks_of(range);
        self.rotten[standby].retain(|block| !compared.contains(block));
    }

    /// What a side's storage says of it.
    pub(super) fn record(&self, at: usize) -> Option<&Record> {
        self.seen[at].record.as_ref()
    }

    /// A side has gone back in time: what it committed since is not there any more. With `volume`
    /// it did so as a whole, and the application goes on from there.
    pub(super) fn went_back(&mut self, at: usize, volume: Option<(&[u8], &BTreeSet<u64>)>) {
        self.seen[at] = Seen::default();
        if let Some((bytes, rotten)) = volume {
            self.model[at] = Image::of(bytes);
            self.rotten[at].extend(rotten);
            // Its snapshots may be of what it does not hold any more.
            self.in_common = false;
        }
    }
}

impl World {
    /// Everything that must hold now.
    ///
    /// # Errors
    /// What does not, as a sentence.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for at in 0..2 {
            self.look(at)?;
            let Some(record) = self.oracle.seen[at].record.clone() else {
                continue;
            };
            let name = ["east", "west"][at];
            match record.role {
                Role::Primary => self.primary_holds(at, &record),
                Role::Standby => self.standby_holds(at, &record),
            }
            .map_err(|why| format!("{name}: {why}"))?;
        }
        self.snapshots_hold()?;
        self.follow_shipment()
    }

    /// Reads the superblock from the storage, as a crash now would leave it.
    fn look(&mut self, at: usize) -> Result<(), String> {
        let bytes = self.sites[at]
            .meta
            .durable("superblock")
            .unwrap_or_default();
        if bytes.is_empty() || bytes == self.oracle.seen[at].superblock {
            return Ok(());
        }
        let disk = disk_with("superblock", &bytes)?;
        let read = SuperblockStore::open(Arc::new(disk));
        let Ok((_, Some(superblock))) = read else {
            // Half-way through a save both copies are never unusable at once.
            return match self.sites[at].damaged {
                true => Ok(()),
                false => Err(format!("side {at} has no superblock that can be read")),
            };
        };
        let record = translate::record_of(&superblock);
        let before = self.oracle.seen[at].record.replace(record.clone());
        self.oracle.seen[at].superblock = bytes;
        let rose = record.role == Role::Primary
            && before
                .as_ref()
                .is_some_and(|before| before.role == Role::Standby);
        if rose {
            self.rose(at, &record)?;
        } else if let (Some(before), Some(point)) = (&before, record.committed)
            && before.committed != Some(point)
            && !self.sites[at].volume.snapshots.contains_key(&point)
        {
            return Err(format!(
                "{point} is committed, but there is no snapshot of it"
            ));
        }
        let was = before.as_ref().is_some_and(|before| before.diverged);
        if was && !record.diverged {
            let epoch = record.lineage.last().map(|entry| entry.epoch);
            if epoch.is_none() || self.operator.consent != epoch {
                return Err("writes that nobody else has were discarded without consent".into());
            }
        }
        if record.diverged && !was {
            self.oracle.seen[at].frozen = Some(self.sites[at].volume.bytes());
        }
        if !record.diverged {
            self.oracle.seen[at].frozen = None;
        }
        Ok(())
    }

    /// A standby has become primary: with which image?
    fn rose(&mut self, at: usize, record: &Record) -> Result<(), String> {
        self.oracle.moves += 1;
        let point = record.head().ok_or("a primary rose from no point")?;
        let bytes = self.sites[at].volume.bytes();
        self.is_at(at, point, &bytes)?;
        let Some(image) = self.oracle.cuts.get(&point) else {
            return Ok(());
        };
        // What has rotted here is what the application finds: now it is the other side that differs.
        let rotten = std::mem::take(&mut self.oracle.rotten[at]);
        let model = &mut self.oracle.model[at];
        model.grow(self.sites[at].volume.size());
        model.take_over(image);
        model.take_blocks(&bytes, &rotten);
        self.oracle.rotten[1 - at].extend(rotten);
        self.story
            .tell(self.now, at, || format!("is primary from {point}"));
        Ok(())
    }

    fn is_at(&self, at: usize, point: Point, bytes: &[u8]) -> Result<(), String> {
        let Some(image) = self.oracle.cuts.get(&point) else {
            return Err(format!("it claims {point}, which was never cut"));
        };
        match image.differs(bytes, &self.oracle.rotten[at]) {
            None => Ok(()),
            Some(block) => Err(format!(
                "block {block} is not what it was at {point}, where a promotion now would begin"
            )),
        }
    }

    fn primary_holds(&self, at: usize, record: &Record) -> Result<(), String> {
        let generation = record.lineage.last().map(|entry| entry.generation);
        let first = record.epoch == Epoch::FIRST && at == 0;
        let command = |generation| (record.epoch, at, generation);
        let ordered = generation.is_some_and(|drawn| self.oracle.ordered.contains(&command(drawn)));
        if first || ordered {
            return Ok(());
        }
        Err(format!(
            "it is primary of epoch {} without an order",
            record.epoch
        ))
    }

    fn standby_holds(&mut self, at: usize, record: &Record) -> Result<(), String> {
        let bytes = self.sites[at].volume.bytes();
        if record.diverged {
            let allowed = self.operator.consent == Some(self.operator.epoch);
            let frozen = &mut self.oracle.seen[at].frozen;
            // A volume that grew has lost nothing.
            let lost = |frozen: &Vec<u8>| !bytes.starts_with(frozen);
            if frozen.as_ref().is_some_and(lost) {
                if !allowed {
                    return Err("writes that nobody else has were replaced without consent".into());
                }
                *frozen = None;
            }
            return Ok(());
        }
        match record.image {
            ImageState::Consistent(point) => self.is_at(at, point, &bytes)?,
            ImageState::Redo(point) => self.redo_holds(at, point, bytes)?,
            ImageState::None | ImageState::Inconsistent => {}
        }
        Ok(())
    }

    /// A complete set, written over the volume, is the cut.
    fn redo_holds(&self, at: usize, point: Point, bytes: Vec<u8>) -> Result<(), String> {
        let Some(bytes) = redone(&self.sites[at].meta, bytes) else {
            return match self.sites[at].damaged {
                true => Ok(()),
                false => Err(format!("it counts on a set of {point} that is not whole")),
            };
        };
        self.is_at(at, point, &bytes)
    }

    /// Both sides always have a snapshot of one cut, and neither has more than two.
    fn snapshots_hold(&mut self) -> Result<(), String> {
        if self.oracle.in_common && self.common_cuts().is_empty() {
            return Err("there is no cut any more that both sides have a snapshot of".into());
        }
        let known = self.oracle.proved.iter_mut().zip(&self.oracle.rotten);
        for (site, (proved, rotten)) in self.sites.iter().zip(known) {
            proved.retain(|point| site.volume.snapshots.contains_key(point));
            for (point, snapshot) in &site.volume.snapshots {
                let cut = self.oracle.cuts.get(point);
                if proved.insert(*point)
                    && cut.is_none_or(|cut| cut.differs(&snapshot.bytes, rotten).is_some())
                {
                    return Err(format!(
                        "{}: the snapshot of {point} is of something else",
                        site.name
                    ));
                }
            }
        }
        let settled = self.operator.switch.is_none() && self.operator.diverged == [false; 2];
        let many = |site: &Site| site.volume.snapshots.len() > 2;
        if settled && self.sites.iter().any(many) {
            return Err("there are more than two snapshots at a side".into());
        }
        Ok(())
    }

    /// What must hold once everything is healed and nothing is under way.
    ///
    /// # Errors
    /// What does not, as a sentence.
    pub(super) fn check_end(&self) -> Result<(), String> {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        let bytes = [0, 1].map(|at| self.sites[at].volume.bytes());
        let (model, none) = (self.oracle.model(primary), BTreeSet::new());
        if let Some(block) = model.differs(&bytes[primary], &none) {
            return Err(format!(
                "block {block} of the primary is not what was written"
            ));
        }
        if let Some(block) = model.differs(&bytes[standby], &none) {
            return Err(format!(
                "at the end block {block} differs between the sides"
            ));
        }
        for at in 0..2 {
            let names = self.sites[at].meta.names().unwrap_or_default();
            let left = ["staging", "in-place", "digests.next"];
            if let Some(name) = names.iter().find(|name| left.contains(&name.as_str())) {
                return Err(format!("at the end {name} is left over at side {at}"));
            }
            let snapshots = self.sites[at].volume.snapshots.len();
            if snapshots != 1 {
                return Err(format!("at the end side {at} has {snapshots} snapshots"));
            }
        }
        Ok(())
    }
}

/// What a side's state volume says of it, as a crash now would leave it.
pub(super) fn read_superblock(meta: &SimDisk) -> Option<Record> {
    let bytes = meta
        .durable("superblock")
        .filter(|bytes| !bytes.is_empty())?;
    let disk = disk_with("superblock", &bytes).ok()?;
    let (_, superblock) = SuperblockStore::open(Arc::new(disk)).ok()?;
    superblock.as_ref().map(translate::record_of)
}

/// What a volume holds once the set that is completely staged is written to it; `None` where there is no
/// such set.
pub(super) fn redone(meta: &SimDisk, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let staged = meta.durable("staging").unwrap_or_default();
    let disk = Arc::new(disk_with("staging", &staged).ok()?);
    let outcome = Staging::recover(disk, u64::MAX, None, &mut |_, _| Ok(()));
    let Ok(StagingOutcome::Complete(staging)) = outcome else {
        return None;
    };
    for batch in staging.read().ok()? {
        let batch = batch.ok()?;
        for (region, data) in batch.iter() {
            let from = usize::try_from(region.extent.offset).ok()?;
            let to = usize::try_from(region.extent.end()).ok()?;
            match region.kind {
                RegionKind::Zero => bytes[from..to].fill(0),
                RegionKind::Data { .. } => bytes[from..to].copy_from_slice(data),
            }
        }
    }
    Some(bytes)
}

fn disk_with(name: &str, bytes: &[u8]) -> Result<SimDisk, String> {
    let disk = SimDisk::new(u64::MAX / 4, 0);
    let write = || -> Result<(), storage::seam::DiskError> {
        let file = disk.create(name)?;
        file.write_at(0, bytes)?;
        file.flush()
    };
    write().map_err(|error| error.to_string())?;
    Ok(disk)
}

/// Blocks in a volume of so many bytes.
pub(super) fn blocks(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64)
}
