//! Frozen parts that several formats are made of.
//!
//! | part | content, in order |
//! |---|---|
//! | [`Point`] | epoch u64, sequence number u64 |
//! | [`Role`] | 0 primary, 1 standby |
//! | [`Image`] | 0 none, 1 consistent and its point, 2 to be redone and its point, 3 inconsistent |
//! | [`Lineage`] | a list of: epoch u64, generation UUID, first sequence number u64 |
//! | [`Source`] | 0 delta, 1 allocated, 2 digests, 3 full read, 4 verification |
//! | [`ChangeSet`] | the point that it leads to, an option of the point that it counts from |
//! | [`Range`] | offset u64, length u64, both in bytes |

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use protocol::changes::CycleId;
use protocol::units;

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Point {
    epoch: u64,
    seq: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Role {
    Primary,
    Standby,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Image {
    None,
    Consistent(Point),
    Redo(Point),
    Inconsistent,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Lineage(Vec<LineageEntry>);

#[derive(Clone, Copy, Serialize, Deserialize)]
struct LineageEntry {
    epoch: u64,
    generation: Uuid,
    start: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum Source {
    Delta,
    Allocated,
    Digests,
    FullRead,
    Verify,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct ChangeSet {
    cycle: Point,
    from: Option<Point>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Range {
    offset: u64,
    len: u64,
}

impl From<units::Point> for Point {
    fn from(point: units::Point) -> Point {
        Point {
            epoch: point.epoch.0,
            seq: point.seq.0,
        }
    }
}

impl From<Point> for units::Point {
    fn from(point: Point) -> units::Point {
        units::Point::new(point.epoch, point.seq)
    }
}

impl From<units::Role> for Role {
    fn from(role: units::Role) -> Role {
        match role {
            units::Role::Primary => Role::Primary,
            units::Role::Standby => Role::Standby,
        }
    }
}

impl From<Role> for units::Role {
    fn from(role: Role) -> units::Role {
        match role {
            Role::Primary => units::Role::Primary,
            Role::Standby => units::Role::Standby,
        }
    }
}

impl From<units::ImageState> for Image {
    fn from(image: units::ImageState) -> Image {
        match image {
            units::ImageState::None => Image::None,
            units::ImageState::Consistent(point) => Image::Consistent(point.into()),
            units::ImageState::Redo(point) => Image::Redo(point.into()),
            units::ImageState::Inconsistent => Image::Inconsistent,
        }
    }
}

impl From<Image> for units::ImageState {
    fn from(image: Image) -> units::ImageState {
        match image {
            Image::None => units::ImageState::None,
            Image::Consistent(point) => units::ImageState::Consistent(point.into()),
            Image::Redo(point) => units::ImageState::Redo(point.into()),
            Image::Inconsistent => units::ImageState::Inconsistent,
        }
    }
}

impl From<&units::Lineage> for Lineage {
    fn from(lineage: &units::Lineage) -> Lineage {
        let entry = |entry: &units::LineageEntry| LineageEntry {
            epoch: entry.epoch.0,
            generation: entry.generation.0,
            start: entry.start.0,
        };
        Lineage(lineage.0.iter().map(entry).collect())
    }
}

impl From<Lineage> for units::Lineage {
    fn from(lineage: Lineage) -> units::Lineage {
        let entry = |entry: LineageEntry| units::LineageEntry {
            epoch: units::Epoch(entry.epoch),
            generation: units::Generation(entry.generation),
            start: units::Seq(entry.start),
        };
        units::Lineage(lineage.0.into_iter().map(entry).collect())
    }
}

impl From<units::ChangeSource> for Source {
    fn from(source: units::ChangeSource) -> Source {
        match source {
            units::ChangeSource::Delta => Source::Delta,
            units::ChangeSource::Allocated => Source::Allocated,
            units::ChangeSource::Digests => Source::Digests,
            units::ChangeSource::FullRead => Source::FullRead,
            units::ChangeSource::Verify => Source::Verify,
        }
    }
}

impl From<Source> for units::ChangeSource {
    fn from(source: Source) -> units::ChangeSource {
        match source {
            Source::Delta => units::ChangeSource::Delta,
            Source::Allocated => units::ChangeSource::Allocated,
            Source::Digests => units::ChangeSource::Digests,
            Source::FullRead => units::ChangeSource::FullRead,
            Source::Verify => units::ChangeSource::Verify,
        }
    }
}

impl From<CycleId> for ChangeSet {
    fn from(id: CycleId) -> ChangeSet {
        ChangeSet {
            cycle: id.cycle.into(),
            from: id.from.map(Point::from),
        }
    }
}

impl From<ChangeSet> for CycleId {
    fn from(set: ChangeSet) -> CycleId {
        CycleId {
            cycle: set.cycle.into(),
            from: set.from.map(units::Point::from),
        }
    }
}

impl From<units::Extent> for Range {
    fn from(extent: units::Extent) -> Range {
        Range {
            offset: extent.offset,
            len: extent.len,
        }
    }
}

impl From<Range> for units::Extent {
    fn from(range: Range) -> units::Extent {
        units::Extent::new(range.offset, range.len)
    }
}
