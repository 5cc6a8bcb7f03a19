//! Who descends from whom: the proof that one image is an ancestor of another.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::units::{Epoch, Point, Seq};

/// The identity of one epoch's history. Two sides that hold the same epoch number with different
/// generations have split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub Uuid);

/// One epoch of a lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageEntry {
    /// The epoch's number.
    pub epoch: Epoch,
    /// The epoch's identity, drawn at random when the epoch starts.
    pub generation: Generation,
    /// The first sequence number that belongs to the epoch.
    pub start: Seq,
}

/// How many epochs a lineage keeps: as many as fit into a superblock's slot, with room to spare.
pub const EPOCHS_KEPT: usize = 96;

/// The epochs that an image has lived through, oldest first (semantics 1.2); the newest
/// [`EPOCHS_KEPT`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lineage(pub Vec<LineageEntry>);

impl Lineage {
    /// A lineage that starts at `epoch` with nothing before it.
    #[must_use]
    pub fn starting(epoch: Epoch, generation: Generation, start: Seq) -> Lineage {
        Lineage(vec![LineageEntry {
            epoch,
            generation,
            start,
        }])
    }

    /// The newest entry, if there is one.
    #[must_use]
    pub fn last(&self) -> Option<&LineageEntry> {
        self.0.last()
    }

    /// The entry for `epoch`, if this lineage lived through it.
    #[must_use]
    pub fn entry(&self, epoch: Epoch) -> Option<&LineageEntry> {
        self.0.iter().find(|entry| entry.epoch == epoch)
    }

    /// This lineage with one more epoch, which starts right after `promoted`.
    #[must_use]
    pub fn promoted(&self, promoted: Point, epoch: Epoch, generation: Generation) -> Lineage {
        let mut entries: Vec<LineageEntry> = self
            .0
            .iter()
            .copied()
            .filter(|entry| entry.epoch <= promoted.epoch)
            .collect();
        entries.push(LineageEntry {
            epoch,
            generation,
            start: promoted.seq.next(),
        });
        Lineage(entries).trimmed()
    }

    /// The newest [`EPOCHS_KEPT`] epochs.
    #[must_use]
    pub fn trimmed(mut self) -> Lineage {
        let excess = self.0.len().saturating_sub(EPOCHS_KEPT);
        self.0.drain(..excess);
        self
    }

    /// The last sequence number that `epoch` contributed to this lineage: one before the next
    /// epoch's start, or `None` while `epoch` is the newest or unknown.
    #[must_use]
    pub fn end_of(&self, epoch: Epoch) -> Option<Seq> {
        let next = self.0.iter().find(|entry| entry.epoch > epoch)?;
        self.entry(epoch)?;
        Some(Seq(next.start.0.saturating_sub(1)))
    }

    /// Whether an image at `point` with lineage `other` is contained in this lineage: every epoch it
    /// lived through is ours, with the same generation, and `point` is not past our end of it.
    ///
    /// Epochs older than all that is kept here prove nothing: each side trims its history when it
    /// becomes primary, so the other may hold older ones (D-9). Nothing is lost by leaving them out,
    /// because a generation is drawn at random when its epoch starts: who shares one shares all that
    /// was before it.
    #[must_use]
    pub fn contains(&self, other: &Lineage, point: Point) -> bool {
        let oldest = self.0.first().map_or(Epoch(0), |entry| entry.epoch);
        let shared = other
            .0
            .iter()
            .filter(|entry| entry.epoch <= point.epoch && entry.epoch >= oldest)
            .all(|entry| {
                self.entry(entry.epoch)
                    .is_some_and(|ours| ours.generation == entry.generation)
            });
        let in_time = self.end_of(point.epoch).is_none_or(|end| point.seq <= end);
        shared && in_time && self.entry(point.epoch).is_some()
    }

    /// The newest point up to which `other` and this lineage are the same history, if any.
    #[must_use]
    pub fn fork(&self, other: &Lineage) -> Option<Epoch> {
        self.0
            .iter()
            .rev()
            .find(|ours| {
                other
                    .entry(ours.epoch)
                    .is_some_and(|o| o.generation == ours.generation)
            })
            .map(|entry| entry.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(n: u128) -> Generation {
        Generation(Uuid::from_u128(n))
    }

    #[test]
    fn a_tail_past_the_end_of_its_epoch_is_not_contained() {
        let old = Lineage::starting(Epoch(1), generation(1), Seq(1));
        let new = old.promoted(Point::new(1, 10), Epoch(2), generation(2));
        assert!(new.contains(&old, Point::new(1, 10)));
        assert!(!new.contains(&old, Point::new(1, 11)));
        assert_eq!(new.end_of(Epoch(1)), Some(Seq(10)));
        assert_eq!(new.end_of(Epoch(2)), None);
    }

    /// D-9: "history is trimmed on disk". What one side has forgotten makes the other's no other
    /// history; what it still knows does.
    #[test]
    fn epochs_that_are_forgotten_here_prove_nothing_against_the_other() {
        let mut old = Lineage::starting(Epoch(1), generation(1), Seq(1));
        for epoch in 2..=EPOCHS_KEPT as u64 {
            let at = Point::new(epoch - 1, epoch * 10);
            old = old.promoted(at, Epoch(epoch), generation(epoch.into()));
        }
        let last = Point::new(EPOCHS_KEPT as u64, 2000);
        let next = Epoch(last.epoch.0 + 1);
        let new = old.promoted(last, next, generation(500));
        assert_eq!((old.0.len(), new.0.len()), (EPOCHS_KEPT, EPOCHS_KEPT));
        assert_eq!(new.entry(Epoch(1)), None);
        assert!(new.contains(&old, last));
        assert!(!new.contains(&old, Point::new(last.epoch.0, 2001)));
        // A point that is older than all that is known here can't be placed.
        assert!(!new.contains(&old, Point::new(1, 5)));
        let mut split = old.clone();
        split.0[50].generation = generation(999);
        assert!(!new.contains(&split, last));
    }

    #[test]
    fn the_same_epoch_with_another_generation_is_a_split() {
        let base = Lineage::starting(Epoch(1), generation(1), Seq(1));
        let ours = base.promoted(Point::new(1, 5), Epoch(2), generation(2));
        let theirs = base.promoted(Point::new(1, 5), Epoch(2), generation(3));
        assert!(!ours.contains(&theirs, Point::new(2, 6)));
        assert_eq!(ours.fork(&theirs), Some(Epoch(1)));
    }
}
