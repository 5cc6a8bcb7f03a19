//! Format 2 of the superblock, which is only read, and of the state of the digests.
//!
//! `superblock`: what format 1 holds, without what nothing was ever decided on.
//!
//! | in order | type |
//! |---|---|
//! | pair | UUID |
//! | site | string |
//! | role | role |
//! | epoch | u64 |
//! | lineage | lineage |
//! | committed point, applied cut | two options of a point |
//! | image | image |
//! | size of the volume in bytes | u64 |
//! | never writable, diverged | two bools |
//! | the value of `spec.primary` handled last | string |
//!
//! `digests.state`: the point, the size of the volume u64, a bool that says whether pages may still be of
//! the cut before, the generation u64, the length of the pages' file in pages u64, and an option of the
//! root u128, which is of the pages that stay as they are while that bool is true.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::formats::parts::{Image, Lineage, Point, Role};
use crate::journal::{DigestState as LiveState, Superblock as Live};
use protocol::units;
use protocol::units::{Epoch, InvalidName, PairId};

#[derive(Serialize, Deserialize)]
pub(super) struct Superblock {
    pair_id: Uuid,
    site: String,
    role: Role,
    epoch: u64,
    lineage: Lineage,
    committed: Option<Point>,
    applied: Option<Point>,
    image: Image,
    size_bytes: u64,
    never_writable: bool,
    diverged: bool,
    requested_primary: String,
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

#[derive(Serialize, Deserialize)]
pub(super) struct DigestState {
    point: Point,
    size_bytes: u64,
    updating: bool,
    generation: u64,
    pages: u64,
    root: Option<u128>,
}

impl From<LiveState> for DigestState {
    fn from(state: LiveState) -> DigestState {
        DigestState {
            point: state.point.into(),
            size_bytes: state.size_bytes,
            updating: state.updating,
            generation: state.generation,
            pages: state.pages,
            root: state.root,
        }
    }
}

impl From<DigestState> for LiveState {
    fn from(stored: DigestState) -> LiveState {
        LiveState {
            point: stored.point.into(),
            size_bytes: stored.size_bytes,
            updating: stored.updating,
            generation: stored.generation,
            pages: stored.pages,
            root: stored.root,
        }
    }
}
