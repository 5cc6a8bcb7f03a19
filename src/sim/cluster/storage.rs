//! The storage behind the cluster: what volumes and snapshots hold, by handle.
//!
//! Contents are a few numbers each, so that all of history can be kept and compared. A volume that
//! serves as a site's state volume holds the superblock too.

use std::collections::{BTreeMap, BTreeSet};

use protocol::pair::Record;
use protocol::units::Point;

/// Blocks of a volume.
pub(crate) const BLOCKS: usize = 16;

/// What a volume holds: a number a block, 0 where nothing was written.
pub(crate) type Blocks = Vec<u64>;

/// A volume of the storage.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    /// Its driver.
    pub(crate) driver: String,
    /// Its size in bytes, as it was asked for.
    pub(crate) bytes: u64,
    /// What it holds.
    pub(crate) blocks: Blocks,
    /// The superblock of the site whose state volume it is.
    pub(crate) superblock: Option<Record>,
    /// A change set that is fully staged on a state volume.
    pub(crate) staged: Option<(Point, BTreeMap<usize, u64>)>,
}

/// A snapshot of the storage.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The volume that was cut.
    pub(crate) volume: String,
    /// Its size then, in bytes.
    pub(crate) bytes: u64,
    /// What it held.
    pub(crate) blocks: Blocks,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storage {
    /// Volumes, by handle.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Snapshots, by handle.
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    /// Handles of volumes that a controller has deleted.
    pub(crate) destroyed: BTreeSet<String>,
    made: u64,
}

impl Storage {
    /// Makes a volume of a driver, from a snapshot or empty; its handle.
    pub(crate) fn make(&mut self, driver: &str, bytes: u64, from: Option<&str>) -> String {
        self.made += 1;
        let handle = format!("vol-{}", self.made);
        self.insert(&handle, driver, bytes, from);
        handle
    }

    /// Puts a volume of a given handle there.
    pub(crate) fn insert(&mut self, handle: &str, driver: &str, bytes: u64, from: Option<&str>) {
        let cut = from.and_then(|from| self.snapshots.get(from));
        let blocks = cut.map_or_else(|| vec![0; BLOCKS], |cut| cut.blocks.clone());
        let volume = Volume {
            driver: driver.into(),
            bytes,
            blocks,
            superblock: None,
            staged: None,
        };
        self.volumes.insert(handle.into(), volume);
    }

    /// Cuts a volume; the snapshot's handle.
    pub(crate) fn cut(&mut self, handle: &str) -> Option<String> {
        let volume = self.volumes.get(handle)?;
        let snapshot = Snapshot {
            volume: handle.into(),
            bytes: volume.bytes,
            blocks: volume.blocks.clone(),
        };
        self.made += 1;
        let handle = format!("snap-{}", self.made);
        self.snapshots.insert(handle.clone(), snapshot);
        Some(handle)
    }

    /// Deletes a volume and what it holds.
    pub(crate) fn destroy(&mut self, handle: &str) {
        if self.volumes.remove(handle).is_some() {
            self.destroyed.insert(handle.into());
        }
    }

    /// What a volume holds.
    pub(crate) fn blocks(&self, handle: &str) -> Option<&Blocks> {
        self.volumes.get(handle).map(|volume| &volume.blocks)
    }

    /// Writes a block.
    pub(crate) fn write(&mut self, handle: &str, block: usize, tag: u64) {
        let volume = self.volumes.get_mut(handle);
        if let Some(place) = volume.and_then(|volume| volume.blocks.get_mut(block)) {
            *place = tag;
        }
    }
}
