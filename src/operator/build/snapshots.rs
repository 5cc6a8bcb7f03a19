//! The VolumeSnapshot of a cut.

use crate::api::names;
use crate::operator::build::{PairRef, Part};
use crate::operator::decide::CutWish;
use crate::operator::snapshot_api::{VolumeSnapshot, VolumeSnapshotSource, VolumeSnapshotSpec};

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
