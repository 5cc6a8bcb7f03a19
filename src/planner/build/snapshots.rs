//! The VolumeSnapshot of a cut.

use crate::build::{PairRef, Part};
use crate::decide::CutWish;
use api::names;
use api::snapshots::{VolumeSnapshot, VolumeSnapshotSource, VolumeSnapshotSpec};

/// The VolumeSnapshot for `wish`.
#[must_use]
pub fn snapshot(pair: &PairRef, wish: &CutWish) -> VolumeSnapshot {
    let name = names::snapshot(&pair.name, wish.site.as_str(), wish.point);
    VolumeSnapshot {
        metadata: pair.meta(name, &wish.site, Part::Cut, Some(wish.point)),
        spec: VolumeSnapshotSpec {
            source: VolumeSnapshotSource {
                persistent_volume_claim_name: Some(wish.claim.clone()),
                volume_snapshot_content_name: None,
            },
            volume_snapshot_class_name: wish.class.clone(),
        },
        status: None,
    }
}
