//! Each controller against what Kubernetes 1.34 does.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt as _;
use serde_json::json;

use crate::cluster::server::{Server, phase, pod_using};
use crate::image::Image;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};

/// The size of every volume.
const VOLUME_BYTES: u64 = 64 << 10;

/// A cluster with two classes of one driver.
fn server() -> Server {
    let class = |name: &str, mode: &str| {
        serde_json::from_value(json!({
            "metadata": {"name": name}, "provisioner": "d", "reclaimPolicy": "Delete",
            "volumeBindingMode": mode,
        }))
        .unwrap()
    };
    Server {
        storage_classes: vec![
            class("fast", "Immediate"),
            class("late", "WaitForFirstConsumer"),
        ],
        ..Server::default()
    }
}

fn claim(name: &str, class: &str, volume: Option<&str>) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeName": volume,
            "resources": {"requests": {"storage": VOLUME_BYTES.to_string()}},
        },
    }))
    .unwrap()
}

/// A volume that is reserved for a claim of any UID.
fn reserved(name: &str, claim: &str) -> PersistentVolume {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": VOLUME_BYTES.to_string()},
            "storageClassName": "fast", "persistentVolumeReclaimPolicy": "Retain",
            "csi": {"driver": "d", "volumeHandle": "vol-kept"},
            "claimRef": {"namespace": "shop", "name": claim},
        },
    }))
    .unwrap()
}

fn pod_phase(server: &mut Server, name: &str) -> String {
    for _ in 0..4 {
        server.pod_step(name, "node-1");
        server.settle_volumes();
    }
    phase(&server.pods[name]).into()
}

/// K-4: a claim that names a volume which does not exist stays Pending, and so does its pod; nobody
/// provisions for it, whatever its class.
#[test]
fn k_4_a_parked_claim_stays_pending_and_is_bound_when_its_volume_comes() {
    for class in ["fast", "late"] {
        let mut server = server();
        server
            .put_claim(&claim("data", class, Some("parked")))
            .unwrap();
        server.put_pod(pod_using("db-0", "data")).unwrap();
        server.settle_volumes();
        assert_eq!(pod_phase(&mut server, "db-0"), "Pending", "{class}");
        assert!(!server.objects.claims["data"].is_bound());
        assert!(server.objects.volumes.is_empty(), "somebody provisioned");
        server
            .objects
            .create_volume(&reserved("parked", "data"))
            .unwrap();
        server.settle_volumes();
        assert!(server.objects.claims["data"].is_bound(), "{class}");
        assert_eq!(pod_phase(&mut server, "db-0"), "Running", "{class}");
    }
}

#[test]
fn a_claim_gets_the_volume_that_is_reserved_for_its_name_or_a_new_one() {
    let mut server = server();
    server
        .objects
        .create_volume(&reserved("kept", "data"))
        .unwrap();
    server.put_claim(&claim("data", "fast", None)).unwrap();
    server.put_claim(&claim("other", "fast", None)).unwrap();
    server.settle_volumes();
    assert_eq!(server.objects.claims["data"].volume_name(), "kept");
    assert!(
        server.objects.claims["other"]
            .volume_name()
            .starts_with("pvc-")
    );
}

/// F19 of the operator's review: a reserved volume that does not fit is no obstacle to an empty one.
#[test]
fn a_reservation_that_does_not_fit_is_passed_over() {
    let changes: [&dyn Fn(&mut PersistentVolume); 3] = [
        &|volume| volume.spec.as_mut().unwrap().volume_mode = Some("Block".into()),
        &|volume| volume.spec.as_mut().unwrap().access_modes = Some(vec!["ReadOnlyMany".into()]),
        &|volume| {
            let spec = volume.spec.as_mut().unwrap();
            spec.volume_attributes_class_name = Some("gold".into());
        },
    ];
    for change in changes {
        let mut server = server();
        let mut volume = reserved("kept", "data");
        change(&mut volume);
        server.objects.create_volume(&volume).unwrap();
        server.put_claim(&claim("data", "fast", None)).unwrap();
        server.settle_volumes();
        assert!(
            server.objects.claims["data"]
                .volume_name()
                .starts_with("pvc-")
        );
    }
}

/// A10 of the review: what the volume controller does not see yet it does not bind.
#[test]
fn a_reservation_that_the_controller_has_not_seen_is_not_followed() {
    let mut server = server();
    server.health.cache_lags = true;
    server.catch_up();
    server
        .objects
        .create_volume(&reserved("kept", "data"))
        .unwrap();
    server.put_claim(&claim("data", "fast", None)).unwrap();
    server.bind();
    server.provision();
    server.health.cache_lags = false;
    server.settle_volumes();
    let bound = server.objects.claims["data"].volume_name();
    assert_eq!(
        bound, "kept",
        "an empty volume lost the race for its name only by luck"
    );
    assert_eq!(
        server.objects.volumes.len(),
        1,
        "the volume nobody needs is left"
    );
}

