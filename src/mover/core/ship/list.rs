//! The operator's list of extents on its way to whoever reads it.

use std::collections::VecDeque;

use protocol::units::{Extent, Point};
use wire::control::{EXTENTS_PER_BATCH_MAX, ExtentBatch, Refusal, RefusalKind};

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
    next: u32,
    ended: bool,
    parts: VecDeque<Part>,
}

impl ExtentList {
    /// The list of `cycle`, of which nothing has come.
    #[must_use]
    pub fn new(cycle: Point) -> ExtentList {
        ExtentList {
            cycle,
            next: 0,
            ended: false,
            parts: VecDeque::new(),
        }
    }

    /// The cut that the list belongs to.
    #[must_use]
    pub fn cycle(&self) -> Point {
        self.cycle
    }

    /// Offers a part. One that was taken before changes nothing, so that an operator that was
    /// restarted can begin again at 0.
    ///
    /// # Errors
    /// When the part belongs to another cycle, leaves a gap, or is too long.
    pub fn offer(&mut self, batch: &ExtentBatch) -> Result<Offered, Refusal> {
        if batch.cycle != self.cycle {
            return Err(refusal(format!(
                "the list is of cut {}, but {} is being shipped",
                batch.cycle, self.cycle
            )));
        }
        if batch.extents.len() > EXTENTS_PER_BATCH_MAX {
            return Err(refusal(format!(
                "a part of the list has {} extents, at most {EXTENTS_PER_BATCH_MAX} are taken",
                batch.extents.len()
            )));
        }
        if self.ended || batch.index < self.next {
            return Ok(Offered::Taken);
        }
        if batch.index > self.next {
            return Err(refusal(format!(
                "part {} of the list came, but part {} is next",
                batch.index, self.next
            )));
        }
        if self.parts.len() >= PARTS_MAX {
            return Ok(Offered::Full);
        }
        self.next += 1;
        self.ended = batch.last;
        self.parts.push_back(Part::Extents(batch.extents.clone()));
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

fn refusal(message: String) -> Refusal {
    Refusal {
        kind: RefusalKind::OutOfOrder,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u32, last: bool) -> ExtentBatch {
        ExtentBatch {
            cycle: Point::new(1, 2),
            index,
            extents: vec![Extent::new(u64::from(index) * 10, 5)],
            last,
        }
    }

    #[test]
    fn parts_pass_once_in_order_whatever_is_repeated() {
        let mut list = ExtentList::new(Point::new(1, 2));
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
    fn a_list_that_fails_says_so_once() {
        let mut list = ExtentList::new(Point::new(1, 2));
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
        let mut list = ExtentList::new(Point::new(1, 2));
        for index in 0..8 {
            assert_eq!(list.offer(&part(index, false)), Ok(Offered::Taken));
        }
        assert_eq!(list.offer(&part(8, true)), Ok(Offered::Full));
        assert!(list.take().is_some());
        assert_eq!(list.offer(&part(8, true)), Ok(Offered::Taken));
    }
}
