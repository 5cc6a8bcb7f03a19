//! Which ranges of the volume are looked at, in order of position.
//!
//! Whatever the change source, everything below [`Candidates::at`] has been handed out or is known
//! not to have changed. So when a list breaks, the next source goes on from there and nothing is lost.

use std::sync::Arc;

use crate::ship::list::Part;
use protocol::changes::BLOCK_BYTES;
use protocol::pair::change_plan;
use protocol::units::Extent;
use storage::seam::{BlockFile, DiskError};
use storage::volume::Change;

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A range.
    Change(Change),
    /// Nothing: the end of the volume is reached.
    End,
    /// The list broke, and why.
    Broken(String),
    /// Nothing yet; ask again.
    Wait,
}

/// Where the parts of the operator's list come from; `None` where the next has not come.
pub type Parts = Box<dyn FnMut() -> Option<Part> + Send>;

/// The operator's list as it comes in.
pub struct ListReader {
    parts: Parts,
    extents: std::collections::VecDeque<Extent>,
    ended: bool,
    /// The end of the last extent, to see that they ascend.
    last_end: u64,
}

/// The ranges to look at.
pub struct Candidates {
    device: Arc<dyn BlockFile>,
    size: u64,
    at: u64,
    kind: change_plan::Candidates,
    list: Option<ListReader>,
    /// What is handed out after the range before it.
    ready: Option<Change>,
}

impl ListReader {
    /// A reader of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> ListReader {
        ListReader {
            parts,
            extents: std::collections::VecDeque::new(),
            ended: false,
            last_end: 0,
        }
    }

    /// The next extent; `Ok(None)` at the end, `Err(None)` when there is none yet, and
    /// `Err(Some(why))` when the list broke.
    fn next(&mut self) -> Result<Option<Extent>, Option<String>> {
        while self.extents.is_empty() {
            if self.ended {
                return Ok(None);
            }
            match (self.parts)() {
                None => return Err(None),
                Some(Part::Extents(extents)) => self.extents.extend(extents),
                Some(Part::End) => self.ended = true,
                Some(Part::Broken(why)) => return Err(Some(why)),
            }
        }
        let Some(extent) = self.extents.pop_front() else {
            return Err(None);
        };
        let Some(end) = extent.offset.checked_add(extent.len) else {
            return Err(Some(format!("an extent at {} has no end", extent.offset)));
        };
        if extent.offset < self.last_end {
            return Err(Some(format!(
                "an extent at {} comes after one that ends at {}",
                extent.offset, self.last_end
            )));
        }
        self.last_end = end;
        Ok(Some(extent))
    }
}

impl Candidates {
    /// The ranges of a volume of `size` bytes from byte `at` on.
    #[must_use]
    pub fn new(
        device: Arc<dyn BlockFile>,
        size: u64,
        at: u64,
        kind: change_plan::Candidates,
        list: Option<ListReader>,
    ) -> Candidates {
        let (size, at) = match kind {
            change_plan::Candidates::Range(range) => (range.end().min(size), range.offset.max(at)),
            _ => (size, at),
        };
        Candidates {
            device,
            size,
            at,
            kind,
            list,
            ready: None,
        }
    }

    /// Everything below this byte is dealt with once what was handed out is.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// What comes next.
    ///
    /// # Errors
    /// When the device can't say where its data is.
    pub fn advance(&mut self) -> Result<Next, DiskError> {
        if let Some(span) = self.ready.take() {
            self.at = span.extent().end();
            return Ok(Next::Change(span));
        }
        if self.at >= self.size {
            return Ok(Next::End);
        }
        match self.kind {
            change_plan::Candidates::None => {
                self.at = self.size;
                Ok(Next::End)
            }
            change_plan::Candidates::Everything | change_plan::Candidates::Range(_) => {
                let data = self.device.next_data(self.at)?;
                Ok(self.data_at(data))
            }
            change_plan::Candidates::Delta => Ok(self.listed(false)),
            change_plan::Candidates::Allocated => Ok(self.listed(true)),
        }
    }

    /// The next extent of the list. What is between extents is zero on a list of allocated
    /// ranges, and unchanged on a list of changes.
    fn listed(&mut self, gaps_are_zero: bool) -> Next {
        loop {
            let extent = match &mut self.list {
                None => return Next::Broken("there is no list".into()),
                Some(list) => match list.next() {
                    Ok(extent) => extent,
                    Err(None) => return Next::Wait,
                    Err(Some(why)) => return Next::Broken(why),
                },
            };
            if gaps_are_zero {
                match extent.map(|extent| self.aligned(extent)) {
                    Some(None) => {}
                    data => return self.data_at(data.flatten()),
                }
            } else {
                match extent.map(|extent| self.aligned(extent)) {
                    Some(None) => {}
                    Some(Some(extent)) => {
                        self.at = extent.end();
                        return Next::Change(Change::Read(extent));
                    }
                    None => {
                        self.at = self.size;
                        return Next::End;
                    }
                }
            }
        }
    }

    /// Hands out what is before `data` as zeros, then `data`; without it, zeros to the end.
    fn data_at(&mut self, data: Option<Extent>) -> Next {
        let data = data.and_then(|extent| self.aligned(extent));
        let start = data.map_or(self.size, |extent| extent.offset);
        let read = data.map(Change::Read);
        let span = if start > self.at {
            self.ready = read;
            Some(Change::Zero(Extent::new(self.at, start - self.at)))
        } else {
            read
        };
        match span {
            Some(span) => {
                self.at = span.extent().end();
                Next::Change(span)
            }
            None => Next::End,
        }
    }

    /// The extent in whole blocks, without what was handed out before and what is past the end.
    fn aligned(&self, extent: Extent) -> Option<Extent> {
        let start = (extent.offset / BLOCK_BYTES * BLOCK_BYTES).max(self.at);
        let end = extent
            .end()
            .div_ceil(BLOCK_BYTES)
            .saturating_mul(BLOCK_BYTES)
            .min(self.size);
        (start < end).then(|| Extent::new(start, end - start))
    }
}
