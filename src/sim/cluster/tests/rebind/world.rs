//! East is primary, west holds the replica: the objects that a move begins from, and the request.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::json;

use crate::cluster::server::{Server, pod_using};
use api::names;
use planner::rebind::{DesiredBinding, Objects, RebindView, SiteVolume};
use protocol::units::{Epoch, PairName, VolumeId};

pub(super) fn pair() -> PairName {
    "shop/orders".parse().unwrap()
}

pub(super) fn key(site: &str) -> VolumeId {
    VolumeId {
        driver: format!("{site}.example"),
        handle: format!("vol-{site}"),
    }
}

pub(super) fn site(name: &str) -> SiteVolume {
    SiteVolume {
        site: name.parse().unwrap(),
        volume: key(name),
    }
}

pub(super) fn desired(primary: &str, standby: &str, epoch: u64) -> DesiredBinding {
    DesiredBinding {
        pair: pair(),
        uid: "pair".into(),
        epoch: Epoch(epoch),
        app_claim: "data".into(),
        primary: Some(site(primary)),
        standby: Some(site(standby)),
        closed: None,
        only_reserve: false,
    }
}

/// The application's claim is parked: `closed` has let it go, and `standby` keeps its replica claim.
pub(super) fn parked(closed: &str, standby: &str, epoch: u64) -> DesiredBinding {
    DesiredBinding {
        primary: None,
        closed: Some(site(closed)),
        ..desired(closed, standby, epoch)
    }
}

/// A PersistentVolume as external-provisioner makes it.
pub(super) fn volume(site: &str, mode: &str, claim: &str) -> PersistentVolume {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("pvc-{site}"), "uid": format!("pv-{site}"), "resourceVersion": "1",
            "annotations": {
                "pv.kubernetes.io/provisioned-by": format!("{site}.example"),
                "pv.kubernetes.io/bound-by-controller": "yes",
            },
            "finalizers": [
                "external-provisioner.volume.kubernetes.io/finalizer",
                "kubernetes.io/pv-protection",
            ],
        },
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": format!("class-{site}"),
            "volumeMode": mode,
            "mountOptions": if mode == "Block" { json!([]) } else { json!(["noatime"]) },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "site", "operator": "In", "values": [site]},
            ]}]}},
            "csi": {
                "driver": format!("{site}.example"), "volumeHandle": format!("vol-{site}"),
                "fsType": if mode == "Block" { json!(null) } else { json!("xfs") },
                "volumeAttributes": {"pool": site},
                "controllerExpandSecretRef": {"name": "s", "namespace": "n"},
            },
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "shop",
                "name": claim, "uid": format!("uid-{claim}"), "resourceVersion": "1",
            },
        },
    }))
    .unwrap()
}

pub(super) fn claim(name: &str, mode: &str, volume: &str, class: &str) -> PersistentVolumeClaim {
    let labels = match name {
        "data" => json!({"app": name}),
        _ => json!({"app": name, names::PAIR_UID_LABEL: "pair"}),
    };
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "1",
            "labels": labels,
            "annotations": {"team": "orders", "pv.kubernetes.io/bind-completed": "yes"},
            "finalizers": ["kubernetes.io/pvc-protection"],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": class, "volumeMode": mode, "volumeName": volume,
        },
        "status": {"phase": "Bound"},
    }))
    .unwrap()
}

/// East is primary; the application and the movers are running.
pub(super) fn world(app_mode: &str) -> Server {
    let replica = names::replica_claim("orders", "west");
    let view = RebindView {
        claims: BTreeMap::from([
            (
                "data".into(),
                claim("data", app_mode, "pvc-east", "class-east"),
            ),
            (
                replica.clone(),
                claim(&replica, "Block", "pvc-west", "class-west"),
            ),
        ]),
        volumes: BTreeMap::from([
            ("pvc-east".into(), volume("east", app_mode, "data")),
            ("pvc-west".into(), volume("west", "Block", &replica)),
        ]),
        ..RebindView::default()
    };
    let mut server = Server {
        objects: Objects::of(&view),
        storage_classes: ["east", "west"].map(class).into(),
        ..Server::default()
    };
    for site in ["east", "west"] {
        let driver = format!("{site}.example");
        server
            .storage
            .insert(&format!("vol-{site}"), &driver, 1 << 30, None);
    }
    run_pod(&mut server, "db-0", "data");
    run_pod(&mut server, "orders-west-mover", &replica);
    server.settle_volumes();
    server
}

/// A storage class that makes volumes at once.
fn class(site: &str) -> StorageClass {
    serde_json::from_value(json!({
        "metadata": {"name": format!("class-{site}")},
        "provisioner": format!("{site}.example"), "reclaimPolicy": "Delete",
    }))
    .unwrap()
}

/// A pod starts that uses a claim, as far as that goes.
pub(super) fn run_pod(server: &mut Server, name: &str, claim: &str) {
    server.put_pod(pod_using(name, claim)).unwrap();
    for _ in 0..2 {
        server.pod_step(name, "node-1");
    }
}
