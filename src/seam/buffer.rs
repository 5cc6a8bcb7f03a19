//! Buffers whose address suits direct I/O.

use std::ops::{Deref, DerefMut};

/// Address, offset and length of a direct transfer are multiples of this many bytes. It covers
/// every logical block size in use (512 and 4096).
pub const DIRECT_ALIGN: usize = 4096;

/// Bytes that start at a multiple of [`DIRECT_ALIGN`]. They start out as zeros.
#[derive(Debug)]
pub struct AlignedBuf {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// `len` bytes of zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> AlignedBuf {
        let bytes = vec![0; len + DIRECT_ALIGN];
        let start = bytes.as_ptr().align_offset(DIRECT_ALIGN);
        AlignedBuf { bytes, start, len }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_aligned_and_whole() {
        for len in [0, 1, 511, 4096, 4097, 1 << 20] {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.len(), len);
            assert!(buf.as_ptr().addr().is_multiple_of(DIRECT_ALIGN));
            buf.fill(7);
            assert!(buf.iter().all(|b| *b == 7));
        }
    }
}
