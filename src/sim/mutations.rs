//! A volume that breaks a promise: the rules whose place is below the mover.

use std::sync::Arc;

use crate::rules::Wrong;
use protocol::units::Extent;
use storage::seam::{BlockFile, DiskError, DiskErrorKind};

/// The volume that a set is written to.
pub(super) fn device(wrong: Option<Wrong>, device: Arc<dyn BlockFile>) -> Arc<dyn BlockFile> {
    match wrong {
        Some(wrong @ (Wrong::FlushSkipped | Wrong::FullIgnored)) => {
            Arc::new(Broken { device, wrong })
        }
        _ => device,
    }
}

/// A volume whose flushes do nothing, or that has no room and does not say so.
struct Broken {
    device: Arc<dyn BlockFile>,
    wrong: Wrong,
}

impl Broken {
    fn written(&self, result: Result<(), DiskError>) -> Result<(), DiskError> {
        let full = |error: &DiskError| error.kind() == DiskErrorKind::Full;
        match result {
            Err(error) if self.wrong == Wrong::FullIgnored && full(&error) => Ok(()),
            result => result,
        }
    }
}

impl BlockFile for Broken {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.device.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.written(self.device.write_at(offset, data))
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.written(self.device.zero(range))
    }

    fn flush(&self) -> Result<(), DiskError> {
        match self.wrong {
            Wrong::FlushSkipped => Ok(()),
            _ => self.device.flush(),
        }
    }

    fn is_poisoned(&self) -> bool {
        self.device.is_poisoned()
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        self.device.drop_cache()
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.device.set_size(size)
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.device.allocate(range)
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        self.device.next_data(from)
    }
}
