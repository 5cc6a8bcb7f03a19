//! *A node dies under a copy that runs for hours. I don't want it to begin again, and I never want a
//! half-written standby to be promoted.*
//!
//! A mover's pod is killed in the middle of a cycle, first the source's, then the target's. The
//! committed point stays, the cycle is finished from where it was, and the image is the source's.
//! C-8 (killed while shipping and applying: the standby holds the old cut or the new, never a mix).

use anyhow::{Result, ensure};
use api::names;
use api::v1alpha1::CyclePhase;
use futures::FutureExt;
use serde_json::json;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Scene, content, leftovers, secs};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "mover_killed",
        proves: &["C-8"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "128Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(500, 4096).await?;
    // Slow enough that a cycle of some MiB lasts for seconds; random payloads don't compress.
    let more = json!({"transfer": {"bandwidth": "3Mi", "compression": "none"}});
    let pair = Pair::apply(
        scene,
        &PairOptions {
            more,
            ..PairOptions::orders()
        },
    )
    .await?;
    pair.baseline().await?;
    for site in ["east", "west"] {
        killed_at(scene, &pair, &app, site).await?;
    }
    leftovers::only_what_the_pair_owns(&pair).await
}

async fn killed_at(scene: &Scene, pair: &Pair<'_>, app: &App<'_>, site: &str) -> Result<()> {
    app.add(4000, 4096).await?;
    let committed = pair.status().await?.committed_point.map(|p| p.label);
    let before = pair.trigger().await?;
    let shipped = pair
        .until("the cycle to be shipping", secs(60), |s| {
            let cycle = s
                .cycle
                .as_ref()
                .filter(|c| c.phase == CyclePhase::Shipping)?;
            (cycle.done_bytes > 0 || cycle.wire_bytes > 0).then_some(cycle.done_bytes)
        })
        .await?;
    scene.delete_pod(&names::mover(&pair.name, site), 0).await?;
    let after_kill = pair.status().await?.committed_point.map(|p| p.label);
    ensure!(
        after_kill == committed,
        "the committed point moved to {after_kill:?} by a kill"
    );
    let cycle = pair.committed_after(before).await?;
    content::same_at(pair, &cycle.point).await?;
    scene.say(&format!(
        "{site}'s mover killed after {shipped} bytes; cut {} is equal",
        cycle.point
    ));
    Ok(())
}
