//! API objects, read into the model. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::core::DynamicObject;

use crate::observe::SnapshotFacts;
use crate::observe::{Claim, Cut, MoverPod, NodeSeen, PodUse, SourceClaim, Volume, VolumeMode};
use crate::rebind::is_parked_name;
use crate::validate::quantity_bytes;
use api::names;
use api::snapshots::{ALLOW_MODE_CHANGE, BEING_CREATED, VolumeSnapshot};
use protocol::units::{Point, SiteName};

/// A storage's clock that is off by no more than this is as good as ours (K-12).
const CLOCK_OFF_MAX: SignedDuration = SignedDuration::from_mins(1);

/// A claim, with its volume if that was read.
pub fn claim(claim: &PersistentVolumeClaim, volume: Option<&PersistentVolume>) -> Claim {
    let spec = claim.spec.as_ref();
    let status = claim.status.as_ref();
    let requests = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let capacity = status.and_then(|status| status.capacity.as_ref()?.get("storage"));
    Claim {
        name: claim.name_any(),
        uid: claim.uid().unwrap_or_default(),
        deleting: claim.metadata.deletion_timestamp.is_some(),
        requested_bytes: requests.and_then(quantity_bytes).unwrap_or(0),
        capacity_bytes: capacity.and_then(quantity_bytes).unwrap_or(0),
        bound: is_bound(claim),
        mode: match spec.and_then(|spec| spec.volume_mode.as_deref()) {
            Some("Block") => VolumeMode::Block,
            _ => VolumeMode::Filesystem,
        },
        storage_class: spec.and_then(|spec| spec.storage_class_name.clone()),
        volume: volume.filter(|_| is_bound(claim)).map(self::volume),
        parked: volume.is_none()
            && !is_bound(claim)
            && claim.metadata.deletion_timestamp.is_none()
            && volume_name(claim).is_some_and(|name| is_parked_name(&name)),
    }
}

/// A PersistentVolume.
pub fn volume(volume: &PersistentVolume) -> Volume {
    let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
    Volume {
        name: volume.name_any(),
        driver: csi.map(|csi| csi.driver.clone()),
        handle: csi.map(|csi| csi.volume_handle.clone()),
    }
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let status = claim.status.as_ref();
    status.and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// The name of the volume that a claim is bound to.
pub fn volume_name(claim: &PersistentVolumeClaim) -> Option<String> {
    claim
        .spec
        .as_ref()?
        .volume_name
        .clone()
        .filter(|name| !name.is_empty())
}

/// The cut that an object's label names.
pub fn point<K: ResourceExt>(object: &K) -> Option<Point> {
    let (epoch, seq) = object.labels().get(names::POINT_LABEL)?.split_once('.')?;
    Some(Point::new(epoch.parse().ok()?, seq.parse().ok()?))
}

/// Whether an object belongs to `site` and is this `part`.
pub fn is_part<K: ResourceExt>(object: &K, site: &SiteName, part: &str) -> bool {
    let label = |key: &str| object.labels().get(key).map(String::as_str);
    label(names::SITE_LABEL) == Some(site.as_str()) && label(names::PART_LABEL) == Some(part)
}

/// A claim made from a cut.
pub fn source_claim(claim: &PersistentVolumeClaim) -> Option<SourceClaim> {
    Some(SourceClaim {
        name: claim.name_any(),
        point: point(claim)?,
        storage_class: claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone()),
        bound: is_bound(claim),
        deleting: claim.metadata.deletion_timestamp.is_some(),
    })
}

