//! Adjacent pieces of data, joined into one write.
//!
//! A long write costs the storage little more than a short one; where it has to make room for the
//! data first, as in the holes of a file, writes go one at a time, and their number is what counts.

use std::mem::take;

use buffers::{AlignedBuf, DIRECT_ALIGN};

/// One write in the making.
pub(super) struct Run<'b, 'd> {
    buf: &'b mut AlignedBuf,
    offset: u64,
    len: usize,
    /// The only piece so far, which nobody has had to copy yet.
    only: Option<&'d [u8]>,
}

impl<'b, 'd> Run<'b, 'd> {
    /// Nothing yet. `buf` holds what is joined, and its length is the most that is.
    pub(super) fn new(buf: &'b mut AlignedBuf) -> Run<'b, 'd> {
        Run {
            buf,
            offset: 0,
            len: 0,
            only: None,
        }
    }

    /// Adds the bytes at `offset` of the volume; false where they do not fit at the end.
    pub(super) fn join(&mut self, offset: u64, data: &'d [u8]) -> bool {
        if self.len == 0 {
            (self.offset, self.len, self.only) = (offset, data.len(), Some(data));
            return true;
        }
        let end = self.len + data.len();
        if offset != self.offset + self.len as u64 || end > self.buf.len() {
            return false;
        }
        if let Some(first) = self.only.take() {
            self.buf[..first.len()].copy_from_slice(first);
        }
        self.buf[self.len..end].copy_from_slice(data);
        self.len = end;
        true
    }

    /// Ends the run: where it begins, and its bytes, at an address that suits a direct write. Nothing is left
    /// in it.
    pub(super) fn finish(&mut self) -> (u64, &[u8]) {
        let len = take(&mut self.len);
        let Some(data) = self.only.take() else {
            return (self.offset, &self.buf[..len]);
        };
        let aligned = data.as_ptr().addr().is_multiple_of(DIRECT_ALIGN);
        if aligned || len > self.buf.len() {
            return (self.offset, data);
        }
        self.buf[..len].copy_from_slice(data);
        (self.offset, &self.buf[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 64 * 1024;

    #[test]
    fn only_neighbours_that_fit_are_joined() {
        let mut buf = AlignedBuf::zeroed(3 * LONG);
        let data = AlignedBuf::zeroed(2 * LONG);
        let mut run = Run::new(&mut buf);
        assert!(run.join(0, &data));
        assert!(!run.join(2 * LONG as u64 + 1, &data[..1]), "a gap");
        assert!(!run.join(2 * LONG as u64, &data), "too long");
        assert!(run.join(2 * LONG as u64, &[7; LONG]));
        let (offset, joined) = run.finish();
        assert_eq!((offset, joined.len()), (0, 3 * LONG));
        assert!(joined[..2 * LONG].iter().all(|byte| *byte == 0));
        assert!(joined[2 * LONG..].iter().all(|byte| *byte == 7));
        assert!(run.finish().1.is_empty(), "something is left in it");
        assert!(run.join(9, &[1]));
        assert_eq!(run.finish(), (9, &[1][..]));
    }

    #[test]
    fn a_piece_is_moved_to_where_a_direct_write_can_take_it() {
        let mut buf = AlignedBuf::zeroed(LONG);
        let data = AlignedBuf::zeroed(LONG + 1);
        let aligned =
            |run: &mut Run<'_, '_>| run.finish().1.as_ptr().addr().is_multiple_of(DIRECT_ALIGN);
        let mut run = Run::new(&mut buf);
        run.join(0, &data[1..]);
        assert!(aligned(&mut run));
        run.join(0, &data[1..2]);
        assert!(aligned(&mut run));
    }
}