#[test]
fn a_claim_that_waits_for_its_first_consumer_gets_a_volume_with_its_pod() {
    let mut server = server();
    server.put_claim(&claim("data", "late", None)).unwrap();
    server.settle_volumes();
    assert!(server.objects.volumes.is_empty());
    server.put_pod(pod_using("db-0", "data")).unwrap();
    assert_eq!(pod_phase(&mut server, "db-0"), "Running");
    assert_eq!(server.storage.volumes.len(), 1);
}

/// K-2: what is released goes with its storage unless it is retained; a claim whose volume is gone is
/// Lost.
#[test]
fn k_2_deleting_a_claim_destroys_its_storage_unless_it_is_retained() {
    for policy in ["Delete", "Retain"] {
        let mut server = server();
        server.put_claim(&claim("data", "fast", None)).unwrap();
        server.settle_volumes();
        let volume = server.objects.claims["data"].volume_name().to_string();
        server.objects.change_volume(&volume, None, |volume| {
            let spec = volume.spec.as_mut().unwrap();
            spec.persistent_volume_reclaim_policy = Some(policy.into());
        });
        server.objects.delete_claim("data");
        server.settle_volumes();
        assert!(!server.objects.claims.contains_key("data"));
        assert_eq!(server.storage.destroyed.is_empty(), policy == "Retain");
        let left = server.objects.volumes.get(&volume);
        let left = left.and_then(|volume| volume.status.as_ref()?.phase.clone());
        let expected = (policy == "Retain").then(|| "Released".to_string());
        assert_eq!(left, expected);
    }
}

#[test]
fn a_claim_in_use_stays_until_its_pod_is_gone_and_a_bound_volume_until_its_claim_is() {
    let mut server = server();
    server.put_claim(&claim("data", "fast", None)).unwrap();
    server.put_pod(pod_using("db-0", "data")).unwrap();
    server.settle_volumes();
    assert_eq!(pod_phase(&mut server, "db-0"), "Running");
    let volume = server.objects.claims["data"].volume_name().to_string();
    server.objects.change_volume(&volume, None, |volume| {
        let spec = volume.spec.as_mut().unwrap();
        spec.persistent_volume_reclaim_policy = Some("Retain".into());
    });
    server.objects.delete_volume(&volume);
    server.objects.delete_claim("data");
    server.settle_volumes();
    assert!(server.objects.claims["data"].is_going());
    assert!(server.objects.volumes[&volume].is_going());
    server.delete_pod("db-0", None);
    server.pod_step("db-0", "node-1");
    server.settle_volumes();
    assert!(server.objects.claims.is_empty() && server.objects.volumes.is_empty());
    assert!(server.storage.destroyed.is_empty());
}

#[test]
fn a_volume_is_on_one_node_at_a_time_and_leaves_it_after_its_pods() {
    let mut server = server();
    server.put_claim(&claim("data", "fast", None)).unwrap();
    server.settle_volumes();
    server.put_pod(pod_using("db-0", "data")).unwrap();
    assert_eq!(pod_phase(&mut server, "db-0"), "Running");
    server.put_pod(pod_using("db-1", "data")).unwrap();
    let elsewhere = |server: &mut Server| {
        for _ in 0..3 {
            server.pod_step("db-1", "node-2");
        }
        phase(&server.pods["db-1"]).to_string()
    };
    assert_eq!(elsewhere(&mut server), "Pending");
    server.delete_pod("db-0", None);
    server.health.dead_nodes.insert("node-1".into());
    server.pod_step("db-0", "node-1");
    assert!(
        server.pods.contains_key("db-0"),
        "a dead node ended its pod"
    );
    server.health.dead_nodes.clear();
    server.pod_step("db-0", "node-1");
    assert_eq!(elsewhere(&mut server), "Pending", "it was not detached");
    assert!(server.detach());
    assert_eq!(elsewhere(&mut server), "Running");
}

/// K-21: the claim goes with the pods that were scaled away.
#[test]
fn k_21_a_claim_goes_when_its_set_is_scaled_with_when_scaled_delete() {
    let mut server = server();
    server.put_claim(&claim("data", "fast", None)).unwrap();
    server.settle_volumes();
    let mut workload = crate::cluster::workload::Workload::of("db-0", "data");
    workload.claims_go_when_scaled = true;
    server.workload = Some(workload);
    assert!(server.workload_step());
    assert_eq!(pod_phase(&mut server, "db-0"), "Running");
    server.set_scale(0);
    while server.workload_step() {}
    server.pod_step("db-0", "node-1");
    server.settle_volumes();
    assert!(!server.objects.claims.contains_key("data"));
    assert_eq!(server.storage.destroyed.len(), 1);
}

mod snapshots {
    use super::*;
    use api::snapshots::{VolumeSnapshot, VolumeSnapshotSource, VolumeSnapshotSpec};
    use planner::observe::read;

