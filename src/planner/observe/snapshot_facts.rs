//! What is known of a snapshot beyond its object.

use jiff::Timestamp;
use serde_json::Value;

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

/// A VolumeSnapshotContent that does not say enough yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IncompleteSnapshot(pub String);

impl SnapshotFacts {
    /// Reads them from a VolumeSnapshotContent, as JSON.
    ///
    /// # Errors
    /// When the snapshot has no handle yet, or it is no such object.
    pub fn of_content(content: &Value) -> Result<SnapshotFacts, IncompleteSnapshot> {
        let text = |path: &str| {
            let text = content.pointer(path).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(String::from)
        };
        let name = text("/metadata/name").unwrap_or_else(|| "(unnamed)".into());
        let missing = |what: &str| {
            IncompleteSnapshot(format!("VolumeSnapshotContent {name} has no {what} yet"))
        };
        let number = |path: &str| content.pointer(path).and_then(Value::as_i64);
        Ok(SnapshotFacts {
            driver: text("/spec/driver").ok_or_else(|| missing("driver"))?,
            handle: text("/status/snapshotHandle").ok_or_else(|| missing("snapshot handle"))?,
            volume_handle: text("/spec/source/volumeHandle"),
            created_ns: number("/status/creationTime"),
            size_bytes: number("/status/restoreSize")
                .and_then(|size| u64::try_from(size).ok())
                .filter(|size| *size > 0),
        })
    }

    /// When the snapshot was taken, by the driver's clock.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(i128::from(self.created_ns?)).ok()
    }
}
