//! The content of a whole device or file, in one word: what stories and people compare copies by.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes read at a time; the only memory that a digest needs.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Why a device has no digest.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {path} after {read_bytes} bytes; check that it exists and that the process may read it", path = path.display())]
pub struct DigestError {
    /// The device or file.
    pub path: PathBuf,
    /// How far reading came, in bytes.
    pub read_bytes: u64,
    /// What the system said.
    pub source: std::io::Error,
}

/// Size in bytes and BLAKE3 (hexadecimal) of everything that can be read from `path`.
///
/// # Errors
/// When it can't be opened or read to its end.
pub fn digest(path: &Path) -> Result<(u64, String), DigestError> {
    let mut size = 0_u64;
    let fail = |read_bytes, source| DigestError {
        path: path.to_owned(),
        read_bytes,
        source,
    };
    let mut file = File::open(path).map_err(|e| fail(0, e))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => return Ok((size, hasher.finalize().to_hex().to_string())),
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(fail(size, e)),
        };
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_byte_at_the_odd_end_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let mut bytes = vec![7; 2 * BUFFER_BYTES + 13];
        std::fs::write(&path, &bytes).unwrap();
        let (size, before) = digest(&path).unwrap();
        assert_eq!(size, bytes.len() as u64);
        assert_eq!(before, blake3::hash(&bytes).to_hex().to_string());
        *bytes.last_mut().unwrap() = 8;
        std::fs::write(&path, &bytes).unwrap();
        assert_ne!(digest(&path).unwrap().1, before);
    }

    #[test]
    fn a_missing_device_is_named() {
        let error = digest(Path::new("/nowhere/volume")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/volume"));
    }
}
