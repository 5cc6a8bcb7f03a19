//! The sparse file of what differs, and the list of its ranges.
//!
//! Both are written under names that end in `.partial` and get their own names only when they are
//! whole and durable, the list last: a list that is there speaks of a file that is whole.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::SalvageError;
use protocol::changes::BatchData;
use protocol::units::{Epoch, Extent, PairId, Point, SiteName};
use storage::seam::{BlockFile, Directory, Disk};

/// The list's format.
const FORMAT: u32 = 1;

/// Ranges are cut at this many bytes, so that each can be checked by itself at little cost.
const RANGE_BYTES_MAX: u64 = 16 << 20;

/// The list is written in pieces of about this many bytes.
const LIST_PIECE_BYTES: usize = 64 * 1024;

/// What the list says before its ranges: of what the export is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The pair's identity.
    pub pair_id: Option<PairId>,
    /// The side whose volume it is.
    pub site: Option<SiteName>,
    /// The newest epoch that the side knew.
    pub epoch: Option<Epoch>,
    /// Whether the side says that it may hold writes that nobody else has.
    pub diverged: bool,
    /// The cut that the volume was compared with.
    pub compared_with: Option<Point>,
    /// The same, as a clause for people.
    pub against: String,
    /// The volume's size in bytes.
    pub size: u64,
}

/// One range that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub digest: String,
    /// Whether it is zeros now, so that the file has a hole there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero: bool,
}

/// The totals of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Ranges that differ.
    pub ranges: u64,
    /// Bytes of those that are data.
    pub data_bytes: u64,
    /// Bytes of those that are zero now.
    pub zero_bytes: u64,
}

/// An export under way.
pub struct Export {
    disk: Directory,
    name: String,
    image: Arc<dyn BlockFile>,
    list: List,
    run: Option<Run>,
    summary: Summary,
}

/// A range that is still growing.
struct Run {
    extent: Extent,
    zero: bool,
    hasher: blake3::Hasher,
}

/// The list, written as it grows: its memory does not follow the number of ranges.
struct List {
    file: Arc<dyn BlockFile>,
    at: u64,
    text: String,
}

impl Export {
    /// Begins the export to the file at `path`; the list goes to the same path with `.json` added.
    ///
    /// # Errors
    /// When either is there already, or can't be made.
    pub fn create(path: &Path, facts: &Facts) -> Result<Export, SalvageError> {
        let refused = || SalvageError::Refused(format!("{} names no file", path.display()));
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(refused)?.to_string();
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let disk = Directory::open(folder.unwrap_or(Path::new(".")))?;
        let taken = disk.names()?;
        for name in [&name, &list_name(&name)] {
            if taken.contains(name) {
                return Err(SalvageError::Refused(format!(
                    "{name} is there already, and nothing is overwritten: choose another name"
                )));
            }
        }
        let image = disk.create(&partial(&name))?;
        image.set_size(facts.size)?;
        let mut list = List {
            file: disk.create(&partial(&list_name(&name)))?,
            at: 0,
            text: String::new(),
        };
        list.begin(facts)?;
        Ok(Export {
            disk,
            name,
            image,
            list,
            run: None,
            summary: Summary::default(),
        })
    }

    /// Takes what differs next, in order of position.
    ///
    /// # Errors
    /// When the file or the list can't be written.
    pub fn take(&mut self, batch: &BatchData) -> Result<(), SalvageError> {
        for (region, data) in batch.iter() {
            let extent = region.extent;
            if data.is_empty() {
                self.summary.zero_bytes += extent.len;
                self.zeros(extent)?;
                continue;
            }
            self.image.write_at(extent.offset, data)?;
            self.summary.data_bytes += extent.len;
            let mut at = 0;
            while at < extent.len {
                let run = self.run_at(extent.offset + at, false)?;
                let len = (RANGE_BYTES_MAX - run.extent.len).min(extent.len - at);
                let piece = |n: u64| usize::try_from(n).unwrap_or(data.len());
                run.hasher.update(&data[piece(at)..piece(at + len)]);
                run.extent.len += len;
                at += len;
            }
        }
        Ok(())
    }

    /// Makes both files durable and gives them their names.
    ///
    /// # Errors
    /// When that fails; they keep their other names then.
    pub fn finish(mut self) -> Result<Summary, SalvageError> {
        self.close()?;
        self.image.flush()?;
        self.list.end(self.summary)?;
        self.list.file.flush()?;
        let list = list_name(&self.name);
        self.disk.rename(&partial(&self.name), &self.name)?;
        self.disk.rename(&partial(&list), &list)?;
        Ok(self.summary)
    }

    fn zeros(&mut self, extent: Extent) -> Result<(), SalvageError> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = 0;
        while at < extent.len {
            let run = self.run_at(extent.offset + at, true)?;
            let len = (RANGE_BYTES_MAX - run.extent.len)
                .min(extent.len - at)
                .min(ZEROS.len() as u64);
            run.hasher
                .update(&ZEROS[..usize::try_from(len).unwrap_or(ZEROS.len())]);
            run.extent.len += len;
            at += len;
        }
        Ok(())
    }

    /// The range that goes on at `offset`, or a new one.
    fn run_at(&mut self, offset: u64, zero: bool) -> Result<&mut Run, SalvageError> {
        let goes_on = self.run.as_ref().is_some_and(|run| {
            run.zero == zero && run.extent.end() == offset && run.extent.len < RANGE_BYTES_MAX
        });
        if !goes_on {
            self.close()?;
        }
        Ok(self.run.get_or_insert_with(|| Run {
            extent: Extent::new(offset, 0),
            zero,
            hasher: blake3::Hasher::new(),
        }))
    }

    fn close(&mut self) -> Result<(), SalvageError> {
        let Some(run) = self.run.take() else {
            return Ok(());
        };
        let range = Range {
            offset: run.extent.offset,
            length: run.extent.len,
            digest: run.hasher.finalize().to_hex().to_string(),
            zero: run.zero,
        };
        self.list.add(&range, self.summary.ranges == 0)?;
        self.summary.ranges += 1;
        Ok(())
    }
}

impl List {
    fn begin(&mut self, facts: &Facts) -> Result<(), SalvageError> {
        let facts = json(facts)?;
        let facts = facts.trim_start_matches('{').trim_end_matches('}');
        self.text = format!("{{\"format\":{FORMAT},{facts},\n\"ranges\":[");
        Ok(())
    }

    fn add(&mut self, range: &Range, first: bool) -> Result<(), SalvageError> {
        self.text.push_str(if first { "\n" } else { ",\n" });
        self.text.push_str(&json(range)?);
        if self.text.len() >= LIST_PIECE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn end(&mut self, summary: Summary) -> Result<(), SalvageError> {
        self.text
            .push_str(&format!("],\n\"summary\":{}}}\n", json(&summary)?));
        self.write()
    }

    fn write(&mut self) -> Result<(), SalvageError> {
        self.file.write_at(self.at, self.text.as_bytes())?;
        self.at += self.text.len() as u64;
        self.text.clear();
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Result<String, SalvageError> {
    serde_json::to_string(value).map_err(|error| SalvageError::Refused(error.to_string()))
}

fn list_name(name: &str) -> String {
    format!("{name}.json")
}

fn partial(name: &str) -> String {
    format!("{name}.partial")
}
