//! The operator's list of extents on its way to whoever reads it.
//!
//! Each part says from which byte on it is complete, so parts of one list fit together whoever sends
//! them and however a driver splits them. Counted parts would not: of two streams that are split
//! differently the second would go on where the first never was.

use std::collections::VecDeque;

use protocol::units::{Extent, Point};
use wire::control::{ChangeList, EXTENTS_PER_BATCH_MAX, ExtentBatch, Refusal, RefusalKind};

/// Parts of the list that wait to be read, each of at most [`EXTENTS_PER_BATCH_MAX`] extents of
/// 16 bytes (2 MiB in all). Beyond it the operator's request waits.
const PARTS_MAX: usize = 8;

/// What the reading side gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The next extents.
    Extents(Vec<Extent>),
    /// That was all.
    End,
    /// There is no more, though there should be, and why.
    Broken(String),
}

/// What became of a part that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It was taken, or had been before.
    Taken,
    /// There is no room yet: offer it again.
    Full,
}

/// The list of one cut.
#[derive(Debug)]
pub struct ExtentList {
    cycle: Point,
    changes: ChangeList,
    /// Every range of the list below this byte has come.
    reached: u64,
    ended: bool,
    parts: VecDeque<Part>,
}

impl ExtentList {
    /// This list of `cycle`, of which nothing has come.
    #[must_use]
    pub fn new(cycle: Point, changes: ChangeList) -> ExtentList {
        ExtentList {
            cycle,
            changes,
            reached: 0,
            ended: false,
            parts: VecDeque::new(),
        }
    }

    /// The cut that the list belongs to.
    #[must_use]
    pub fn cycle(&self) -> Point {
        self.cycle
    }

    /// Whether it is this list of `cycle`.
    #[must_use]
    pub fn is(&self, cycle: Point, changes: ChangeList) -> bool {
        self.cycle == cycle && self.changes == changes
    }

    /// Offers a part. What was taken before is left out, so that an operator that was restarted can begin
    /// again at the beginning.
    ///
    /// # Errors
    /// When the part belongs to another list, leaves a gap, or is too long.
    pub fn offer(&mut self, batch: &ExtentBatch) -> Result<Offered, Refusal> {
        if !self.is(batch.cycle, batch.changes) {
            return Err(refusal(format!(
                "the list is of cut {} by {:?}, but {} is being shipped by {:?}",
                batch.cycle, batch.changes, self.cycle, self.changes
            )));
        }
        if batch.extents.len() > EXTENTS_PER_BATCH_MAX {
            return Err(refusal(format!(
                "a part of the list has {} extents, at most {EXTENTS_PER_BATCH_MAX} are taken",
                batch.extents.len()
            )));
        }
        if self.ended {
            return Ok(Offered::Taken);
        }
        if batch.from > self.reached {
            return Err(refusal(format!(
                "a part of the list from byte {} on came, but byte {} is next",
                batch.from, self.reached
            )));
        }
        if self.parts.len() >= PARTS_MAX {
            return Ok(Offered::Full);
        }
        let beyond = beyond(&batch.extents, self.reached);
        self.reached = beyond.last().map_or(self.reached, end_of);
        self.ended = batch.last;
        if !beyond.is_empty() {
            self.parts.push_back(Part::Extents(beyond));
        }
        if batch.last {
            self.parts.push_back(Part::End);
        }
        Ok(Offered::Taken)
    }

    /// Ends the list before its end.
    pub fn fail(&mut self, reason: &str) {
        if !self.ended {
            self.ended = true;
            self.parts.push_back(Part::Broken(reason.into()));
        }
    }

    /// The next part, if it has come.
    pub fn take(&mut self) -> Option<Part> {
        self.parts.pop_front()
    }
}

/// What of `extents` is beyond `reached`.
fn beyond(extents: &[Extent], reached: u64) -> Vec<Extent> {
    let rest = extents.iter().filter(|extent| end_of(extent) > reached);
    rest.map(|extent| {
        let offset = extent.offset.max(reached);
        // One without an end stays so, for its reader to refuse.
        Extent::new(offset, extent.len - (offset - extent.offset))
    })
    .collect()
}

/// The byte after an extent. Whether there is one is for its reader to say.
fn end_of(extent: &Extent) -> u64 {
    extent.offset.saturating_add(extent.len)
}

