//! A file of records that are appended, and found again up to the first that is not whole.
//!
//! The header block (4 KiB):
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | the file's magic |
//! | 8..10 | format, u16 little-endian |
//! | 10..12 | zero |
//! | 12..16 | CRC-32C of the block with these four bytes zero |
//! | 16..24 | salt, drawn again for each log |
//! | 24..28 | length of the content, u32 |
//! | 28.. | content: what the log is for, by its format (`formats/v1.rs`) |
//!
//! A record starts at a multiple of 8 with a header of 32 bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 0..3 | `REC` |
//! | 3 | kind |
//! | 4..8 | CRC-32C of the salt, the kind, bytes 8..32, the head and the data |
//! | 8..16 | the record's number, u64, from 0 |
//! | 16..20 | length of the head, u32 |
//! | 20..24 | zero |
//! | 24..32 | length of the data, u64 |
//!
//! Head and data are what the log's format makes of them; a log is gone on with in the format that it
//! was begun in.
//!
//! The salt keeps a record of an earlier log, left in space that was given out again, from being
//! taken for one of this log.

use std::sync::Arc;

use bytes::Bytes;

use crate::journal::JournalError;
use crate::seam::{BlockFile, Disk, DiskErrorKind};
use buffers::BufferPool;
use protocol::units::Extent;

const HEADER_BLOCK_BYTES: usize = 4096;
const CONTENT_AT: usize = 28;
const RECORD_HEADER_BYTES: usize = 32;

/// The longest head and data of a record, in bytes. Longer claims are damage.
const RECORD_PART_BYTES_MAX: u64 = 16 << 20;

/// Space is reserved this many bytes ahead, so that a flush need not record a new file size.
const ALLOCATE_BYTES: u64 = 64 << 20;

/// At most this part of the free space is reserved ahead, as a divisor: some file systems keep what
/// they had reserved when they run out half-way, and then other files find no room.
const ALLOCATE_SHARE: u64 = 8;

/// What distinguishes one kind of log from another.
#[derive(Debug)]
pub(super) struct LogFormat {
    pub(super) file: &'static str,
    pub(super) magic: [u8; 8],
    /// The newest format, in which logs are begun.
    pub(super) format: u16,
}

/// A log that is open for appending.
pub(super) struct RecordLog {
    disk: Arc<dyn Disk>,
    format: &'static LogFormat,
    found: u16,
    file: Arc<dyn BlockFile>,
    salt: [u8; 8],
    end: u64,
    number: u64,
    allocated: u64,
    limit: u64,
}

/// A record as it was found.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) head: Vec<u8>,
    pub(super) data: Bytes,
}

/// What a log's file turned out to be.
pub(super) enum Opened {
    Missing,
    Damaged(String),
    Newer(u16),
    Log(RecordScanner),
}

