//! Format 1 of every file. Of the superblock and of the state of the digests there is a later one;
//! those are read and never written.
//!
//! `superblock`:
//!
//! | in order | type |
//! |---|---|
//! | pair | UUID |
//! | site | string |
//! | role | role |
//! | epoch | u64 |
//! | lineage | lineage |
//! | committed point, applied cut, newest point written | three options of a point |
//! | image | image |
//! | size of the volume in bytes | u64 |
//! | never writable, clean, diverged | three bools |
//! | the value of `spec.primary` handled last | string |
//! | who led the last transfer | option of: string, u64, UUID |
//! | how it ended | option of: mode, option of a point, point, bool, u64 |
//! | what the dirty set counts from | option of a point |
//! | the peer | option of: string, u64, two options of a point, bool |
//! | commits | list of: point, u64, u64 |
//!
//! `staging` and `digests.next`: the content of the header is the change set, the size of the volume
//! u64 and the change source. The head of a record of kind `B` is the end of what it covers u64 and a
//! list of regions: a range and, in `staging`, 0 and the CRC-32C u32 for data or 1 for zeros; in
//! `digests.next` a bool, true for data. The record's data is that of the regions, or the digests of
//! their blocks, 16 bytes each. The head of the record of kind `S` is the number of runs, bytes of data
//! and bytes of zeros, three u64, and a digest.
//!
//! `digests.state`: the point, the size of the volume u64, and a bool that says whether pages may
//! still be of the cut before.
//!
//! `in-place`: the change set, the size of the volume u64, and how far it is durable u64.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::formats::parts::{ChangeSet, Image, Lineage, Point, Range, Role, Source};
use crate::journal::{
    DigestLogSpec, DigestState as LiveState, InPlaceMark as LiveMark, StagingSpec,
    Superblock as Live,
};
use protocol::changes::{CycleSum, Region as LiveRegion, RegionKind};
use protocol::units;
use protocol::units::{Epoch, Extent, InvalidName, PairId};

#[derive(Serialize, Deserialize)]
pub(super) struct Superblock {
    pair_id: Uuid,
    site: String,
    role: Role,
    epoch: u64,
    lineage: Lineage,
    committed: Option<Point>,
    applied: Option<Point>,
    last_write: Option<Point>,
    image: Image,
    size_bytes: u64,
    never_writable: bool,
    clean: bool,
    diverged: bool,
    requested_primary: String,
    last_master: Option<(String, u64, Uuid)>,
    last_transfer: Option<(Mode, Option<Point>, Point, bool, u64)>,
    dirty_base: Option<Point>,
    peer: Option<(String, u64, Option<Point>, Option<Point>, bool)>,
    history: Vec<(Point, u64, u64)>,
}

