//! How two sides find a version that both speak.
//!
//! A hello begins with [`HELLO_MAGIC`], then the oldest and the newest version as little-endian
//! u16. These twelve bytes never change, whatever the version. Both sides compute the same answer
//! from the two hellos, so no further message is needed.

use crate::wire::{Version, VersionRange, WireError};

/// The first bytes of a hello, in every version.
pub const HELLO_MAGIC: [u8; 8] = *b"FERRYHLO";

/// The length of the part of a hello that never changes, in bytes.
pub(super) const HELLO_FROZEN_BYTES: usize = HELLO_MAGIC.len() + 4;

/// The newest version that both sides speak.
///
/// # Errors
/// When there is none; the error says which side is older.
pub fn agree_version(ours: VersionRange, theirs: VersionRange) -> Result<Version, WireError> {
    let newest = ours.max.min(theirs.max);
    if newest < ours.min || newest < theirs.min {
        return Err(WireError::NoCommonVersion { ours, theirs });
    }
    Ok(newest)
}

pub(super) fn write_frozen(range: VersionRange, out: &mut Vec<u8>) {
    out.extend_from_slice(&HELLO_MAGIC);
    out.extend_from_slice(&range.min.0.to_le_bytes());
    out.extend_from_slice(&range.max.0.to_le_bytes());
}

pub(super) fn read_frozen(payload: &[u8]) -> Result<(VersionRange, &[u8]), WireError> {
    let (frozen, rest) = payload
        .split_at_checked(HELLO_FROZEN_BYTES)
        .ok_or_else(|| WireError::malformed("hello", "it is too short"))?;
    let (magic, versions) = frozen.split_at(HELLO_MAGIC.len());
    if magic != HELLO_MAGIC {
        return Err(WireError::malformed("hello", "it does not begin as one"));
    }
    let range = VersionRange {
        min: Version(u16::from_le_bytes([versions[0], versions[1]])),
        max: Version(u16::from_le_bytes([versions[2], versions[3]])),
    };
    if range.min > range.max {
        return Err(WireError::malformed("hello", "its versions are reversed"));
    }
    Ok((range, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u16, max: u16) -> VersionRange {
        VersionRange {
            min: Version(min),
            max: Version(max),
        }
    }

    #[test]
    fn both_sides_find_the_newest_common_version_or_none() {
        for (ours, theirs, expected) in [
            (range(1, 1), range(1, 1), Some(1)),
            (range(1, 3), range(2, 5), Some(3)),
            (range(2, 5), range(1, 3), Some(3)),
            (range(1, 1), range(2, 3), None),
            (range(4, 5), range(2, 3), None),
        ] {
            assert_eq!(agree_version(ours, theirs).ok(), expected.map(Version));
            assert_eq!(agree_version(theirs, ours).ok(), expected.map(Version));
        }
    }

    #[test]
    fn the_frozen_part_reads_back_and_its_bytes_never_change() {
        let mut bytes = Vec::new();
        write_frozen(range(1, 0x0203), &mut bytes);
        assert_eq!(bytes, b"FERRYHLO\x01\x00\x03\x02");
        bytes.push(9);
        assert_eq!(read_frozen(&bytes).unwrap(), (range(1, 0x0203), &[9][..]));
        assert!(read_frozen(&bytes[..11]).is_err());
        assert!(read_frozen(b"FERRYHLO\x02\x00\x01\x00").is_err());
        assert!(read_frozen(b"GERRYHLO\x01\x00\x01\x00").is_err());
    }
}
