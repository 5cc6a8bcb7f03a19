//! The superblock on disk.
//!
//! The file has two slots of 4 KiB. Saving writes a new generation to one slot, flushes, writes it to
//! the other, flushes. So at every moment at least one slot is whole, a write torn by a crash leaves
//! the generation before or the new one, and once a save or an open has returned, damage to either
//! slot alone loses nothing. A slot is:
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `FERRYSB\0` |
//! | 8..10 | format, u16 little-endian |
//! | 10..12 | zero |
//! | 12..16 | CRC-32C of the slot with these four bytes zero |
//! | 16..24 | generation, u64 |
//! | 24..28 | length of the content, u32 |
//! | 28.. | content, by its format (`formats/v1.rs` to `formats/v3.rs`) |
//!
//! A slot of an older format is read as it is and stays so until the next save, which writes both slots
//! in the newest.

use std::sync::Arc;

use crate::formats::{SUPERBLOCK, decode_superblock, encode_superblock};
use crate::journal::{JournalError, Superblock};
use crate::seam::{BlockFile, Disk, DiskError};

const FILE: &str = "superblock";
const SLOT_BYTES: usize = 4096;
const MAGIC: [u8; 8] = *b"FERRYSB\0";
const CONTENT_AT: usize = 28;

/// Reads and saves the superblock. It is the only writer of its file.
pub struct SuperblockStore {
    disk: Arc<dyn Disk>,
    file: Option<Arc<dyn BlockFile>>,
    generation: u64,
    poisoned: bool,
}

enum Slot {
    Unusable(String),
    /// The disk did not give it, which may pass.
    Unread(DiskError),
    Newer(u16),
    Valid(u64, Box<Superblock>),
}

impl SuperblockStore {
    /// Opens the store and reads the newest superblock; `None` where there never was one. A slot
    /// that differs from the newest is made whole again before anything is decided on what was read.
    ///
    /// # Errors
    /// When the disk fails, when a slot is of a newer format, or when the file exists but neither
    /// slot can be read: that is not the same as blank.
    pub fn open(
        disk: Arc<dyn Disk>,
    ) -> Result<(SuperblockStore, Option<Superblock>), JournalError> {
        let mut store = SuperblockStore {
            file: disk.open(FILE)?,
            disk,
            generation: 0,
            poisoned: false,
        };
        let Some(file) = store.file.clone() else {
            return Ok((store, None));
        };
        // What only the page cache holds, after a flush that failed, must not be believed.
        file.flush()?;
        file.drop_cache()?;
        let slots = [read_slot(&*file, 0), read_slot(&*file, 1)];
        let Some((generation, superblock)) = pick(&slots)? else {
            return Err(nothing_in(slots));
        };
        store.generation = generation;
        for (number, slot) in slots.iter().enumerate() {
            if !matches!(slot, Slot::Valid(g, s) if *g == generation && **s == superblock) {
                tracing::warn!(slot = number, "repairing a copy of the superblock");
                file.write_at(
                    (number * SLOT_BYTES) as u64,
                    &encode_slot(generation, &superblock)?,
                )?;
                file.flush()?;
            }
        }
        Ok((store, Some(superblock)))
    }

    /// A store whose first save takes the place of a superblock that can't be read.
    ///
    /// # Errors
    /// When the disk fails, or what is there can be read, now or by a newer version: that is never
    /// discarded this way.
    pub fn over_damage(disk: Arc<dyn Disk>) -> Result<SuperblockStore, JournalError> {
        match SuperblockStore::peek(&*disk) {
            Err(JournalError::Damaged { .. }) => Ok(SuperblockStore {
                file: None,
                disk,
                generation: 0,
                poisoned: false,
            }),
            Err(error) => Err(error),
            Ok(_) => Err(JournalError::OutOfOrder(
                "the superblock is not damaged: it is not replaced".into(),
            )),
        }
    }

    /// The newest superblock as it is stored, read without repairing anything: for an inspection from
    /// outside, on which no decision of the pair may rest. `None` where there never was one.
    ///
    /// # Errors
    /// Like [`SuperblockStore::open`].
    pub fn peek(disk: &dyn Disk) -> Result<Option<Superblock>, JournalError> {
        let Some(file) = disk.open(FILE)? else {
            return Ok(None);
        };
        let slots = [read_slot(&*file, 0), read_slot(&*file, 1)];
        match pick(&slots)? {
            Some((_, superblock)) => Ok(Some(superblock)),
            None => Err(nothing_in(slots)),
        }
    }

