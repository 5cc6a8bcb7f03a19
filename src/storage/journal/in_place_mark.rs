//! How far a first copy, which is written straight to the volume, is durable.
//!
//! | bytes | content |
//! |---|---|
//! | 0..7 | `FERRYIP` |
//! | 7 | format |
//! | 8..12 | CRC-32C of the content |
//! | 12.. | content, by its format (`formats/v1.rs`) |

use crate::formats::{IN_PLACE, decode_in_place, encode_in_place};
use crate::journal::JournalError;
use crate::seam::Disk;
use protocol::changes::CycleId;

const FILE: &str = "in-place";
const MAGIC: [u8; 7] = *b"FERRYIP";

/// How far a copy in place has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlaceMark {
    /// The change set.
    pub id: CycleId,
    /// Size of the source's volume at the cut, in bytes.
    pub size_bytes: u64,
    /// Everything below this byte of the volume is written and durable.
    pub through: u64,
}

impl InPlaceMark {
    /// The mark that is there; `None` without one, and where it can't be read: that only means that the
    /// copy begins again.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(disk: &dyn Disk) -> Result<Option<InPlaceMark>, JournalError> {
        let content = disk.read_small(FILE)?;
        Ok(content.as_deref().and_then(decode))
    }

    /// Replaces the mark; durable on return.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn write(self, disk: &dyn Disk) -> Result<(), JournalError> {
        let body = encode_in_place(self)?;
        let mut content = MAGIC.to_vec();
        content.extend_from_slice(&IN_PLACE.to_le_bytes()[..1]);
        content.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        content.extend_from_slice(&body);
        Ok(disk.replace_small(FILE, &content)?)
    }

    /// Removes the mark; durable on return.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(disk: &dyn Disk) -> Result<(), JournalError> {
        Ok(disk.remove(FILE)?)
    }
}

fn decode(bytes: &[u8]) -> Option<InPlaceMark> {
    let (format, rest) = bytes.strip_prefix(&MAGIC)?.split_first()?;
    let (checksum, body) = rest.split_first_chunk::<4>()?;
    let whole = u32::from_le_bytes(*checksum) == crc32c::crc32c(body);
    let found = u16::from(*format);
    whole.then(|| decode_in_place(found, body)).flatten()
}