/// A snapshot of a cut, with its content if there is one, as it is seen at `now`.
///
/// A storage's clock may be off (K-12): a cut was made after it was asked for, and before it is seen.
pub fn cut(
    snapshot: &VolumeSnapshot,
    content: Option<&serde_json::Value>,
    now: Timestamp,
) -> Option<Cut> {
    let status = snapshot.status.clone().unwrap_or_default();
    let asked = snapshot.metadata.creation_timestamp.as_ref();
    let asked = asked.map_or(Timestamp::MIN, |time| time.0);
    let by_our_clock = |made: Timestamp| made.max(asked).min(now);
    let made = status.creation_time.as_ref().map(|time| time.0);
    let off = made.map(|made| made.duration_since(by_our_clock(made)));
    let policy = content.and_then(|content| content.pointer("/spec/deletionPolicy"));
    let annotations = content.and_then(|content| content.pointer("/metadata/annotations"));
    let annotation = |key: &str| annotations.and_then(|all| all.get(key)?.as_str());
    Some(Cut {
        name: snapshot.name_any(),
        version: snapshot.resource_version(),
        point: point(snapshot)?,
        created: status.creation_time.map(|time| by_our_clock(time.0)),
        ready: status.ready_to_use == Some(true),
        error: status
            .error
            .map(|error| error.message.unwrap_or_else(|| "no message".into())),
        content: status.bound_volume_snapshot_content_name,
        facts: content.and_then(|content| SnapshotFacts::of_content(content).ok()),
        being_created: annotation(BEING_CREATED).is_some(),
        retained: policy.and_then(|policy| policy.as_str()) == Some("Retain"),
        clock_off: off.filter(|off| off.abs() > CLOCK_OFF_MAX),
        mode_change_allowed: annotation(ALLOW_MODE_CHANGE) == Some("true"),
        restore_bytes: status.restore_size.as_ref().and_then(quantity_bytes),
        deleting: snapshot.metadata.deletion_timestamp.is_some(),
    })
}

/// Claims that a pod uses.
pub fn claims_of(pod: &Pod) -> impl Iterator<Item = (&str, &str)> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    volumes.into_iter().flatten().filter_map(|volume| {
        let source = volume.persistent_volume_claim.as_ref()?;
        Some((volume.name.as_str(), source.claim_name.as_str()))
    })
}

/// Whether a pod has ended: it uses nothing any more.
pub fn ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a pod was given a node. One that was not uses nothing, and holds no claim either
/// (pvc_protection_controller.go).
#[must_use]
pub fn is_scheduled(pod: &Pod) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
    node.is_some_and(|node| !node.is_empty())
}

/// A pod that uses a claim.
pub fn pod_use(pod: &Pod) -> PodUse {
    let containers = pod.spec.as_ref().map(|spec| &spec.containers);
    PodUse {
        name: pod.name_any(),
        container: containers
            .and_then(|all| all.first())
            .map(|c| c.name.clone())
            .unwrap_or_default(),
        running: pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running"),
        scheduled: is_scheduled(pod),
        labels: pod.labels().clone(),
        overdue: overdue(pod),
        node: None,
    }
}

/// Who set a workload's replicas last, as a field manager other than Ferry's.
#[must_use]
pub fn scaled_by(workload: &DynamicObject) -> Option<String> {
    let managers = workload.metadata.managed_fields.iter().flatten();
    let scaling = managers.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        let replicas = fields.and_then(|fields| fields.0.pointer("/f:spec/f:replicas"));
        replicas.is_some() && entry.manager.as_deref() != Some(names::OPERATOR_MANAGER)
    });
    let last = scaling.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone())
}

/// Whether a workload deletes its claims when it is scaled down (a StatefulSet may).
#[must_use]
pub fn claims_go_when_scaled(workload: &DynamicObject) -> bool {
    let policy = workload
        .data
        .pointer("/spec/persistentVolumeClaimRetentionPolicy/whenScaled");
    policy.and_then(|policy| policy.as_str()) == Some("Delete")
}

/// When the time of a pod that is being deleted is over: the API server adds the grace period itself.
fn overdue(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.deletion_timestamp.as_ref().map(|time| time.0)
}

/// The node of a pod, where it matters how that node is: the pod does not run well, or does not end.
#[must_use]
pub fn doubtful_node(pod: &Pod) -> Option<&str> {
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    let status = pod.status.as_ref();
    let conditions = status
        .into_iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let unready = conditions
        .filter(|c| c.type_ == "Ready")
        .any(|c| c.status != "True");
    let runs = status.and_then(|s| s.phase.as_deref()) == Some("Running");
    let going = pod.metadata.deletion_timestamp.is_some();
    (going || unready || !runs).then_some(node)
}