/// How a standby caught up.
#[derive(Serialize, Deserialize)]
enum Mode {
    None,
    Log,
    Bitmap,
    Full,
    Diverged,
    Refuse,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct LogHeader {
    id: ChangeSet,
    size_bytes: u64,
    source: Source,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StagedBatch {
    pub(super) through: u64,
    pub(super) regions: Vec<Region>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Region {
    range: Range,
    kind: Kind,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Data { crc: u32 },
    Zero,
}

#[derive(Serialize, Deserialize)]
pub(super) struct DigestBatch {
    pub(super) through: u64,
    regions: Vec<(Range, bool)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Sum {
    count: u64,
    data_bytes: u64,
    zero_bytes: u64,
    digest: [u8; 32],
}

#[derive(Deserialize)]
pub(super) struct DigestState {
    point: Point,
    size_bytes: u64,
    updating: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct InPlaceMark {
    id: ChangeSet,
    size_bytes: u64,
    through: u64,
}

impl TryFrom<Superblock> for Live {
    type Error = InvalidName;

    fn try_from(stored: Superblock) -> Result<Live, InvalidName> {
        Ok(Live {
            pair_id: PairId(stored.pair_id),
            site: stored.site.parse()?,
            role: stored.role.into(),
            epoch: Epoch(stored.epoch),
            lineage: stored.lineage.into(),
            committed: stored.committed.map(units::Point::from),
            applied: stored.applied.map(units::Point::from),
            image: stored.image.into(),
            size_bytes: stored.size_bytes,
            volume: None,
            never_writable: stored.never_writable,
            diverged: stored.diverged,
            requested_primary: stored.requested_primary.parse()?,
        })
    }
}

impl From<StagingSpec> for LogHeader {
    fn from(spec: StagingSpec) -> LogHeader {
        LogHeader {
            id: spec.id.into(),
            size_bytes: spec.size_bytes,
            source: spec.change_source.into(),
        }
    }
}

impl From<LogHeader> for StagingSpec {
    fn from(stored: LogHeader) -> StagingSpec {
        StagingSpec {
            id: stored.id.into(),
            size_bytes: stored.size_bytes,
            change_source: stored.source.into(),
        }
    }
}

impl From<DigestLogSpec> for LogHeader {
    fn from(spec: DigestLogSpec) -> LogHeader {
        LogHeader {
            id: spec.id.into(),
            size_bytes: spec.size_bytes,
            source: spec.change_source.into(),
        }
    }
}

impl From<LogHeader> for DigestLogSpec {
    fn from(stored: LogHeader) -> DigestLogSpec {
        DigestLogSpec {
            id: stored.id.into(),
            size_bytes: stored.size_bytes,
            change_source: stored.source.into(),
        }
    }
}

impl From<LiveRegion> for Region {
    fn from(region: LiveRegion) -> Region {
        Region {
            range: region.extent.into(),
            kind: match region.kind {
                RegionKind::Data { crc } => Kind::Data { crc },
                RegionKind::Zero => Kind::Zero,
            },
        }
    }
}

impl From<Region> for LiveRegion {
    fn from(region: Region) -> LiveRegion {
        LiveRegion {
            extent: region.range.into(),
            kind: match region.kind {
                Kind::Data { crc } => RegionKind::Data { crc },
                Kind::Zero => RegionKind::Zero,
            },
        }
    }
}

impl DigestBatch {
    pub(super) fn new(through: u64, regions: &[LiveRegion]) -> DigestBatch {
        let part = |region: &LiveRegion| {
            let data = matches!(region.kind, RegionKind::Data { .. });
            (Range::from(region.extent), data)
        };
        DigestBatch {
            through,
            regions: regions.iter().map(part).collect(),
        }
    }

    /// The regions; the checksum of data is no business of the digests.
    pub(super) fn regions(self) -> Vec<LiveRegion> {
        let live = |(range, data): (Range, bool)| LiveRegion {
            extent: Extent::from(range),
            kind: match data {
                true => RegionKind::Data { crc: 0 },
                false => RegionKind::Zero,
            },
        };
        self.regions.into_iter().map(live).collect()
    }
}

impl From<CycleSum> for Sum {
    fn from(sum: CycleSum) -> Sum {
        Sum {
            count: sum.count,
            data_bytes: sum.data_bytes,
            zero_bytes: sum.zero_bytes,
            digest: sum.digest,
        }
    }
}

impl From<Sum> for CycleSum {
    fn from(sum: Sum) -> CycleSum {
        CycleSum {
            count: sum.count,
            data_bytes: sum.data_bytes,
            zero_bytes: sum.zero_bytes,
            digest: sum.digest,
        }
    }
}

impl From<DigestState> for LiveState {
    fn from(stored: DigestState) -> LiveState {
        LiveState {
            point: stored.point.into(),
            size_bytes: stored.size_bytes,
            updating: stored.updating,
            generation: 0,
            pages: 0,
            root: None,
        }
    }
}

impl From<LiveMark> for InPlaceMark {
    fn from(mark: LiveMark) -> InPlaceMark {
        InPlaceMark {
            id: mark.id.into(),
            size_bytes: mark.size_bytes,
            through: mark.through,
        }
    }
}

impl From<InPlaceMark> for LiveMark {
    fn from(stored: InPlaceMark) -> LiveMark {
        LiveMark {
            id: stored.id.into(),
            size_bytes: stored.size_bytes,
            through: stored.through,
        }
    }
}
