//! What a shipment counts while it goes on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::input::ShipCounters;
use protocol::changes::Region;
use protocol::units::Extent;
use wire::control::DIFFERING_MAX;

/// What a shipment has found so far, in bytes; read by the core's host while the scan goes on.
#[derive(Debug, Default)]
pub struct ShipCount {
    /// Read from the device.
    pub read: AtomicU64,
    /// Probed at, read or not.
    pub looked: AtomicU64,
    /// Changed, and data now.
    pub data: AtomicU64,
    /// Changed, and zero now.
    pub zero: AtomicU64,
    /// Everything below this byte of the volume has been looked at.
    pub through: AtomicU64,
    /// Whether the scan is not wanted any more.
    pub stopped: AtomicBool,
    /// The first ranges that differed, where a range is verified.
    differing: Mutex<Vec<Extent>>,
}

impl ShipCount {
    /// What the core sees of it.
    #[must_use]
    pub fn counters(&self) -> ShipCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ShipCounters {
            read: read(&self.read),
            looked: read(&self.looked),
            data: read(&self.data),
            zero: read(&self.zero),
            through: read(&self.through),
        }
    }

    /// Notes what differs, in order of position.
    pub fn differs(&self, regions: &[Region]) {
        let mut known = self.differing();
        for Region { extent, .. } in regions {
            let room = known.len() < DIFFERING_MAX;
            match known.last_mut() {
                Some(last) if last.end() == extent.offset => last.len += extent.len,
                _ if room => known.push(*extent),
                _ => {}
            }
        }
    }

    /// The first ranges that differed.
    pub fn differing(&self) -> MutexGuard<'_, Vec<Extent>> {
        self.differing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