/// A node.
#[must_use]
pub fn node(node: &Node) -> NodeSeen {
    let status = node.status.as_ref();
    let conditions = status
        .into_iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let mut unready = conditions
        .filter(|c| c.type_ == "Ready" && c.status != "True")
        .map(|c| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}: {}", text(&c.reason), text(&c.message))
        });
    NodeSeen {
        name: node.name_any(),
        trouble: unready.next(),
    }
}

/// A mover's pod. What counts is the mover's own container: one that was injected beside it may go on when
/// the mover has ended, or keep the pod from being ready (K-9).
pub fn mover_pod(pod: &Pod) -> MoverPod {
    let status = pod.status.as_ref();
    let containers = status.and_then(|s| s.container_statuses.as_ref());
    let own = containers.into_iter().flatten().find(|c| c.name == "mover");
    let state = own.and_then(|own| own.state.as_ref());
    let over = state.is_some_and(|state| state.terminated.is_some());
    let running = status.and_then(|s| s.phase.as_deref()) == Some("Running")
        || state.is_some_and(|state| state.running.is_some());
    MoverPod {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        ip: status
            .filter(|_| running)
            .and_then(|s| s.pod_ip.clone())
            .filter(|ip| !ip.is_empty()),
        device_claim: claims_of(pod)
            .find(|(volume, _)| *volume == "volume")
            .map(|(_, claim)| claim.into()),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        overdue: overdue(pod),
        node: None,
        ended: ended(pod) || over,
        problem: problem(pod),
    }
}

/// Why a pod does not start, from what the scheduler and the kubelet say.
fn problem(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let waiting = containers
        .filter_map(|c| c.state.as_ref()?.waiting.as_ref())
        .find_map(|waiting| {
            let reason = waiting.reason.clone()?;
            let harmless = matches!(reason.as_str(), "ContainerCreating" | "PodInitializing");
            (!harmless)
                .then(|| format!("{reason}: {}", waiting.message.clone().unwrap_or_default()))
        });
    waiting.or_else(|| {
        let conditions = status.conditions.iter().flatten();
        conditions
            .filter(|c| c.type_ == "PodScheduled" && c.status == "False")
            .find_map(|c| c.message.clone())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// K-12: by a storage's clock a cut may be of tomorrow, or of last year; neither stops a schedule or
    /// doubles it.
    #[test]
    fn k_12_a_cut_is_neither_older_than_what_asked_for_it_nor_newer_than_now() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (asked, now) = (at("2026-11-30T10:00:00Z"), at("2026-11-30T10:05:00Z"));
        let seen = [
            ("2026-11-30T10:00:02Z", "2026-11-30T10:00:02Z"),
            ("2026-12-01T10:00:02Z", "2026-11-30T10:05:00Z"),
            ("2025-11-30T10:00:02Z", "2026-11-30T10:00:00Z"),
        ];
        for (made, wanted) in seen {
            let snapshot: VolumeSnapshot = serde_json::from_value(json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
                "metadata": {
                    "name": "s", "creationTimestamp": asked,
                    "labels": {names::POINT_LABEL: "1.7"},
                },
                "spec": {"source": {}},
                "status": {"creationTime": made},
            }))
            .unwrap();
            let seen = cut(&snapshot, None, now).unwrap();
            assert_eq!(seen.created, Some(at(wanted)));
            assert_eq!(seen.clock_off.is_some(), made != wanted);
        }
    }

    /// K-9: a mover that has ended has ended, whatever runs beside it.
    #[test]
    fn k_9_a_mover_is_judged_by_its_own_container() {
        let pod = |mover: serde_json::Value| -> MoverPod {
            let pod = serde_json::from_value(json!({
                "metadata": {"name": "orders-east-mover"},
                "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [
                    {"name": "istio-proxy", "state": {"running": {}}, "image": "", "imageID": "",
                        "ready": true, "restartCount": 0},
                    {"name": "mover", "state": mover, "image": "", "imageID": "", "ready": true,
                        "restartCount": 0},
                ]},
            }));
            mover_pod(&pod.unwrap())
        };
        assert!(pod(json!({"terminated": {"exitCode": 1}})).ended);
        let runs = pod(json!({"running": {}}));
        assert!(!runs.ended && runs.ip.is_some());
    }
}
