//! *As a user I grow my claim while it is replicated, and expect the copy to grow with it.*
//!
//! The claim is grown between two cycles; the next cut carries the new size, the standby's volume
//! grows first, and the cut is equal at both sites. C-5: the end of the volume is not special.

use anyhow::{Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Probe, Scene, content, secs, until};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "claim_grown",
        proves: &["C-5"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(200, 4096).await?;
    let pair = Pair::apply(scene, &PairOptions::orders()).await?;
    let first = pair.baseline().await?;
    let before = content::same_at(&pair, &first.point).await?;
    grow(scene, "data", "160Mi").await?;
    let cycle = pair.sync().await?;
    let after = content::same_at(&pair, &cycle.point).await?;
    ensure!(after.size >= 160 << 20, "the cut has {} bytes", after.size);
    scene.say(&format!(
        "grown from {} to {} bytes, equal at both sites",
        before.size, after.size
    ));
    // A pod that starts again mounts the grown file system; more than the old size goes into it.
    app.scale(0).await?;
    app.scale(1).await?;
    app.add(20_000, 4096).await?;
    let cycle = pair.sync().await?;
    content::same_at(&pair, &cycle.point).await?;
    scene.say("the new part is used, equal at both sites");
    app.check().await
}

async fn grow(scene: &Scene, claim: &str, size: &str) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = scene.api();
    let patch = Patch::Merge(json!({"spec": {"resources": {"requests": {"storage": size}}}}));
    claims.patch(claim, &PatchParams::default(), &patch).await?;
    let volumes: Api<PersistentVolume> = Api::all(scene.lab.client.clone());
    until(
        format!("the volume of {claim} to have {size}"),
        secs(60),
        || async {
            let spec = claims.get(claim).await?.spec.unwrap_or_default();
            let volume = volumes.get(&spec.volume_name.unwrap_or_default()).await?;
            let capacity = volume.spec.and_then(|s| s.capacity).unwrap_or_default();
            let now = capacity
                .get("storage")
                .map(|q| q.0.clone())
                .unwrap_or_default();
            Ok(Probe::<()>::when(now == size, now))
        },
    )
    .await
}
