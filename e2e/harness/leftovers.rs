//! Nothing may be left over but what the pair owns.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use api::names;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::pair::Pair;
use super::scene::Scene;
use super::wait::{Probe, secs, until};

/// The most snapshots that a pair may keep on one side (C-9).
const SNAPSHOTS_PER_SIDE_MAX: usize = 2;

/// Waits until the pair rests, and checks that it keeps no more than it owns: at most two
/// snapshots a side, the replica claim, two state claims, no claim made from a cut, no mover.
///
/// # Errors
/// When something more is there after a minute; it is named.
pub async fn only_what_the_pair_owns(pair: &Pair<'_>) -> Result<()> {
    until("the pair to leave nothing over", secs(60), || async {
        let mut extra = surplus(pair).await?;
        extra.sort();
        Ok(Probe::<()>::when(extra.is_empty(), extra.join(", ")))
    })
    .await
}

async fn surplus(pair: &Pair<'_>) -> Result<Vec<String>> {
    let scene = pair.scene;
    let mine = ListParams::default().labels(&format!("{}={}", names::PAIR_LABEL, pair.name));
    let pods: Api<Pod> = scene.api();
    let mut extra: Vec<String> = pods
        .list(&mine)
        .await?
        .iter()
        .map(|p| format!("pod {}", p.name_any()))
        .collect();
    let claims: Api<PersistentVolumeClaim> = scene.api();
    let all = claims.list(&mine).await?.items;
    extra.extend(
        all.iter()
            .map(ResourceExt::name_any)
            .filter(|name| !owned(pair, name))
            .map(|n| format!("claim {n}")),
    );
    let mut sides: BTreeMap<String, usize> = BTreeMap::new();
    for snapshot in scene.snapshots().list(&mine).await? {
        let site = snapshot
            .labels()
            .get(names::SITE_LABEL)
            .cloned()
            .unwrap_or_default();
        *sides.entry(site).or_default() += 1;
    }
    let many = sides
        .into_iter()
        .filter(|(_, count)| *count > SNAPSHOTS_PER_SIDE_MAX);
    extra.extend(many.map(|(site, count)| format!("{count} snapshots at {site}")));
    Ok(extra)
}

fn owned(pair: &Pair<'_>, claim: &str) -> bool {
    claim == pair.claim
        || ["east", "west"].iter().any(|site| {
            claim == names::replica_claim(&pair.name, site)
                || claim == names::state_claim(&pair.name, site)
        })
}

/// Checks that no snapshot content refers to the namespace any more.
///
/// # Errors
/// When one still does after a minute.
pub async fn no_snapshot_contents(scene: &Scene) -> Result<()> {
    until(
        "the namespace's snapshot contents to go away",
        secs(60),
        || async {
            let all = scene
                .snapshot_contents()
                .list(&ListParams::default())
                .await?;
            let here = |o: &&kube::core::DynamicObject| {
                o.data
                    .pointer("/spec/volumeSnapshotRef/namespace")
                    .and_then(|v| v.as_str())
                    == Some(scene.namespace.as_str())
            };
            let left: Vec<String> = all.iter().filter(here).map(ResourceExt::name_any).collect();
            Ok(Probe::<()>::when(left.is_empty(), left.join(", ")))
        },
    )
    .await
}

/// The loop devices of this machine that are in use; a volume that was given back frees its own.
///
/// # Errors
/// When the kernel does not tell.
pub fn loop_devices() -> Result<usize> {
    let mut used = 0;
    for entry in std::fs::read_dir("/sys/block")? {
        let path = entry?.path();
        let is_loop = path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("loop"));
        used += usize::from(is_loop && path.join("loop/backing_file").exists());
    }
    Ok(used)
}

/// Checks that no more loop devices are in use than `before`.
///
/// # Errors
/// When there still are after half a minute.
pub async fn no_more_loop_devices(before: usize) -> Result<()> {
    until(
        format!("at most {before} loop devices in use"),
        secs(30),
        || async {
            let now = loop_devices()?;
            Ok(Probe::<()>::when(now <= before, format!("{now}")))
        },
    )
    .await?;
    ensure!(loop_devices()? <= before, "loop devices came back");
    Ok(())
}
