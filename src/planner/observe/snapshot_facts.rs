//! What is known of a snapshot beyond its object.

use jiff::Timestamp;

/// What the VolumeSnapshotContent says of a snapshot. Keep the base's with its point: the object may
/// be gone when it is needed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotFacts {
    /// `spec.driver`.
    pub driver: String,
    /// `status.snapshotHandle`.
    pub handle: String,
    /// `spec.source.volumeHandle`; `None` for a content that was made by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_handle: Option<String>,
    /// `status.creationTime`: nanoseconds since 1970, by the driver's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ns: Option<i64>,
    /// `status.restoreSize`: the size of the volume when the snapshot was taken, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

impl SnapshotFacts {
    /// When the snapshot was taken, by the driver's clock.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(i128::from(self.created_ns?)).ok()
    }
}
