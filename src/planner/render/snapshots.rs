//! The VolumeSnapshot of a cut.

use crate::decide::SnapshotRequest;
use crate::render::{PairRef, Part};
use api::names;
use api::snapshots::{VolumeSnapshot, VolumeSnapshotSource, VolumeSnapshotSpec};

/// The VolumeSnapshot for `request`.
#[must_use]
pub fn snapshot(pair: &PairRef, request: &SnapshotRequest) -> VolumeSnapshot {
    let name = names::snapshot(&pair.name, request.site.as_str(), request.point);
    VolumeSnapshot {
        metadata: pair.meta(name, &request.site, Part::Cut, Some(request.point)),
        spec: VolumeSnapshotSpec {
            source: VolumeSnapshotSource {
                persistent_volume_claim_name: Some(request.claim.clone()),
                volume_snapshot_content_name: None,
            },
            volume_snapshot_class_name: request.class.clone(),
        },
        status: None,
    }
}
