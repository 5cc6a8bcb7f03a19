//! The proof that a delta may be asked for: the service passes the base on unchecked.

use jiff::Timestamp;

use crate::operator::metadata::MetadataError;

/// What the VolumeSnapshotContent says of a snapshot. Keep the base's with its point: the object may
/// be gone when it is needed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SnapshotFacts {
    /// `spec.driver`.
    pub driver: String,
    /// `status.snapshotHandle`.
    pub handle: String,
    /// `spec.source.volumeHandle`; `None` for a content that was made by hand.
    pub volume_handle: Option<String>,
    /// `status.creationTime`, nanoseconds since 1970.
    pub created_ns: Option<i64>,
}

impl SnapshotFacts {
    /// Reads them from a VolumeSnapshotContent, as JSON.
    ///
    /// # Errors
    /// When the snapshot has no handle yet, or it is no such object.
    pub fn of_content(content: &serde_json::Value) -> Result<SnapshotFacts, MetadataError> {
        todo!("{content}")
    }

    /// When the snapshot was taken, by the driver's clock.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(i128::from(self.created_ns?)).ok()
    }
}

/// Proves that `base` and `target` are snapshots of the volume `volume_handle` by one driver, and
/// that `base` is older.
///
/// # Errors
/// When any of it can't be proved; [`MetadataError::because`] says which.
pub fn prove_delta(
    base: &SnapshotFacts,
    target: &SnapshotFacts,
    volume_handle: &str,
) -> Result<(), MetadataError> {
    todo!("{base:?} {target:?} {volume_handle}")
}
