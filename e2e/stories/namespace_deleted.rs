//! *I delete a namespace with everything in it. It has to go away, and leave nothing behind.*
//!
//! A namespace with a running pair and a running application is deleted, once at rest and once in
//! the middle of a cycle. It goes away by itself: no finalizer holds it, no snapshot content stays.

use anyhow::{Result, ensure};
use api::v1alpha1::CyclePhase;
use futures::FutureExt;
use serde_json::json;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Scene, leftovers, secs};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "namespace_deleted",
        proves: &["SYS-2"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    for busy in [false, true] {
        let inner = Scene::open(&scene.lab, &format!("{}-inner", scene.namespace), true).await?;
        deleted(&inner, busy).await?;
        scene.say(if busy {
            "deleted in the middle of a cycle"
        } else {
            "deleted at rest"
        });
    }
    Ok(())
}

async fn deleted(scene: &Scene, busy: bool) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(300, 4096).await?;
    let slow = json!({"transfer": {"bandwidth": "2Mi", "compression": "none"}});
    let more = if busy { slow } else { json!({}) };
    let pair = Pair::apply(
        scene,
        &PairOptions {
            more,
            ..PairOptions::orders()
        },
    )
    .await?;
    pair.baseline().await?;
    if busy {
        app.add(3000, 4096).await?;
        pair.trigger().await?;
        pair.until("a cycle to be under way", secs(60), |s| {
            s.cycle
                .as_ref()
                .filter(|c| c.phase == CyclePhase::Shipping)
                .map(|_| ())
        })
        .await?;
    }
    scene.close().await?;
    leftovers::no_snapshot_contents(scene).await?;
    let volumes = scene.volumes().await?;
    ensure!(volumes.is_empty(), "{} volumes are left", volumes.len());
    Ok(())
}
