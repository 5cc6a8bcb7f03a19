//! *I restored the cluster's objects from a backup without their status. I don't want to pay for
//! another full copy.*
//!
//! SYS-4: the status is wiped and the operator killed. The state comes back from the data, with the
//! same identity, epoch and committed point; the next cycle ships only what changed.

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use kube::api::PostParams;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Probe, Scene, content, operator, secs, until};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "status_wiped",
        proves: &["SYS-4", "SYS-3"],
        alone: true,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "128Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(2000, 4096).await?;
    let pair = Pair::apply(scene, &PairOptions::orders()).await?;
    pair.baseline().await?;
    app.add(20, 4096).await?;
    pair.sync().await?;
    let before = pair.status().await?;
    wipe(&pair).await?;
    operator::kill_and_wait(&scene.lab).await?;
    let point = before.committed_point.as_ref().map(|p| p.label.clone());
    let after = pair
        .until("the state to come back", secs(90), |s| {
            s.committed_point.as_ref()?;
            s.epoch?;
            Some(s.clone())
        })
        .await?;
    ensure!(
        after.pair_id == before.pair_id,
        "it became another pair: {:?}",
        after.pair_id
    );
    ensure!(
        after.epoch == before.epoch && after.primary == before.primary,
        "the role has changed"
    );
    let label = after.committed_point.map(|p| p.label);
    scene.say(&format!(
        "committed point {point:?} before, {label:?} after"
    ));
    app.add(20, 4096).await?;
    let cycle = pair.sync().await?;
    let handshake = pair
        .status()
        .await?
        .handshake
        .context("no handshake in status")?;
    ensure!(
        handshake.mode != "Full",
        "it was a full copy: {}",
        handshake.reason
    );
    ensure!(
        cycle.wire_bytes < 4 << 20,
        "{} bytes were shipped for 80 KiB",
        cycle.wire_bytes
    );
    content::same_at(&pair, &cycle.point).await.map(|_| ())
}

/// The operator may write the status at the same moment: then it is tried again.
async fn wipe(pair: &Pair<'_>) -> Result<()> {
    until("the status to be wiped", secs(10), || async {
        let mut object = pair.api().get(&pair.name).await?;
        object.status = None;
        pair.api()
            .replace_status(&pair.name, &PostParams::default(), &object)
            .await?;
        Ok(Probe::Seen(()))
    })
    .await
}
