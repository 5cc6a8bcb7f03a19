//! A pair at rest, as plain data: what unit tests begin from.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::observe::{
    Claim, Cut, Fresh, MoverPod, Observed, SiteView, SnapshotClasses, SourceClaim,
    StorageClassView, Timeline, Volume, VolumeMode,
};
use api::Promotion;
use api::v1alpha1::PromotionKind;
use protocol::units::{
    ChangeSource, Epoch, Generation, ImageState, Lineage, PairId, Point, Role, Seq,
};
use wire::control::{Activity, CycleReport, MoverStatus, SuperblockReport};

/// The size of the volume.
pub(crate) const GIB: u64 = 1 << 30;

/// The point that is committed.
pub(crate) const POINT: Point = Point::new(1, 1);

/// A pair of 1 GiB that has committed [`POINT`] a moment ago. East is primary; both movers run, with the
/// cut and the replica.
pub(crate) fn at_rest() -> Observed {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let site = |name: &str, role: &str| {
        json!({
            "name": name, "role": role, "volume": format!("pv-{name}-volume"), "driver": "d",
            "handle": format!("{name}-volume"),
        })
    };
    let point = json!({"label": "1.1", "epoch": 1, "seq": 1, "cutAt": now});
    let pair = json!({
        "apiVersion": "ferry.dev/v1alpha1", "kind": "ReplicationPair",
        "metadata": {"name": "orders", "namespace": "shop", "generation": 1, "uid": "pair"},
        "spec": {
            "claimName": "data", "primary": "east", "snapshot": {"interval": "1m"},
            "sites": [
                {"name": "east", "storageClassName": "fast"},
                {"name": "west", "storageClassName": "fast"},
            ],
        },
        "status": {
            "pairId": Uuid::from_u128(1), "generation": Uuid::from_u128(2), "epoch": 1,
            "primary": "east", "handledPrimary": "east", "committedPoint": point, "lastCut": point,
            "sites": [site("east", "Primary"), site("west", "Standby")],
        },
    });
    Observed {
        now,
        fresh: Fresh {
            pair_id: Uuid::from_u128(3),
            generation: Uuid::from_u128(4),
        },
        pair: serde_json::from_value(pair).unwrap(),
        sites: vec![view("east", Role::Primary), view("west", Role::Standby)],
        promotions: Vec::new(),
        resyncs: Vec::new(),
        rival: None,
        slot: true,
        verify_slot: true,
        timeline: Timeline::default(),
    }
}

/// A claim that is bound to the volume of this handle.
pub(crate) fn claim(name: &str, handle: &str, mode: VolumeMode) -> Claim {
    Claim {
        name: name.into(),
        uid: format!("uid-{name}"),
        deleting: false,
        requested_bytes: GIB,
        capacity_bytes: GIB,
        bound: true,
        mode,
        storage_class: Some("fast".into()),
        volume: Some(Volume {
            name: format!("pv-{handle}"),
            driver: Some("d".into()),
            handle: Some(handle.into()),
        }),
        parked: false,
    }
}

/// A request to promote west in epoch 1, made so many seconds after another of 0.
pub(crate) fn promotion(name: &str, seconds: i64, kind: PromotionKind) -> Promotion {
    let made = Timestamp::from_second(1_700_000_000 + seconds).unwrap();
    let value = json!({
        "apiVersion": "ferry.dev/v1alpha1", "kind": "Promotion",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "generation": 1, "creationTimestamp": made,
            "ownerReferences": [{
                "apiVersion": "ferry.dev/v1alpha1", "kind": "ReplicationPair", "name": "orders",
                "uid": "pair",
            }],
        },
        "spec": {"pairRef": {"name": "orders"}, "site": "west", "epoch": 1, "kind": kind},
    });
    serde_json::from_value(value).unwrap()
}

fn view(name: &str, role: Role) -> SiteView {
    let primary = role == Role::Primary;
    let replica = format!("orders-{name}-replica");
    let state = format!("orders-{name}-meta");
    let source = SourceClaim {
        name: format!("orders-{name}-1-1-read"),
        point: POINT,
        storage_class: Some("fast".into()),
        bound: true,
        deleting: false,
    };
    let device = match primary {
        true => source.name.clone(),
        false => replica.clone(),
    };
    SiteView {
        known: true,
        storage_class: Some(StorageClassView {
            name: "fast".into(),
            driver: "d".into(),
            expandable: true,
        }),
        snapshot_classes: SnapshotClasses {
            all: vec![("snap".into(), "d".into(), false)],
            ..SnapshotClasses::default()
        },
        immediate_classes: ["fast".to_string()].into(),
        snapshots_served: true,
        app_claim: Some(claim("data", "east-volume", VolumeMode::Filesystem)),
        replica_claim: (!primary).then(|| claim(&replica, "west-volume", VolumeMode::Block)),
        state_claim: Some(claim(&state, &state, VolumeMode::Filesystem)),
        attached: Some(Vec::new()),
        cuts: vec![cut(name)],
        source_claims: primary.then_some(source).into_iter().collect(),
        pod: Some(MoverPod {
            name: format!("orders-{name}-mover"),
            uid: format!("pod-{name}"),
            ip: Some("10.0.0.1".into()),
            device_claim: Some(device),
            deleting: false,
            overdue: None,
            node: None,
            ended: false,
            problem: None,
        }),
        mover: Some(MoverStatus {
            version: 1,
            site: name.parse().unwrap(),
            superblock: Some(superblock(role)),
            superblock_error: None,
            device_bytes: Some(GIB),
            activity: Activity::Idle,
            progress: None,
            decision: None,
            change_source: None,
            last: None,
            unwritten: Vec::new(),
        }),
        ..SiteView::empty(name.parse().unwrap())
    }
}

fn cut(site: &str) -> Cut {
    Cut {
        name: format!("orders-{site}-1-1"),
        version: None,
        point: POINT,
        created: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        ready: true,
        error: None,
        content: Some(format!("content-orders-{site}-1-1")),
        being_created: false,
        facts: None,
        retained: false,
        clock_off: None,
        mode_change_allowed: true,
        restore_bytes: Some(GIB),
        deleting: false,
    }
}

fn superblock(role: Role) -> SuperblockReport {
    let image = match role {
        Role::Primary => ImageState::None,
        Role::Standby => ImageState::Consistent(POINT),
    };
    SuperblockReport {
        pair_id: PairId(Uuid::from_u128(1)),
        role,
        epoch: Epoch(1),
        lineage: Lineage::starting(Epoch(1), Generation(Uuid::from_u128(2)), Seq(1)),
        committed: Some(POINT),
        applied: Some(POINT),
        image,
        diverged: false,
        requested_primary: "east".parse().unwrap(),
    }
}

/// What a cycle that has moved a few bytes reports.
pub(crate) fn cycle_report(change_source: ChangeSource, data_bytes: u64) -> CycleReport {
    CycleReport {
        cycle: POINT,
        change_source,
        read_bytes: 1,
        data_bytes,
        zero_bytes: 0,
        wire_bytes: 1,
        digest: "d".into(),
        handshake_ms: 1,
        ship_ms: 1,
        apply_ms: 1,
    }
}
