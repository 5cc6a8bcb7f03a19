//! Does a volume begin with a file system?
//!
//! An archive of files that a driver has written to a device instead of an image does not. The
//! signatures are those that `blkid` knows the file systems by that containers are run on; a volume that
//! is encrypted as a whole has one of its own.

use crate::seam::{BlockFile, DiskError};

/// A signature: where it is, in bytes, and what is there.
const SIGNATURES: [(usize, &[u8]); 13] = [
    // ext2, ext3, ext4
    (0x438, &[0x53, 0xef]),
    // XFS
    (0, b"XFSB"),
    // Btrfs
    (0x1_0040, b"_BHRfS_M"),
    // F2FS
    (0x400, &[0x10, 0x20, 0xf5, 0xf2]),
    // NILFS2
    (0x406, &[0x34, 0x34]),
    // bcachefs
    (0x1018, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]),
    // GFS2
    (0x1_0000, &[0x01, 0x16, 0x19, 0x70]),
    // JFS
    (0x8000, b"JFS1"),
    // NTFS
    (3, b"NTFS    "),
    // exFAT
    (3, b"EXFAT   "),
    // FAT32, FAT16
    (0x52, b"FAT32   "),
    (0x36, b"FAT16   "),
    // LUKS
    (0, &[b'L', b'U', b'K', b'S', 0xba, 0xbe]),
];

/// What has to be read to see every signature, in bytes.
const HEAD_BYTES: usize = 0x1_1000;

/// Whether a volume begins with the signature of a file system.
///
/// # Errors
/// When its beginning can't be read.
pub fn has_file_system(device: &dyn BlockFile) -> Result<bool, DiskError> {
    let size = usize::try_from(device.size()).unwrap_or(usize::MAX);
    let mut head = vec![0; HEAD_BYTES.min(size)];
    device.read_at(0, &mut head)?;
    let found = |(at, bytes): &(usize, &[u8])| head.get(*at..at + bytes.len()) == Some(*bytes);
    Ok(SIGNATURES.iter().any(found))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::seam::{Access, OsFile};

    /// D-16: what `mkfs` and archivers make is distinguished.
    #[test]
    fn a_file_system_is_neither_an_archive_nor_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume");
        let has = |at: u64, bytes: &[u8]| {
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(1 << 20).unwrap();
            file.write_all_at(bytes, at).unwrap();
            has_file_system(&OsFile::open(&path, Access::Read, false).unwrap()).unwrap()
        };
        for (at, bytes) in SIGNATURES {
            assert!(has(at as u64, bytes), "{bytes:?} at {at}");
            assert!(!has(at as u64 + 1, bytes), "{bytes:?} after {at}");
        }
        // gzip, tar, zeros
        for (at, bytes) in [(0, &[0x1f, 0x8b][..]), (257, b"ustar"), (0, &[0])] {
            assert!(!has(at, bytes), "{bytes:?}");
        }
        std::fs::write(&path, [7; 512]).unwrap();
        assert!(!has_file_system(&OsFile::open(&path, Access::Read, false).unwrap()).unwrap());
    }
}
