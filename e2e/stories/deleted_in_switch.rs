//! *I give a pair up while its role is being moved. My application has to come out of it with its
//! claim, its data and its replicas.*
//!
//! Somebody else's finalizer holds the application's claim just when it is being exchanged, and the
//! pair is deleted at that moment. The deletion waits, then ends: the claim is there again, bound,
//! every row is there, and the application runs.

use anyhow::{Result, ensure};
use api::v1alpha1::PromotionKind;
use futures::FutureExt;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::Story;
use crate::harness::pair::SWITCH_LIMIT;
use crate::harness::{App, Pair, PairOptions, Probe, Scene, secs, until};

/// The finalizer of somebody else.
const HOLD: &str = "example.com/hold";

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "deleted_in_switch",
        proves: &[],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(300, 4096).await?;
    let rows = app.rows().await?;
    let options = PairOptions::orders().with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    let epoch = pair.status().await?.epoch.unwrap_or(0);
    held(scene, true).await?;
    pair.promote("west", epoch, PromotionKind::Planned).await?;
    let claims: Api<PersistentVolumeClaim> = scene.api();
    until("the claim to be exchanged", SWITCH_LIMIT, || async {
        let going = claims.get("data").await?.metadata.deletion_timestamp;
        Ok(Probe::<()>::when(
            going.is_some(),
            "it is not being deleted",
        ))
    })
    .await?;
    pair.api()
        .delete(&pair.name, &DeleteParams::default())
        .await?;
    tokio::time::sleep(secs(2)).await;
    let there = pair.api().get_opt(&pair.name).await?.is_some();
    ensure!(there, "the pair went away and left the claim half-way");
    held(scene, false).await?;
    until("the pair to go away", secs(90), || async {
        let gone = pair.api().get_opt(&pair.name).await?.is_none();
        Ok(Probe::<()>::when(gone, "still there"))
    })
    .await?;
    // The claim was made again as its people had made it, the finalizer included.
    held(scene, false).await?;
    app.check().await?;
    let now = app.rows().await?;
    ensure!(now == rows, "{rows} had to be there, and there are {now}");
    Ok(())
}

/// Puts the finalizer on the application's claim, or takes it off.
async fn held(scene: &Scene, on: bool) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = scene.api();
    let mut finalizers = claims
        .get("data")
        .await?
        .metadata
        .finalizers
        .unwrap_or_default();
    finalizers.retain(|name| name != HOLD);
    if on {
        finalizers.push(HOLD.into());
    }
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    claims
        .patch("data", &PatchParams::default(), &patch)
        .await?;
    Ok(())
}
