//! *Disks rot. I want to ask whether the copy still is the copy, and I want what is wrong with it
//! repaired without another copy of everything.*
//!
//! Two places of the standby's volume are overwritten behind Ferry's back. `kubectl ferry verify`
//! compares both images at the committed point, says how much differs, and repairs just that.

use anyhow::{Context, Result, ensure};
use api::names;
use futures::FutureExt;

use super::Story;
use crate::harness::{Pair, PairOptions, Scene, content, leftovers, writer};

/// Blocks of 4 KiB that are damaged.
const DAMAGED: [u64; 2] = [300, 9000];

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "verified",
        proves: &[],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", true).await?;
    writer::open(scene, "data").await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=1M count=24 conv=fsync",
    )
    .await?;
    scene.delete_pod(writer::NAME, 0).await?;
    let pair = Pair::apply(scene, &PairOptions::orders()).await?;
    let first = pair.baseline().await?;
    content::same_at(&pair, &first.point).await?;
    let said = pair.ferry_ok("verify", &["--wait"]).await?;
    ensure!(differing(&pair).await? == 0, "a sound copy differs: {said}");
    scene.say("a sound copy: nothing differs");
    damage(scene, &pair).await?;
    // Whoever else has used a copy leads to a comparison of all of it, by the next cycle (D-3).
    let cycle = pair.sync().await?;
    content::same_at(&pair, &cycle.point).await?;
    scene.say("damaged behind Ferry's back, and compared and repaired by the next cycle");
    let said = pair.ferry_ok("verify", &["--wait"]).await?;
    ensure!(differing(&pair).await? == 0, "it was not repaired: {said}");
    leftovers::only_what_the_pair_owns(&pair).await
}

/// Writes to the standby's volume, as a failing disk would.
async fn damage(scene: &Scene, pair: &Pair<'_>) -> Result<()> {
    writer::open(scene, &names::replica_claim(&pair.name, "west")).await?;
    for block in DAMAGED {
        let command =
            format!("dd if=/dev/urandom of=/dev/volume bs=4k count=1 seek={block} conv=fsync");
        writer::write(scene, &command).await?;
    }
    scene.delete_pod(writer::NAME, 0).await
}

/// What the last verification found, in bytes.
async fn differing(pair: &Pair<'_>) -> Result<i64> {
    let status = pair.status().await?;
    let known = status.verification.context("nothing was verified")?;
    Ok(known.differing_bytes)
}
