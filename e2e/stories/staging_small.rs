//! *A bulk load changed more than the standby has room to gather. I want to know what to raise,
//! I want what was announced to stay good, and raising it should be all that I have to do.*
//!
//! With state volumes of 32 MiB a first copy goes through, for it is written in place; then 64 MiB
//! change at once. The cycle is refused with a reason of its own, the committed point stays whole and
//! promotable, and after `spec.transfer.stateVolumeSize` was raised the claims grow and the next cycle
//! commits.

use anyhow::{Result, ensure};
use api::{Reason, conditions};
use futures::FutureExt;
use serde_json::json;

use super::Story;
use crate::harness::pair::is_true;
use crate::harness::{Pair, PairOptions, Scene, content, leftovers, secs, writer};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "staging_small",
        proves: &[],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "128Mi", true).await?;
    writer::open(scene, "data").await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=1M count=16 conv=fsync",
    )
    .await?;
    let more = json!({"transfer": {"stateVolumeSize": "32Mi"}});
    let pair = Pair::apply(
        scene,
        &PairOptions {
            more,
            ..PairOptions::orders()
        },
    )
    .await?;
    let first = pair.baseline().await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=1M count=64 seek=32 conv=fsync",
    )
    .await?;
    let before = pair.trigger().await?;
    let failure = pair
        .until("the cycle to be refused", secs(120), |s| {
            let degraded = is_true(&s.conditions, conditions::DEGRADED);
            s.last_failure.clone().filter(|_| degraded)
        })
        .await?;
    ensure!(
        failure.reason == Reason::StagingTooSmall
            && failure.message.contains("spec.transfer.stateVolumeSize"),
        "the reason is {}: {}",
        failure.reason,
        failure.message
    );
    scene.say(&format!("refused: {}", failure.message));
    content::same_at(&pair, &first.point).await?;
    pair.patch_spec(json!({"transfer": {"stateVolumeSize": "160Mi"}}))
        .await?;
    pair.committed_after(before).await?;
    let cycle = pair.sync().await?;
    content::same_at(&pair, &cycle.point).await?;
    scene.say(&format!(
        "with larger state claims cut {} is equal",
        cycle.point
    ));
    leftovers::only_what_the_pair_owns(&pair).await
}
