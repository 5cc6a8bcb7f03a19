//! *The snapshotter dies at the very moment a cycle is to be committed. I want the point that was
//! announced before to be there, and to be able to fail over to it.*
//!
//! CreateSnapshot is unavailable from the moment the standby has applied the cut. No point is
//! announced that has no snapshot: the committed point stays what it was. A forced promotion then
//! brings up a whole cut, bit for bit, and never a mix (C-8); with the snapshotter back, all goes on.

use anyhow::{Context, Result, ensure};
use api::v1alpha1::CyclePhase;
use futures::FutureExt;
use serde_json::json;

use super::Story;
use crate::harness::faults::Fault;
use crate::harness::{App, Pair, PairOptions, Scene, content, secs};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "commit_interrupted",
        proves: &["C-8"],
        alone: true,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "128Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(200, 4096).await?;
    let options = PairOptions {
        more: json!({"transfer": {"bandwidth": "3Mi", "compression": "none"}}),
        ..PairOptions::orders()
    };
    let options = options.with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    app.add(20, 4096).await?;
    let first = pair.sync().await?;
    app.add(3000, 4096).await?;
    let before = pair.trigger().await?;
    pair.until("the source's snapshot to be cut", secs(60), |s| {
        s.cycle
            .as_ref()
            .filter(|c| c.phase == CyclePhase::Shipping)
            .map(|_| ())
    })
    .await?;
    let stalled = Fault::on(&scene.lab, &json!({"stall": true})).await?;
    pair.until("the commit to hang", secs(60), |s| {
        s.cycle
            .as_ref()
            .filter(|c| c.phase == CyclePhase::Committing)
            .map(|_| ())
    })
    .await?;
    // Time enough for a wrong announcement.
    tokio::time::sleep(secs(6)).await;
    let committed = pair
        .status()
        .await?
        .committed_point
        .context("no committed point")?;
    ensure!(
        committed.label == first.point,
        "cut {} was announced without a snapshot",
        committed.label
    );
    scene.say(&format!(
        "the snapshotter hangs; the committed point stays {}",
        committed.label
    ));
    promoted(scene, &pair, &app, before).await?;
    stalled.off().await?;
    app.check().await?;
    pair.ferry_ok("resync", &["--discard", "east", "--yes"])
        .await?;
    pair.follows().await?;
    let cycle = pair.sync().await?;
    content::same_at(&pair, &cycle.point).await.map(|_| ())
}

/// The promoted volume is the image of the very cut that status names.
async fn promoted(scene: &Scene, pair: &Pair<'_>, app: &App<'_>, before: i64) -> Result<()> {
    let rows = app.rows().await?;
    pair.ferry_ok("promote", &["--to", "west", "--force", "--yes"])
        .await?;
    pair.primary_is("west").await?;
    let switch = pair.status().await?.switch.context("no switch in status")?;
    let point = switch
        .promoted_point
        .context("status does not name the promoted point")?;
    ensure!(
        point.seq >= before,
        "cut {} is older than the committed point",
        point.label
    );
    app.check().await?;
    let now = app.rows().await?;
    ensure!(
        now.count <= rows.count,
        "there are more rows than were written"
    );
    ensure!(
        now == app.rows_upto(now.highest).await?,
        "the rows are not a prefix"
    );
    scene.say(&format!("cut {} was promoted: {now}", point.label));
    Ok(())
}
