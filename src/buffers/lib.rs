//! Buffers whose address suits direct I/O, and pools of them.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{Advice, MmapMut};

/// Address, offset and length of a direct transfer are multiples of this many bytes. It covers
/// every logical block size in use (512 and 4096).
pub const DIRECT_ALIGN: usize = 4096;

/// A huge page, in bytes: that much memory in one piece, where the kernel has it.
pub const HUGE_PAGE: usize = 2 << 20;

/// Buffers of at least this many bytes ask for huge pages. A transfer is cut where memory is not in
/// one piece: from pages of 4 KiB, storage is asked for a quarter to a whole MiB at a time.
const HUGE_BYTES_MIN: usize = HUGE_PAGE / 2;

/// Bytes that start at a multiple of [`DIRECT_ALIGN`]. They start out as zeros.
#[derive(Debug, Default)]
pub struct AlignedBuf {
    memory: Memory,
    start: usize,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    Pages(MmapMut),
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::Heap(Vec::new())
    }
}

impl Memory {
    /// At least `len` bytes of zeros from a multiple of `align` on.
    fn zeroed(len: usize) -> (Memory, usize) {
        if len >= HUGE_BYTES_MIN
            && let Ok(map) = MmapMut::map_anon(len + HUGE_PAGE)
        {
            // Advice: without huge pages it works as well, only slower.
            map.advise(Advice::HugePage).ok();
            let start = map.as_ptr().align_offset(HUGE_PAGE);
            return (Memory::Pages(map), start);
        }
        let bytes = vec![0; len + DIRECT_ALIGN];
        let start = bytes.as_ptr().align_offset(DIRECT_ALIGN);
        (Memory::Heap(bytes), start)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Pages(map) => map,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Heap(bytes) => bytes,
            Memory::Pages(map) => map,
        }
    }
}

impl AlignedBuf {
    /// `len` bytes of zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> AlignedBuf {
        let (memory, start) = Memory::zeroed(len);
        AlignedBuf { memory, start, len }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[self.start..self.start + self.len]
    }
}

/// Buffers that are used again: fresh ones of this size cost a page fault for each page. It grows to
/// as many as are out at once.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Mutex<Vec<AlignedBuf>>,
}

/// A buffer that goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct PooledBuf {
    buf: AlignedBuf,
    len: usize,
    pool: Arc<BufferPool>,
}

impl BufferPool {
    /// A buffer of `len` bytes, which hold what they held before.
    #[must_use]
    pub fn take(self: &Arc<BufferPool>, len: usize) -> PooledBuf {
        let fit = self.free().pop().filter(|buf| buf.len >= len);
        PooledBuf {
            buf: fit.unwrap_or_else(|| AlignedBuf::zeroed(len)),
            len,
            pool: self.clone(),
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<AlignedBuf>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledBuf {
    /// Cuts it to its first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for PooledBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buf[..self.len]
    }
}

impl DerefMut for PooledBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buf[..self.len]
    }
}

impl AsRef<[u8]> for PooledBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        let buf = std::mem::take(&mut self.buf);
        self.pool.free().push(buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_given_back_is_used_again() {
        let pool = Arc::new(BufferPool::default());
        let mut first = pool.take(8192);
        first.fill(7);
        let (address, second) = (first.as_ptr(), pool.take(4096));
        assert_ne!(address, second.as_ptr());
        first.truncate(5);
        assert_eq!(*first, [7; 5]);
        drop(first);
        assert_eq!(pool.take(100).as_ptr(), address);
        assert_eq!(pool.take(1 << 20).len(), 1 << 20);
        assert_eq!(pool.free().len(), 1);
    }

    #[test]
    fn every_length_is_aligned_and_whole() {
        for len in [
            0,
            1,
            511,
            4096,
            4097,
            HUGE_BYTES_MIN - 1,
            HUGE_BYTES_MIN,
            HUGE_PAGE + 1,
        ] {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.len(), len);
            assert!(buf.as_ptr().addr().is_multiple_of(DIRECT_ALIGN));
            buf.fill(7);
            assert!(buf.iter().all(|b| *b == 7));
        }
    }
}
