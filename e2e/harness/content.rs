//! What is in a volume, identified by its content: BLAKE3 over the whole block device of a snapshot.
//!
//! A claim is made from the snapshot in block mode, by the same public means that any user has, and
//! a pod without a token or a capability reads it.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{LogParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::install::FERRY_IMAGE;
use super::pair::Pair;
use super::scene::{MANAGER, Scene};
use super::wait::{Probe, secs, until};

/// Annotation by which a snapshot of a file system may be read as a block device.
const ALLOW_MODE_CHANGE: &str = "snapshot.storage.kubernetes.io/allow-volume-mode-change";

/// The content of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes, blake3 {}…",
            self.size,
            self.blake3.get(..12).unwrap_or(&self.blake3)
        )
    }
}

/// Checks that the standby's snapshot of a cut is bit for bit the source's.
///
/// # Errors
/// When they differ, or one of them can't be read.
pub async fn same_at(pair: &Pair<'_>, label: &str) -> Result<Digest> {
    let (east, west) = (pair.snapshot("east", label)?, pair.snapshot("west", label)?);
    let (east, west) = tokio::try_join!(
        of_snapshot(pair.scene, &east),
        of_snapshot(pair.scene, &west)
    )?;
    ensure!(
        east == west,
        "cut {label} differs: east holds {east}, west holds {west}"
    );
    Ok(east)
}

/// The content of a snapshot.
///
/// # Errors
/// When it is not there, or can't be read within two minutes.
pub async fn of_snapshot(scene: &Scene, snapshot: &str) -> Result<Digest> {
    let name = format!("check-{snapshot}");
    let restore = restored(scene, snapshot, &name).await?;
    let digest = of_claim(scene, &restore).await;
    scene.delete_claim(&restore).await?;
    digest.with_context(|| format!("content of snapshot {snapshot}"))
}

/// Makes a block claim from a snapshot.
async fn restored(scene: &Scene, snapshot: &str, name: &str) -> Result<String> {
    let it = scene
        .snapshots()
        .get(snapshot)
        .await
        .with_context(|| format!("snapshot {snapshot}"))?;
    let text = |path: &str| {
        it.data
            .pointer(path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let content = text("/status/boundVolumeSnapshotContentName").context("it is not bound yet")?;
    let size = text("/status/restoreSize").context("it has no size yet")?;
    let source =
        text("/spec/source/persistentVolumeClaimName").context("it has no source claim")?;
    let claims: Api<PersistentVolumeClaim> = scene.api();
    let class = class_of(scene, &source).await?;
    let allow = json!({"metadata": {"annotations": {ALLOW_MODE_CHANGE: "true"}}});
    scene
        .snapshot_contents()
        .patch(&content, &PatchParams::default(), &Patch::Merge(allow))
        .await?;
    let body = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Block",
            "storageClassName": class, "resources": {"requests": {"storage": size}},
            "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot",
                "name": snapshot}}});
    claims
        .patch(
            name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(body),
        )
        .await?;
    Ok(name.to_owned())
}

/// The storage class of the snapshot's claim. After a switch the claim of that name may be another
/// one on another class, but of the same driver, which is all that a restore needs.
async fn class_of(scene: &Scene, claim: &str) -> Result<String> {
    let claims: Api<PersistentVolumeClaim> = scene.api();
    let found = claims
        .get_opt(claim)
        .await?
        .and_then(|c| c.spec?.storage_class_name);
    Ok(found
        .filter(|c| !c.is_empty())
        .unwrap_or_else(|| "fast".into()))
}

/// The content of a block claim that nobody writes to.
///
/// # Errors
/// When the checker's pod fails or takes longer than two minutes.
pub async fn of_claim(scene: &Scene, claim: &str) -> Result<Digest> {
    let name = format!("{claim}-digest");
    let body = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "digest", "image": FERRY_IMAGE,
                "imagePullPolicy": "IfNotPresent",
                "args": ["digest", "--device", "/dev/volume"],
                "securityContext": {"runAsUser": 0, "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                "volumeDevices": [{"name": "volume", "devicePath": "/dev/volume"}]}],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}]}});
    let pods: Api<Pod> = scene.api();
    pods.patch(
        &name,
        &PatchParams::apply(MANAGER).force(),
        &Patch::Apply(body),
    )
    .await?;
    let ended = until(format!("pod {name} to end"), secs(120), || async {
        let phase = pods
            .get(&name)
            .await?
            .status
            .and_then(|s| s.phase)
            .unwrap_or_default();
        Ok(match phase.as_str() {
            "Succeeded" | "Failed" => Probe::Seen(phase),
            _ => Probe::NotYet(phase),
        })
    })
    .await;
    let log = pods
        .logs(&name, &LogParams::default())
        .await
        .unwrap_or_default();
    scene.delete_pod(&name, 0).await?;
    ensure!(ended? == "Succeeded", "the digest failed: {}", log.trim());
    let (size, blake3) = log
        .trim()
        .split_once(' ')
        .with_context(|| format!("not two words: {log}"))?;
    Ok(Digest {
        size: size.parse()?,
        blake3: blake3.to_owned(),
    })
}
