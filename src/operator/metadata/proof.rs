//! The proof that a delta may be asked for: the service passes the base on unchecked.

use jiff::Timestamp;
use serde_json::Value;

use crate::operator::metadata::{MetadataError, Trust};

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
    /// Reads them from a VolumeSnapshotContent, as JSON.
    ///
    /// # Errors
    /// When the snapshot has no handle yet, or it is no such object.
    pub fn of_content(content: &Value) -> Result<SnapshotFacts, MetadataError> {
        let text = |path: &str| {
            let text = content.pointer(path).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(String::from)
        };
        let name = text("/metadata/name").unwrap_or_else(|| "(unnamed)".into());
        let missing = |what: &str| {
            let because = format!("VolumeSnapshotContent {name} has no {what} yet");
            MetadataError::new(Trust::Later, because)
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

/// Proves that `base` and `target` are snapshots of the volume `volume_handle` by one driver, and
/// that `base` is older.
///
/// # Errors
/// When any of it can't be proved; the sentence says which.
pub fn prove_delta(
    base: &SnapshotFacts,
    target: &SnapshotFacts,
    volume_handle: &str,
) -> Result<(), MetadataError> {
    let refuse = |because: String| Err(MetadataError::new(Trust::NoDelta, because));
    if base.driver != target.driver {
        return refuse(format!(
            "the last cycle's snapshot is of driver {}, this one of {}",
            base.driver, target.driver
        ));
    }
    for (snapshot, which) in [(base, "the last cycle's"), (target, "this cycle's")] {
        match snapshot.volume_handle.as_deref() {
            Some(handle) if handle == volume_handle => {}
            Some(other) => {
                return refuse(format!(
                    "{which} snapshot is of volume {other}, not of {volume_handle}"
                ));
            }
            None => {
                return refuse(format!(
                    "{which} snapshot does not say of which volume it is"
                ));
            }
        }
    }
    if base.handle == target.handle {
        return refuse("the last cycle's snapshot and this one are the same".into());
    }
    match (base.created_ns, target.created_ns) {
        // Drivers may have a coarse clock; equal times of two snapshots of one volume prove nothing.
        (Some(before), Some(after)) if before < after => {}
        (Some(_), Some(_)) => {
            return refuse("the last cycle's snapshot is not older than this one".into());
        }
        _ => return refuse("the driver does not say when the snapshots were taken".into()),
    }
    if let (Some(before), Some(after)) = (base.size_bytes, target.size_bytes)
        && before > after
    {
        return refuse(format!(
            "the volume has shrunk from {before} to {after} bytes since the last cycle"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(handle: &str, volume: &str, created: i64) -> SnapshotFacts {
        SnapshotFacts::of_content(&json!({
            "metadata": {"name": "content"},
            "spec": {"driver": "d", "source": {"volumeHandle": volume}},
            "status": {"snapshotHandle": handle, "creationTime": created, "restoreSize": 4096},
        }))
        .unwrap()
    }

    #[test]
    fn only_an_older_snapshot_of_the_same_volume_is_a_base() {
        let base = facts("s1", "v", 1);
        let target = facts("s2", "v", 2);
        prove_delta(&base, &target, "v").unwrap();
        let because = |base: &SnapshotFacts, target: &SnapshotFacts| {
            let error = prove_delta(base, target, "v").unwrap_err();
            assert_eq!(error.trust, Trust::NoDelta);
            error.because
        };
        assert!(because(&target, &base).contains("not older"));
        assert!(because(&base, &facts("s2", "v", 1)).contains("not older"));
        assert!(because(&base, &facts("s2", "w", 2)).contains("volume w"));
        assert!(because(&facts("s1", "w", 1), &target).contains("volume w"));
        assert!(because(&base, &facts("s1", "v", 2)).contains("the same"));
        let unknown = SnapshotFacts {
            volume_handle: None,
            ..base.clone()
        };
        assert!(because(&unknown, &target).contains("which volume"));
        let timeless = SnapshotFacts {
            created_ns: None,
            ..base.clone()
        };
        assert!(because(&timeless, &target).contains("when"));
        let other = SnapshotFacts {
            driver: "e".into(),
            ..base.clone()
        };
        assert!(because(&other, &target).contains("driver e"));
        let larger = SnapshotFacts {
            size_bytes: Some(8192),
            ..base
        };
        assert!(because(&larger, &target).contains("shrunk"));
    }

    #[test]
    fn a_content_without_a_handle_is_not_ready() {
        let error =
            SnapshotFacts::of_content(&json!({"metadata": {"name": "c"}, "spec": {"driver": "d"}}))
                .unwrap_err();
        assert_eq!(error.trust, Trust::Later);
        assert!(error.because.contains("content c") || error.because.contains("Content c"));
    }

    #[test]
    fn facts_read_back() {
        let base = facts("s1", "v", 1_800_000_000_000_000_000);
        let text = serde_json::to_string(&base).unwrap();
        assert_eq!(serde_json::from_str::<SnapshotFacts>(&text).unwrap(), base);
        assert_eq!(base.created().unwrap().as_second(), 1_800_000_000);
    }
}
