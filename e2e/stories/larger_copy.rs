//! *My standby's volume is larger than the primary's: somebody let it grow. The role has to go there
//! and come back.*
//!
//! The replica's claim is grown by half. The role moves to it and back again, both planned; every row
//! is there each time, and both sides hold the same at the end. K-18.

use anyhow::{Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Probe, Scene, secs, until};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "larger_copy",
        proves: &["K-18"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(300, 4096).await?;
    let options = PairOptions::orders().with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    let claims: Api<PersistentVolumeClaim> = scene.api();
    let larger = json!({"spec": {"resources": {"requests": {"storage": "96Mi"}}}});
    claims
        .patch(
            "orders-west-replica",
            &PatchParams::default(),
            &Patch::Merge(larger),
        )
        .await?;
    // A volume that nobody uses grows when it is next used.
    pair.sync().await?;
    until("the replica to grow", secs(90), || async {
        let status = claims.get("orders-west-replica").await?.status;
        let size = status.and_then(|status| status.capacity?.remove("storage"));
        let size = size.map(|size| size.0).unwrap_or_default();
        Ok(Probe::<()>::when(size == "96Mi", size))
    })
    .await?;
    for site in ["west", "east"] {
        app.add(30, 4096).await?;
        let rows = app.rows().await?;
        pair.ferry_ok("promote", &[]).await?;
        pair.primary_is(site).await?;
        let now = app.rows().await?;
        ensure!(
            now == rows,
            "at {site} {rows} had to be there, and there are {now}"
        );
        app.check().await?;
        pair.sync().await?;
    }
    app.add(30, 4096).await?;
    pair.sync().await?;
    let said = pair.ferry_ok("verify", &[]).await?;
    ensure!(
        said.contains("no difference"),
        "the two copies differ: {said}"
    );
    Ok(())
}
