//! The VolumeSnapshot of a cut.

use crate::render::{PairRef, Part};
use api::names;
use api::snapshots::{VolumeSnapshot, VolumeSnapshotSource, VolumeSnapshotSpec};
use planner::decide::SnapshotRequest;

/// The VolumeSnapshot for `desired`.
#[must_use]
pub fn snapshot(pair: &PairRef, desired: &SnapshotRequest) -> VolumeSnapshot {
    let name = names::snapshot(&pair.name, desired.site.as_str(), desired.point);
    VolumeSnapshot {
        metadata: pair.meta(name, &desired.site, Part::Cut, Some(desired.point)),
        spec: VolumeSnapshotSpec {
            source: VolumeSnapshotSource {
                persistent_volume_claim_name: Some(desired.claim.clone()),
                volume_snapshot_content_name: None,
            },
            volume_snapshot_class_name: desired.class.clone(),
        },
        status: None,
    }
}