impl RecordLog {
    /// Starts a log that is to hold at most `limit` bytes, in place of one that is there.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        format: &'static LogFormat,
        content: &[u8],
        limit: u64,
    ) -> Result<RecordLog, JournalError> {
        let salt = rand::random::<u64>().to_le_bytes();
        let block = encode_header(format, salt, content)?;
        let file = disk.create(format.file)?;
        file.write_at(0, &block)?;
        Ok(RecordLog {
            disk,
            format,
            found: format.format,
            file,
            salt,
            end: HEADER_BLOCK_BYTES as u64,
            number: 0,
            allocated: 0,
            limit,
        })
    }

    /// From now on it is to hold at most `limit` bytes.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Appends a record. Nothing is durable before a flush.
    pub(super) fn append(
        &mut self,
        kind: u8,
        head: &[u8],
        data: &[u8],
    ) -> Result<(), JournalError> {
        let header = self.record_header(kind, head, data);
        let first = [&header[..], head].concat();
        let after = self.end + (first.len() + data.len()) as u64;
        if after > self.limit {
            return Err(JournalError::StagingTooSmall {
                needed: after,
                limit: self.limit,
            });
        }
        self.allocate(after)?;
        self.file.write_at(self.end, &first)?;
        if !data.is_empty() {
            self.file.write_at(self.end + first.len() as u64, data)?;
        }
        self.end = after.next_multiple_of(8);
        self.number += 1;
        Ok(())
    }

    /// Where the next record goes.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.end, self.number)
    }

    /// Cuts off what follows `position`.
    pub(super) fn cut_back(&mut self, position: (u64, u64)) -> Result<(), JournalError> {
        self.file.set_size(position.0)?;
        (self.end, self.number) = position;
        self.allocated = self.end;
        Ok(())
    }

    fn record_header(&self, kind: u8, head: &[u8], data: &[u8]) -> [u8; RECORD_HEADER_BYTES] {
        let mut header = [0; RECORD_HEADER_BYTES];
        header[0..3].copy_from_slice(b"REC");
        header[3] = kind;
        header[8..16].copy_from_slice(&self.number.to_le_bytes());
        let head_len = u32::try_from(head.len()).unwrap_or(u32::MAX);
        header[16..20].copy_from_slice(&head_len.to_le_bytes());
        header[24..32].copy_from_slice(&(data.len() as u64).to_le_bytes());
        let crc = record_crc(self.salt, &header, head, data);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        header
    }

    fn allocate(&mut self, needed: u64) -> Result<(), JournalError> {
        if needed <= self.allocated {
            return Ok(());
        }
        let ahead = ALLOCATE_BYTES.min(self.disk.free_bytes()? / ALLOCATE_SHARE);
        let to = (needed + ahead).min(self.limit);
        match self
            .file
            .allocate(Extent::new(self.allocated, to - self.allocated))
        {
            Ok(()) => self.allocated = to,
            // There is no room to reserve so far ahead; the record itself may still fit.
            Err(e) if e.kind() == DiskErrorKind::Full => self.allocated = needed,
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// The file, for a flush by another thread.
    pub(super) fn file(&self) -> Arc<dyn BlockFile> {
        self.file.clone()
    }

    /// Bytes used so far.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Reads the log from its beginning.
    pub(super) fn scan(&self) -> RecordScanner {
        RecordScanner {
            disk: self.disk.clone(),
            format: self.format,
            found: self.found,
            file: self.file.clone(),
            content: Vec::new(),
            salt: self.salt,
            end: HEADER_BLOCK_BYTES as u64,
            number: 0,
            buffers: Arc::default(),
        }
    }

    /// Removes the log; durable on return.
    pub(super) fn remove(self) -> Result<(), JournalError> {
        Ok(self.disk.remove(self.format.file)?)
    }
}

/// Reads records from the beginning up to the first that is not whole.
pub(super) struct RecordScanner {
    disk: Arc<dyn Disk>,
    format: &'static LogFormat,
    found: u16,
    file: Arc<dyn BlockFile>,
    content: Vec<u8>,
    salt: [u8; 8],
    end: u64,
    number: u64,
    /// What records are read into; aligned, so that their data can be written on without a copy.
    buffers: Arc<BufferPool>,
}

impl RecordScanner {
    /// Opens a log that may be there from an earlier process. What is read afterwards is what the
    /// storage holds, not what only the page cache does.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        format: &'static LogFormat,
    ) -> Result<Opened, JournalError> {
        let Some(file) = disk.open(format.file)? else {
            return Ok(Opened::Missing);
        };
        file.flush()?;
        file.drop_cache()?;
        if file.size() < HEADER_BLOCK_BYTES as u64 {
            return Ok(Opened::Damaged("it has no header".into()));
        }
        let mut block = vec![0; HEADER_BLOCK_BYTES];
        file.read_at(0, &mut block)?;
        let crc = u32_at(&block, 12);
        block[12..16].fill(0);
        if block[0..8] != format.magic || crc32c::crc32c(&block) != crc {
            return Ok(Opened::Damaged(
                "its header does not match its checksum".into(),
            ));
        }
        let found = u16::from_le_bytes([block[8], block[9]]);
        if found > format.format {
            return Ok(Opened::Newer(found));
        }
        let Some(content) = block[CONTENT_AT..].get(..u32_at(&block, 24) as usize) else {
            return Ok(Opened::Damaged("its header is malformed".into()));
        };
        let mut salt = [0; 8];
        salt.copy_from_slice(&block[16..24]);
        Ok(Opened::Log(RecordScanner {
            disk,
            format,
            found,
            content: content.to_vec(),
            file,
            salt,
            end: HEADER_BLOCK_BYTES as u64,
            number: 0,
            buffers: Arc::default(),
        }))
    }

    /// What the log is for.
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The format in which the log was begun.
    pub(super) fn found(&self) -> u16 {
        self.found
    }

    /// The next whole record; `None` at the end, or where the log is torn or damaged.
    pub(super) fn next(&mut self) -> Result<Option<Record>, JournalError> {
        let size = self.file.size();
        let mut header = [0; RECORD_HEADER_BYTES];
        if size < self.end + RECORD_HEADER_BYTES as u64 {
            return Ok(None);
        }
        self.file.read_at(self.end, &mut header)?;
        let head_len = u64::from(u32_at(&header, 16));
        let data_len = u64_at(&header, 24);
        let limit = RECORD_PART_BYTES_MAX;
        if header[0..3] != *b"REC"
            || u64_at(&header, 8) != self.number
            || head_len > limit
            || data_len > limit
        {
            return Ok(None);
        }
        let head_at = self.end + RECORD_HEADER_BYTES as u64;
        let after = head_at + head_len + data_len;
        if after > size {
            return Ok(None);
        }
        let mut head = vec![0; usize::try_from(head_len).unwrap_or(0)];
        self.file.read_at(head_at, &mut head)?;
        let mut data = self.buffers.take(usize::try_from(data_len).unwrap_or(0));
        self.file.read_at(head_at + head_len, &mut data)?;
        if record_crc(self.salt, &header, &head, &data) != u32_at(&header, 4) {
            return Ok(None);
        }
        self.end = after.next_multiple_of(8);
        self.number += 1;
        Ok(Some(Record {
            kind: header[3],
            head,
            data: Bytes::from_owner(data),
        }))
    }

    /// Where the scan has come to: bytes of the log that are whole so far.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.end, self.number)
    }

    /// Opens the log for appending after the whole records up to `position`; what follows is cut off.
    pub(super) fn into_log(
        self,
        position: (u64, u64),
        limit: u64,
    ) -> Result<RecordLog, JournalError> {
        let (end, number) = position;
        self.file.set_size(end)?;
        Ok(RecordLog {
            disk: self.disk,
            format: self.format,
            found: self.found,
            file: self.file,
            salt: self.salt,
            end,
            number,
            allocated: end,
            limit,
        })
    }
}