    fn snapshot(name: &str) -> VolumeSnapshot {
        let source = VolumeSnapshotSource {
            persistent_volume_claim_name: Some("data".into()),
            volume_snapshot_content_name: None,
        };
        let spec = VolumeSnapshotSpec {
            source,
            volume_snapshot_class_name: Some("snap".into()),
        };
        VolumeSnapshot {
            metadata: kube::core::ObjectMeta {
                name: Some(name.into()),
                labels: Some([(api::names::POINT_LABEL.into(), "1.2".into())].into()),
                ..Default::default()
            },
            spec,
            status: None,
        }
    }

    fn cluster() -> Server {
        let mut server = super::server();
        server.put_claim(&claim("data", "fast", None)).unwrap();
        server.settle_volumes();
        server.put_snapshot(snapshot("s")).unwrap();
        server
    }

    fn cut(server: &Server) -> planner::observe::Cut {
        let content = server.contents.get("content-s");
        read::cut(&server.snapshots["s"], content, server.now()).unwrap()
    }

    /// Bound is not cut, cut is not ready: each comes later, and the operator's own reader sees it so.
    #[test]
    fn a_snapshot_is_bound_then_cut_then_ready_and_holds_its_claim_meanwhile() {
        let mut server = cluster();
        assert!(server.snapshot_step("s"));
        let bound = cut(&server);
        assert!(bound.content.is_some() && bound.created.is_none() && bound.being_created);
        assert_eq!(server.objects.claims["data"].finalizers().len(), 2);
        assert!(server.snapshot_step("s"));
        let made = cut(&server);
        assert!(made.created.is_some() && !made.ready && made.facts.is_some());
        assert!(server.snapshot_step("s"));
        let ready = cut(&server);
        assert!(ready.ready && !ready.being_created && ready.restore_bytes == Some(VOLUME_BYTES));
        assert_eq!(server.objects.claims["data"].finalizers().len(), 1);
        assert!(!server.snapshot_step("s"));
    }

    #[test]
    fn a_stopped_or_failing_snapshotter_leaves_it_bound_and_says_why() {
        let mut server = cluster();
        server.health.snapshotter_stopped.insert("d".into());
        server.snapshot_step("s");
        assert!(!server.snapshot_step("s"));
        assert_eq!(cut(&server).created, None);
        server.health.snapshotter_stopped.clear();
        server.health.snapshot_error = Some("no space".into());
        assert!(server.snapshot_step("s"));
        assert_eq!(cut(&server).error.as_deref(), Some("no space"));
        server.health.snapshot_error = None;
        server.snapshot_step("s");
        server.snapshot_step("s");
        assert!(cut(&server).ready && cut(&server).error.is_none());
    }

    /// external-snapshotter issue 1388, and K-17.
    #[test]
    fn what_is_deleted_while_it_is_made_stays_and_a_retaining_class_leaves_the_storage() {
        let mut server = cluster();
        server.snapshot_step("s");
        server.delete_snapshot("s", None);
        assert!(!server.snapshot_step("s") && server.snapshots.contains_key("s"));
        for (policy, left) in [("Delete", 0), ("Retain", 1)] {
            let mut server = cluster();
            let class = json!({
                "metadata": {"name": "snap"}, "driver": "d", "deletionPolicy": policy,
            });
            server.snapshot_classes = vec![serde_json::from_value(class).unwrap()];
            while server.snapshot_step("s") {}
            server.delete_snapshot("s", None);
            while server.snapshot_step("s") {}
            assert!(server.snapshots.is_empty());
            assert_eq!(server.storage.snapshots.len(), left, "{policy}");
        }
    }

    #[test]
    fn a_claim_is_made_from_a_snapshot_that_is_ready_and_allows_its_mode() {
        let mut server = cluster();
        let handle = server.handle_of_claim("data").unwrap();
        server.storage.device(&handle).unwrap().write(&[(3, 7)]);
        while server.snapshot_step("s") {}
        server.storage.device(&handle).unwrap().write(&[(3, 8)]);
        let mut restored = claim("copy", "fast", None);
        let spec = restored.spec.as_mut().unwrap();
        spec.volume_mode = Some("Block".into());
        let source = json!({"kind": "VolumeSnapshot", "name": "s"});
        spec.data_source = Some(serde_json::from_value(source).unwrap());
        server.put_claim(&restored).unwrap();
        server.settle_volumes();
        assert_eq!(
            server.handle_of_claim("copy"),
            None,
            "another mode without leave"
        );
        let allow = api::snapshots::ALLOW_MODE_CHANGE;
        server.contents.get_mut("content-s").unwrap()["metadata"]["annotations"][allow] =
            "true".into();
        server.settle_volumes();
        let copy = server.handle_of_claim("copy").unwrap();
        let held = server.storage.device(&copy).unwrap().bytes();
        let (mut written, cut) = (
            Image::of(&vec![0; usize::try_from(VOLUME_BYTES).unwrap()]),
            held.as_slice(),
        );
        written.write(3, 7);
        assert_eq!(written.differs(cut, &BTreeSet::new()), None);
        let volume = &server.objects.volumes[server.objects.claims["copy"].volume_name()];
        assert!(volume.is_block() && !volume.is_retained());
    }
}
