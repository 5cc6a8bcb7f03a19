//! Format 3 of the superblock: what format 2 holds, and which volume it is about.
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
//! | driver and handle of the volume | an option of two strings |
//! | never writable, diverged | two bools |
//! | the value of `spec.primary` handled last | string |

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::formats::parts::{Image, Lineage, Point, Role};
use crate::journal::Superblock as Live;
use protocol::units;
use protocol::units::{Epoch, InvalidName, PairId, VolumeId};

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
    volume: Option<(String, String)>,
    never_writable: bool,
    diverged: bool,
    requested_primary: String,
}

impl From<&Live> for Superblock {
    fn from(live: &Live) -> Superblock {
        Superblock {
            pair_id: live.pair_id.0,
            site: live.site.to_string(),
            role: live.role.into(),
            epoch: live.epoch.0,
            lineage: (&live.lineage).into(),
            committed: live.committed.map(Point::from),
            applied: live.applied.map(Point::from),
            image: live.image.into(),
            size_bytes: live.size_bytes,
            volume: live
                .volume
                .as_ref()
                .map(|volume| (volume.driver.clone(), volume.handle.clone())),
            never_writable: live.never_writable,
            diverged: live.diverged,
            requested_primary: live.requested_primary.to_string(),
        }
    }
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
            volume: stored
                .volume
                .map(|(driver, handle)| VolumeId { driver, handle }),
            never_writable: stored.never_writable,
            diverged: stored.diverged,
            requested_primary: stored.requested_primary.parse()?,
        })
    }
}