fn refusal(message: String) -> Refusal {
    Refusal {
        kind: RefusalKind::OutOfOrder,
        message,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: ChangeList = ChangeList::Allocated;

    fn list() -> ExtentList {
        ExtentList::new(Point::new(1, 2), LIST)
    }

    fn batch(from: u64, extents: Vec<Extent>, last: bool) -> ExtentBatch {
        ExtentBatch {
            cycle: Point::new(1, 2),
            changes: LIST,
            from,
            extents,
            last,
        }
    }

    /// The part with the extent of this number, each of which begins 10 bytes after the one before it.
    fn part(number: u64, last: bool) -> ExtentBatch {
        let from = number.checked_sub(1).map_or(0, |before| before * 10 + 5);
        batch(from, vec![Extent::new(number * 10, 5)], last)
    }

    #[test]
    fn parts_pass_once_in_order_whatever_is_repeated() {
        let mut list = list();
        list.offer(&part(0, false)).unwrap();
        list.offer(&part(0, false)).unwrap();
        assert!(list.offer(&part(2, true)).is_err(), "a gap");
        list.offer(&part(1, true)).unwrap();
        list.offer(&part(0, false)).unwrap();
        list.fail("too late to matter");
        let seen: Vec<Part> = std::iter::from_fn(|| list.take()).collect();
        let extents = |n: u64| Part::Extents(vec![Extent::new(n * 10, 5)]);
        assert_eq!(seen, [extents(0), extents(1), Part::End]);
    }

    #[test]
    fn a_part_of_another_list_of_the_same_cut_is_refused() {
        let mut list = list();
        let other = ExtentBatch {
            changes: ChangeList::Delta {
                base: Point::new(1, 1),
            },
            ..part(0, true)
        };
        assert!(list.offer(&other).is_err());
        assert_eq!(list.take(), None);
    }

    #[test]
    fn an_extent_without_an_end_is_left_for_its_reader_to_refuse() {
        let mut list = list();
        list.offer(&batch(0, vec![Extent::new(10, u64::MAX)], true))
            .unwrap();
        let endless = Part::Extents(vec![Extent::new(10, u64::MAX)]);
        assert_eq!(list.take(), Some(endless));
    }

    #[test]
    fn a_list_that_fails_says_so_once() {
        let mut list = list();
        list.offer(&part(0, false)).unwrap();
        list.fail("stream reset");
        list.fail("again");
        list.offer(&part(1, true)).unwrap();
        assert!(matches!(list.take(), Some(Part::Extents(_))));
        assert_eq!(list.take(), Some(Part::Broken("stream reset".into())));
        assert_eq!(list.take(), None);
    }

    #[test]
    fn a_full_list_takes_a_part_once_there_is_room() {
        let mut list = list();
        for number in 0..8 {
            assert_eq!(list.offer(&part(number, false)), Ok(Offered::Taken));
        }
        assert_eq!(list.offer(&part(8, true)), Ok(Offered::Full));
        assert!(list.take().is_some());
        assert_eq!(list.offer(&part(8, true)), Ok(Offered::Taken));
    }

    /// The blocks that changed, as a driver lists them in parts of `size` extents.
    fn split(changed: &[bool], size: usize) -> Vec<ExtentBatch> {
        let blocks = (0..).zip(changed).filter(|(_, changed)| **changed);
        let extents: Vec<Extent> = blocks.map(|(block, _)| Extent::new(block, 1)).collect();
        let chunks: Vec<&[Extent]> = extents.chunks(size).collect();
        let mut from = 0;
        let mut parts = Vec::new();
        for chunk in &chunks {
            let last = parts.len() + 1 == chunks.len();
            parts.push(batch(from, chunk.to_vec(), last));
            from = chunk.last().map_or(from, Extent::end);
        }
        parts
    }

    proptest! {
        /// Two streams of one list, split differently and mixed in any way, leave nothing out: an operator
        /// that was restarted and one that does not know that it is not the leader any more.
        #[test]
        fn two_streams_of_one_list_leave_nothing_out(
            changed in proptest::collection::vec(any::<bool>(), 1..40),
            sizes in (1..6usize, 1..6usize),
            order in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            prop_assume!(changed.contains(&true));
            let mut streams = [split(&changed, sizes.0), split(&changed, sizes.1)].map(Vec::into_iter);
            let mut list = list();
            let mut seen = Vec::new();
            let all = order.into_iter().chain([true; 40]).chain([false; 40]);
            for first in all {
                if let Some(part) = streams[usize::from(!first)].next() {
                    drop(list.offer(&part));
                }
                seen.extend(std::iter::from_fn(|| list.take()));
            }
            let blocks: Vec<u64> = seen
                .iter()
                .flat_map(|part| match part {
                    Part::Extents(extents) => extents.clone(),
                    _ => Vec::new(),
                })
                .flat_map(|extent| extent.offset..extent.end())
                .collect();
            let wanted: Vec<u64> = (0..)
                .zip(&changed)
                .filter_map(|(block, changed)| changed.then_some(block))
                .collect();
            if seen.contains(&Part::End) {
                prop_assert_eq!(blocks, wanted);
            } else {
                prop_assert!(wanted.starts_with(&blocks));
            }
        }
    }
}
