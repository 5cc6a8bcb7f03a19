//! *As the owner of a database that uses a raw block volume, I want it replicated and switched like
//! any other.*
//!
//! A block-mode claim, written at odd places and overwritten with real zeros (C-2), then left alone
//! for a cycle that moves nothing (C-4), then switched: the claim keeps its name and its mode, and
//! holds what was written.

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use serde_json::json;

use super::Story;
use crate::harness::{Pair, PairOptions, Probe, Scene, content, memory, secs, until, writer};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "block_mode",
        proves: &["C-2", "C-4", "C-5"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", true).await?;
    writer::open(scene, "data").await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=64k count=100 seek=7 conv=fsync",
    )
    .await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=4k count=1 seek=16383 conv=fsync",
    )
    .await?;
    let pair = Pair::apply(scene, &PairOptions::orders()).await?;
    let first = pair.baseline().await?;
    content::same_at(&pair, &first.point).await?;
    // Real zeros over data have to arrive as zeros.
    writer::write(
        scene,
        "dd if=/dev/zero of=/dev/volume bs=64k count=30 seek=20 conv=fsync",
    )
    .await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=512 count=3 seek=9001 conv=fsync",
    )
    .await?;
    let cycle = pair.sync().await?;
    ensure!(
        cycle.zero_bytes >= 30 * 65536,
        "only {} bytes were seen to be zero",
        cycle.zero_bytes
    );
    ensure!(
        cycle.data_bytes < 1 << 20,
        "{} bytes of data travelled",
        cycle.data_bytes
    );
    content::same_at(&pair, &cycle.point).await?;
    scene.say("baseline and cycle are equal at both sites");
    no_movers(scene).await?;
    let idle = pair.sync().await?;
    ensure!(
        idle.change_source == "Unchanged" && idle.point == cycle.point,
        "an idle volume has changed: {idle:?}"
    );
    // One that was started would take longer to end than this takes to look.
    let movers = memory::movers(&scene.lab, &scene.namespace).await;
    ensure!(movers.is_empty(), "movers ran for nothing: {movers:?}");
    content::same_at(&pair, &idle.point).await?;
    scene.say(&format!(
        "nothing changed: known in {} ms without a mover",
        idle.total_ms
    ));
    switch(scene, &pair).await
}

/// Waits until the movers of the cycle before have ended.
async fn no_movers(scene: &Scene) -> Result<()> {
    until("the movers to end", secs(60), || async {
        let movers = memory::movers(&scene.lab, &scene.namespace).await;
        Ok(Probe::<()>::when(movers.is_empty(), format!("{movers:?}")))
    })
    .await
}

async fn switch(scene: &Scene, pair: &Pair<'_>) -> Result<()> {
    let before = writer::checksum(scene).await?;
    pair.patch_spec(json!({"primary": "west"})).await?;
    // Without spec.application Ferry waits until nobody uses the claim, and names who does.
    pair.until(
        "Ferry to name the pod that uses the claim",
        crate::harness::secs(60),
        |s| {
            s.waiting
                .as_ref()
                .filter(|w| w.what.contains(writer::NAME))
                .map(|_| ())
        },
    )
    .await?;
    scene.delete_pod(writer::NAME, 0).await?;
    pair.primary_is("west").await?;
    let claims: Api<PersistentVolumeClaim> = scene.api();
    let spec = claims
        .get("data")
        .await?
        .spec
        .context("the claim has no spec")?;
    ensure!(
        spec.volume_mode.as_deref() == Some("Block"),
        "the claim's mode is {:?}",
        spec.volume_mode
    );
    writer::open(scene, "data").await?;
    let after = writer::checksum(scene).await?;
    ensure!(
        before == after,
        "the volume held {before} before the switch and {after} after it"
    );
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=64k count=3 seek=500 conv=fsync",
    )
    .await?;
    let back = pair.sync().await?;
    content::same_at(pair, &back.point).await?;
    scene.say("switched; the old site follows");
    Ok(())
}
