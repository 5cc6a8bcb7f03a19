//! The storage behind the cluster: what volumes and snapshots hold, by handle.
//!
//! A volume is what it is used as: a simulated device, or a file system of which the files
//! are on a simulated disk. Which of the two is found out when it is opened, since no claim says it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::SimDisk;
use crate::volume::{Snapshot, Volume as Device};
use protocol::changes::BLOCK_BYTES;

/// Room on a state volume while it is not made to be full, in bytes: less than was asked for, so that it
/// can be filled.
pub(crate) const STATE_BYTES: u64 = 32 << 20;

/// A volume of the storage.
#[derive(Clone)]
pub(crate) struct Volume {
    /// Its driver.
    pub(crate) driver: String,
    /// Its size in bytes, as it was asked for.
    bytes: u64,
    /// The snapshot that it was made from.
    from: Option<Snapshot>,
    seed: u64,
    device: OnceCell<Option<Device>>,
    files: OnceCell<SimDisk>,
}

/// A snapshot, and the volume that it is of.
#[derive(Clone)]
pub(crate) struct CutVolume {
    /// The handle of the volume that was cut.
    pub(crate) volume: String,
    /// What it held.
    pub(crate) content: Snapshot,
}

/// All of it.
#[derive(Clone, Default)]
pub(crate) struct Storage {
    /// Volumes, by handle.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Snapshots, by handle.
    pub(crate) snapshots: BTreeMap<String, CutVolume>,
    /// Handles of volumes that a controller has deleted.
    pub(crate) destroyed: BTreeSet<String>,
    /// What the faults of the disks follow from.
    pub(crate) seed: u64,
    /// The next volume that is made from a snapshot is too short.
    pub(crate) short_clone: bool,
    made: u64,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let handles = self.volumes.keys().chain(self.snapshots.keys());
        f.debug_set().entries(handles).finish()
    }
}

impl Storage {
    /// Makes a volume of a driver, from a snapshot or empty; its handle.
    pub(crate) fn make(&mut self, driver: &str, bytes: u64, from: Option<&str>) -> String {
        let handle = format!("vol-{}", self.made + 1);
        self.insert(&handle, driver, bytes, from);
        handle
    }

    /// Puts a volume of a given handle there.
    pub(crate) fn insert(&mut self, handle: &str, driver: &str, bytes: u64, from: Option<&str>) {
        self.made += 1;
        let from = from.and_then(|from| self.snapshots.get(from));
        let short = from.is_some() && std::mem::take(&mut self.short_clone);
        let volume = Volume {
            driver: driver.into(),
            bytes: match short {
                true => bytes / BLOCK_BYTES / 3 * BLOCK_BYTES,
                false => bytes,
            },
            from: from.map(|from| from.content.clone()),
            seed: self.seed.wrapping_add(self.made),
            device: OnceCell::new(),
            files: OnceCell::new(),
        };
        self.volumes.insert(handle.into(), volume);
    }

    /// Cuts a volume; the snapshot's handle.
    pub(crate) fn cut(&mut self, handle: &str) -> Option<String> {
        let content = self.device(handle)?.snapshot();
        let volume = handle.to_string();
        self.made += 1;
        let handle = format!("snap-{}", self.made);
        self.snapshots
            .insert(handle.clone(), CutVolume { volume, content });
        Some(handle)
    }

    /// Deletes a volume and what it holds.
    pub(crate) fn destroy(&mut self, handle: &str) {
        if self.volumes.remove(handle).is_some() {
            self.destroyed.insert(handle.into());
        }
    }

    /// Makes a volume larger.
    pub(crate) fn grow(&mut self, handle: &str, bytes: u64) {
        if let Some(volume) = self.volumes.get_mut(handle) {
            volume.bytes = volume.bytes.max(bytes);
            if let Some(Some(device)) = volume.device.get() {
                device.grow(volume.bytes);
            }
        }
    }

    /// Puts earlier copies of a state volume and of a volume back in their places.
    pub(crate) fn put_back(
        &mut self,
        state: &str,
        volume: &str,
        (files, device): (&SimDisk, &SimDisk),
        seed: u64,
    ) {
        if let Some(state) = self.volumes.get_mut(state) {
            state.files = OnceCell::from(files.clone_durable(seed));
        }
        let volume = self.volumes.get_mut(volume);
        if let Some(Some(known)) = volume.and_then(|volume| volume.device.get_mut()) {
            known.restore(device, seed);
        }
    }

    /// All devices and file systems work again, have room, and are as large as they were asked to be.
    pub(crate) fn heal(&self) {
        for volume in self.volumes.values() {
            if let Some(Some(device)) = volume.device.get() {
                device.disk.heal();
                // What could not be made larger is now.
                device.grow(volume.bytes);
            }
            if let Some(files) = volume.files.get() {
                files.heal();
                files.set_capacity(STATE_BYTES);
            }
        }
    }

    /// A volume as a device.
    pub(crate) fn device(&self, handle: &str) -> Option<&Device> {
        let volume = self.volumes.get(handle)?;
        volume.device.get_or_init(|| volume.make_device()).as_ref()
    }

    #[cfg(test)]
    /// Puts an earlier copy of a file system in its place, or an empty one.
    pub(crate) fn put_files_back(&mut self, handle: &str, copy: Option<&SimDisk>) {
        if let Some(volume) = self.volumes.get_mut(handle) {
            volume.files = OnceCell::new();
            let files = copy.map(|copy| copy.clone_durable(volume.seed));
            let files = files.unwrap_or_else(|| SimDisk::new(STATE_BYTES, volume.seed));
            volume.files.get_or_init(|| files);
        }
    }

    #[cfg(test)]
    /// Puts an earlier copy of a device in its place.
    pub(crate) fn put_device_back(&mut self, handle: &str, copy: &SimDisk) {
        if let Some(volume) = self.volumes.get_mut(handle)
            && let Some(Some(device)) = volume.device.get_mut()
        {
            device.restore(copy, volume.seed);
        }
    }

    /// A volume as a file system.
    pub(crate) fn files(&self, handle: &str) -> Option<&SimDisk> {
        let volume = self.volumes.get(handle)?;
        let files = || SimDisk::new(STATE_BYTES, volume.seed);
        Some(volume.files.get_or_init(files))
    }
}

impl Volume {
    fn make_device(&self) -> Option<Device> {
        let Some(cut) = &self.from else {
            return Device::new(self.bytes, self.seed).ok();
        };
        let len =
            usize::try_from(self.bytes).map_or(cut.bytes.len(), |len| len.min(cut.bytes.len()));
        let device = Device::holding(&cut.bytes[..len], self.seed).ok()?;
        device.grow(self.bytes);
        Some(device)
    }
}
