//! What people apply: the spec of a pair, as JSON or YAML.

use api::ReplicationPair;
use api::v1alpha1::ReplicationPairSpec;
use jiff::Timestamp;
use planner::observe::{
    Claim, Fresh, Observed, SiteView, SnapshotClasses, StorageClassView, Timeline, Volume,
    VolumeMode,
};
use planner::validate::{INTERVAL_MIN, validate};
use uuid::Uuid;

/// A spec. It reads back from JSON as it was; validation names a problem, or the settings that are
/// used are within their bounds.
pub fn spec(bytes: &[u8]) -> bool {
    let spec: Option<ReplicationPairSpec> = match bytes.first() {
        Some(b'{') => serde_json::from_slice(bytes).ok(),
        _ => serde_yaml::from_slice(bytes).ok(),
    };
    let Some(spec) = spec else {
        return false;
    };
    let json = serde_json::to_vec(&spec).unwrap();
    assert_eq!(
        serde_json::from_slice::<ReplicationPairSpec>(&json).unwrap(),
        spec
    );
    let observed = observed(spec);
    let validated = validate(&observed);
    let used = validated.carry_on_with();
    assert!((5_000..=3_600_000).contains(&used.transfer.stall_timeout_ms));
    assert_ne!(used.transfer.bytes_per_second, Some(0));
    assert_ne!(used.state_volume_bytes, Some(0));
    if let Some(problem) = validated.problem() {
        assert!(!problem.message.is_empty());
        return false;
    }
    assert!(used.interval >= INTERVAL_MIN);
    assert_eq!(used.sites.len(), 2);
    assert!(
        observed
            .pair
            .spec
            .sites
            .iter()
            .any(|s| s.name == observed.pair.spec.primary)
    );
    true
}

/// A cluster in which whatever the spec names is there.
fn observed(spec: ReplicationPairSpec) -> Observed {
    let driver = "csi.example.com";
    let class = |name: String| StorageClassView {
        name,
        driver: driver.into(),
        expandable: true,
    };
    let claim = Claim {
        name: spec.claim_name.clone(),
        uid: "1".into(),
        deleting: false,
        requested_bytes: 1 << 30,
        capacity_bytes: 1 << 30,
        bound: true,
        mode: VolumeMode::Filesystem,
        storage_class: None,
        volume: Some(Volume {
            name: "pv-1".into(),
            driver: Some(driver.into()),
            handle: Some("1".into()),
        }),
        parked: false,
    };
    let sites = spec
        .sites
        .iter()
        .filter_map(|site| site.name.parse().ok().map(|name| (site, name)))
        .map(|(site, name)| SiteView {
            known: true,
            storage_class: Some(class(site.storage_class_name.clone().unwrap_or_default())),
            snapshot_classes: SnapshotClasses {
                named_here: None,
                named_for_both: None,
                all: vec![("snapshots".into(), driver.into(), true)],
            },
            snapshots_served: true,
            app_claim: Some(claim.clone()),
            ..SiteView::empty(name)
        })
        .collect();
    Observed {
        now: Timestamp::UNIX_EPOCH,
        fresh: Fresh {
            pair_id: Uuid::nil(),
            generation: Uuid::nil(),
        },
        pair: ReplicationPair::new("orders", spec),
        sites,
        promotions: Vec::new(),
        resyncs: Vec::new(),
        rival: None,
        slot: true,
        verify_slot: true,
        timeline: Timeline::default(),
    }
}
