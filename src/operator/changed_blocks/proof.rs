//! The proof that a delta may be asked for: the service passes the base on unchecked.

use planner::observe::SnapshotFacts;

use crate::changed_blocks::{MetadataError, Trust};

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
        assert!(error.to_string().contains("Content c"));
    }

    #[test]
    fn facts_read_back() {
        let base = facts("s1", "v", 1_800_000_000_000_000_000);
        let text = serde_json::to_string(&base).unwrap();
        assert_eq!(serde_json::from_str::<SnapshotFacts>(&text).unwrap(), base);
        assert_eq!(base.created().unwrap().as_second(), 1_800_000_000);
    }
}
