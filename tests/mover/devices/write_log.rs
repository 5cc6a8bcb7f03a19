//! A log of everything that was sent to a device, to be played back into a file up to any point.

use std::fs::File;
use std::os::unix::fs::FileExt;

use protocol::units::Extent;

use super::device::zero;

/// One thing that the device did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Data was written; where it is in the log's file.
    Write(Extent, u64),
    /// The range became zeros.
    Zero(Extent),
    /// Everything before is durable.
    Flush,
}

/// The log: its entries here, their data in a file.
pub struct WriteLog {
    entries: Vec<Entry>,
    data: File,
    len: u64,
}

impl WriteLog {
    /// An empty log that keeps its data in `data`.
    pub fn new(data: File) -> WriteLog {
        WriteLog {
            entries: Vec::new(),
            data,
            len: 0,
        }
    }

    /// Adds a write.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        self.data.write_all_at(data, self.len).unwrap();
        let extent = Extent::new(offset, data.len() as u64);
        self.entries.push(Entry::Write(extent, self.len));
        self.len += data.len() as u64;
    }

    /// Adds anything else.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Does to `image` what an entry says; where that was.
    pub fn replay(&self, entry: Entry, image: &File) -> Option<Extent> {
        match entry {
            Entry::Write(extent, at) => {
                let mut data = vec![0; usize::try_from(extent.len).unwrap()];
                self.data.read_exact_at(&mut data, at).unwrap();
                image.write_all_at(&data, extent.offset).unwrap();
                Some(extent)
            }
            Entry::Zero(extent) => {
                zero(image, extent);
                Some(extent)
            }
            Entry::Flush => None,
        }
    }
}