    /// Saves the superblock; durable on return.
    ///
    /// # Errors
    /// When the disk fails. Which of the two states is on disk is then unknown, so every later save
    /// is refused: open the store again and see.
    pub fn save(&mut self, superblock: &Superblock) -> Result<(), JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned { file: FILE });
        }
        // A count of saves that can't be raised was never made by saving.
        let generation = self
            .generation
            .checked_add(1)
            .ok_or_else(|| JournalError::damaged(FILE, "its generation is the last there is"))?;
        let slot = encode_slot(generation, superblock)?;
        self.poisoned = true;
        if self.file.is_none() {
            // The first one appears as a whole, so a file without a whole slot is damage. It is one write:
            // were it lost, both copies would be, so each is written once more.
            self.disk
                .replace_small(FILE, &[&slot[..], &slot[..]].concat())?;
            self.file = self.disk.open(FILE)?;
        }
        if let Some(file) = &self.file {
            for number in 0..2 {
                file.write_at(number * SLOT_BYTES as u64, &slot)?;
                file.flush()?;
            }
        }
        self.generation = generation;
        self.poisoned = false;
        Ok(())
    }
}

/// The newest of both copies, if one of them can be used.
fn pick(slots: &[Slot; 2]) -> Result<Option<(u64, Superblock)>, JournalError> {
    let mut newest: Option<(u64, &Superblock)> = None;
    for slot in slots {
        match slot {
            // Also when the other slot is ours: a newer version has been here and knows better.
            Slot::Newer(found) => {
                return Err(JournalError::Newer {
                    file: FILE,
                    found: *found,
                    known: SUPERBLOCK,
                });
            }
            Slot::Valid(generation, superblock) => {
                if newest.is_none_or(|(g, _)| *generation > g) {
                    newest = Some((*generation, superblock));
                }
            }
            Slot::Unusable(_) | Slot::Unread(_) => {}
        }
    }
    Ok(newest.map(|(generation, superblock)| (generation, superblock.clone())))
}

/// Why neither copy can be used. One that the disk did not give may be the very one that is missed: that is
/// no damage that may be discarded.
fn nothing_in(slots: [Slot; 2]) -> JournalError {
    let mut reasons = Vec::new();
    for slot in slots {
        match slot {
            Slot::Unread(error) => return error.into(),
            Slot::Unusable(reason) => reasons.push(reason),
            Slot::Newer(_) | Slot::Valid(..) => {}
        }
    }
    let reasons = reasons.join("; ");
    JournalError::damaged(FILE, format!("neither copy can be read ({reasons})"))
}

fn encode_slot(generation: u64, superblock: &Superblock) -> Result<Vec<u8>, JournalError> {
    let content = encode_superblock(&superblock.trimmed())?;
    if CONTENT_AT + content.len() > SLOT_BYTES {
        return Err(JournalError::OutOfOrder(format!(
            "the superblock of {} bytes does not fit into its slot",
            content.len()
        )));
    }
    let mut slot = vec![0; SLOT_BYTES];
    slot[0..8].copy_from_slice(&MAGIC);
    slot[8..10].copy_from_slice(&SUPERBLOCK.to_le_bytes());
    slot[16..24].copy_from_slice(&generation.to_le_bytes());
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
    slot[24..28].copy_from_slice(&len.to_le_bytes());
    slot[CONTENT_AT..CONTENT_AT + content.len()].copy_from_slice(&content);
    let crc = crc32c::crc32c(&slot);
    slot[12..16].copy_from_slice(&crc.to_le_bytes());
    Ok(slot)
}

fn read_slot(file: &dyn BlockFile, number: usize) -> Slot {
    if file.size() < ((number + 1) * SLOT_BYTES) as u64 {
        return Slot::Unusable("it is cut short".into());
    }
    let mut slot = vec![0; SLOT_BYTES];
    // A slot that can't be read is like one that does not match: the other one may still do.
    match file.read_at((number * SLOT_BYTES) as u64, &mut slot) {
        Ok(()) => decode_slot(slot),
        Err(error) => Slot::Unread(error),
    }
}

fn decode_slot(mut slot: Vec<u8>) -> Slot {
    let crc = u32_at(&slot, 12);
    slot[12..16].fill(0);
    if slot[0..8] != MAGIC {
        return Slot::Unusable("it is no superblock".into());
    }
    if crc32c::crc32c(&slot) != crc {
        return Slot::Unusable("its checksum does not match".into());
    }
    let format = u16::from_le_bytes([slot[8], slot[9]]);
    if format > SUPERBLOCK {
        return Slot::Newer(format);
    }
    let generation = u64::from(u32_at(&slot, 16)) | u64::from(u32_at(&slot, 20)) << 32;
    let content = slot[CONTENT_AT..].get(..u32_at(&slot, 24) as usize);
    match content.and_then(|content| decode_superblock(format, content)) {
        Some(superblock) => Slot::Valid(generation, Box::new(superblock)),
        None => Slot::Unusable("its content can't be decoded".into()),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
