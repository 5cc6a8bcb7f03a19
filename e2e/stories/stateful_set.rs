//! *My database is a StatefulSet. Its role has to move like any other's, and whatever the set does
//! with its claims, none of them may be deleted.*
//!
//! A set with `whenScaled: Delete` is refused before anything is scaled. With `Retain` the role moves
//! and comes back; the set's claim keeps its name, and every row is there. K-21.

use anyhow::{Result, ensure};
use api::Reason;
use futures::FutureExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Story;
use crate::harness::exec::exec;
use crate::harness::install::APP_IMAGE;
use crate::harness::scene::MANAGER;
use crate::harness::{Pair, PairOptions, Probe, Scene, secs, until};

/// The set, and its only pod.
const SET: &str = "base";
const POD: &str = "base-0";

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "stateful_set",
        proves: &["K-21"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    apply(scene, "Delete").await?;
    ready(scene).await?;
    shop(scene, &["add", "200", "4096"]).await?;
    let options = PairOptions {
        claim: format!("data-{POD}"),
        ..PairOptions::orders().with_application("StatefulSet", SET)
    };
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    let rows = shop(scene, &["count"]).await?;
    let refused = pair.ferry("promote", &["--timeout", "60s"]).await?;
    ensure!(
        refused.code == Some(4) && refused.all().contains(Reason::ClaimsGoWhenScaled.as_str()),
        "a set whose claims go when it is scaled was not refused for that: {}",
        refused.all()
    );
    let sets: Api<StatefulSet> = scene.api();
    let replicas = sets.get(SET).await?.spec.and_then(|spec| spec.replicas);
    ensure!(replicas == Some(1), "the set was scaled to {replicas:?}");
    apply(scene, "Retain").await?;
    for site in ["west", "east"] {
        pair.ferry_ok("promote", &[]).await?;
        pair.primary_is(site).await?;
        ready(scene).await?;
        let now = shop(scene, &["count"]).await?;
        ensure!(
            now == rows,
            "at {site}: {rows} had to be there, and there is {now}"
        );
        ensure!(
            shop(scene, &["check"]).await? == "ok 0",
            "the database is damaged"
        );
        pair.sync().await?;
    }
    Ok(())
}

async fn apply(scene: &Scene, when_scaled: &str) -> Result<()> {
    let sets: Api<StatefulSet> = scene.api();
    let params = PatchParams::apply(MANAGER).force();
    sets.patch(SET, &params, &Patch::Apply(set(when_scaled)))
        .await?;
    Ok(())
}

fn set(when_scaled: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": SET},
        "spec": {"serviceName": SET, "selector": {"matchLabels": {"app": SET}},
            "persistentVolumeClaimRetentionPolicy":
                {"whenScaled": when_scaled, "whenDeleted": "Retain"},
            "template": {"metadata": {"labels": {"app": SET}},
                "spec": {"terminationGracePeriodSeconds": 10,
                    "automountServiceAccountToken": false,
                    "containers": [{"name": SET, "image": APP_IMAGE,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["/bin/shop"], "args": ["run"],
                        "env": [{"name": "EVERY", "value": "0"},
                                {"name": "PATH", "value": "/bin:/usr/bin"}],
                        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]},
                            "periodSeconds": 1, "timeoutSeconds": 10},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
                    "resources": {"requests": {"storage": "64Mi"}}}}]}})
}

async fn ready(scene: &Scene) -> Result<()> {
    let sets: Api<StatefulSet> = scene.api();
    until("the set to be ready", secs(90), || async {
        let status = sets.get(SET).await?.status.unwrap_or_default();
        let ready = status.ready_replicas.unwrap_or(0);
        Ok(Probe::<()>::when(ready == 1, format!("{ready} ready pods")))
    })
    .await
}

async fn shop(scene: &Scene, args: &[&str]) -> Result<String> {
    let mut command = vec!["/bin/shop"];
    command.extend_from_slice(args);
    let said = exec(&scene.api(), POD, &command).await?;
    Ok(said.trim().to_owned())
}
