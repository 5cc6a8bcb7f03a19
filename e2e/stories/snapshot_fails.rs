//! *My storage sometimes refuses a snapshot. I want to know, and I want replication to go on by
//! itself when it works again.*
//!
//! The driver fails the first three CreateSnapshot calls of the volume. The pair says so in a
//! condition and an Event, then makes its baseline without anybody's help.

use anyhow::{Result, ensure};
use api::Reason;
use futures::FutureExt;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Scene, content, dump, leftovers, secs};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "snapshot_fails",
        proves: &["SYS-2"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    let east = scene
        .class_like("fast", "failing", &[("failSnapshots", "3")])
        .await?;
    scene.claim("data", &east, "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(100, 4096).await?;
    let pair = Pair::apply(
        scene,
        &PairOptions {
            east,
            ..PairOptions::orders()
        },
    )
    .await?;
    pair.until("the failure to be in status", secs(60), |s| {
        let named = s
            .conditions
            .iter()
            .any(|c| c.reason == Reason::SnapshotFailed);
        let failure = s
            .last_failure
            .as_ref()
            .is_some_and(|f| f.reason == Reason::SnapshotFailed);
        (named || failure).then_some(())
    })
    .await?;
    let events = dump::events(scene).await;
    ensure!(
        events.contains(Reason::SnapshotFailed.as_str()),
        "there is no Event {}",
        Reason::SnapshotFailed
    );
    let first = pair.baseline().await?;
    content::same_at(&pair, &first.point).await?;
    let status = pair.status().await?;
    ensure!(
        status.last_failure.is_none(),
        "the failure is still in status: {:?}",
        status.last_failure
    );
    app.check().await?;
    leftovers::only_what_the_pair_owns(&pair).await
}