fn encode_header(
    format: &LogFormat,
    salt: [u8; 8],
    content: &[u8],
) -> Result<Vec<u8>, JournalError> {
    let mut block = vec![0; HEADER_BLOCK_BYTES];
    let Some(place) = block[CONTENT_AT..].get_mut(..content.len()) else {
        return Err(JournalError::OutOfOrder(format!(
            "the header of {} does not fit into its block",
            format.file
        )));
    };
    place.copy_from_slice(content);
    block[0..8].copy_from_slice(&format.magic);
    block[8..10].copy_from_slice(&format.format.to_le_bytes());
    block[16..24].copy_from_slice(&salt);
    let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
    block[24..28].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&block);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
    Ok(block)
}

fn record_crc(salt: [u8; 8], header: &[u8; RECORD_HEADER_BYTES], head: &[u8], data: &[u8]) -> u32 {
    let mut crc = crc32c::crc32c(&salt);
    crc = crc32c::crc32c_append(crc, &header[3..4]);
    crc = crc32c::crc32c_append(crc, &header[8..]);
    crc = crc32c::crc32c_append(crc, head);
    crc32c::crc32c_append(crc, data)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::Directory;

    static FORMAT: LogFormat = LogFormat {
        file: "log",
        magic: *b"FERRYLOG",
        format: 1,
    };

    const EMPTY: u64 = HEADER_BLOCK_BYTES as u64;
    const PART_MAX: usize = RECORD_PART_BYTES_MAX as usize;

    /// A log of at most `limit` bytes, in a directory that is gone with it.
    fn log_of(limit: u64) -> (tempfile::TempDir, RecordLog) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Directory::open(dir.path()).unwrap());
        let log = RecordLog::create(disk, &FORMAT, b"what for", limit).unwrap();
        (dir, log)
    }

    #[test]
    fn a_log_without_a_record_is_a_log() {
        let (_dir, log) = log_of(EMPTY);
        let Opened::Log(mut found) = RecordScanner::open(log.disk.clone(), &FORMAT).unwrap() else {
            panic!("it was not taken for one");
        };
        assert!(found.next().unwrap().is_none());
        assert_eq!(found.position(), log.position());
    }

    #[test]
    fn the_shortest_record_fits_to_the_last_byte_and_is_found() {
        let exact = EMPTY + RECORD_HEADER_BYTES as u64;
        let (_dir, mut log) = log_of(exact);
        log.append(b'A', &[], &[]).unwrap();
        assert_eq!(log.file().size(), exact);
        assert_eq!(log.scan().next().unwrap().unwrap().kind, b'A');
        let (_dir, mut log) = log_of(exact - 1);
        assert!(log.append(b'A', &[], &[]).is_err(), "past its limit");
    }

    /// Whole and with a checksum that matches: only the limit stands against it.
    #[test]
    fn a_part_longer_than_its_limit_ends_the_log() {
        for (head, data, found) in [
            (PART_MAX, 0, true),
            (0, PART_MAX, true),
            (PART_MAX + 1, 0, false),
            (0, PART_MAX + 1, false),
        ] {
            let (_dir, mut log) = log_of(1 << 30);
            log.append(b'A', &vec![1; head], &vec![2; data]).unwrap();
            let record = log.scan().next().unwrap();
            assert_eq!(record.is_some(), found, "{head} and {data} bytes");
        }
    }

    /// It has this log's salt and matches its checksum, but another number.
    #[test]
    fn a_record_in_the_place_of_another_ends_the_log() {
        let (_dir, mut log) = log_of(1 << 20);
        log.append(b'A', b"head", b"data").unwrap();
        let (second, _) = log.position();
        let mut first = vec![0; usize::try_from(second - EMPTY).unwrap()];
        log.file().read_at(EMPTY, &mut first).unwrap();
        log.file().write_at(second, &first).unwrap();
        let mut found = log.scan();
        assert!(found.next().unwrap().is_some());
        assert!(found.next().unwrap().is_none());
    }

    #[test]
    fn a_log_that_was_cut_back_reserves_up_to_its_limit_and_no_further() {
        let (_dir, mut log) = log_of(2 * EMPTY);
        let start = log.position();
        log.append(b'A', &[], b"data").unwrap();
        log.cut_back(start).unwrap();
        log.append(b'A', &[], b"data").unwrap();
        assert_eq!(log.file().size(), 2 * EMPTY);
    }

    #[test]
    fn a_number_is_read_to_its_last_byte() {
        let bytes = [[9; 8], 0x0102_0304_0506_0708_u64.to_le_bytes()].concat();
        assert_eq!(u64_at(&bytes, 8), 0x0102_0304_0506_0708);
    }
}
