//! *My deployment tool deleted my application's claim and made it again from the same manifest. I
//! want my data back, and my second copy left alone.*
//!
//! The claim is deleted and applied again while the application is stopped. Meanwhile the pair says
//! that the claim is missing, and a forced promotion of the standby would still be planned. The new
//! claim is bound to the volume that it had; every row is there; the next cycle ships a difference
//! and no copy. K-1, K-2, K-16.

use anyhow::{Result, ensure};
use api::Reason;
use futures::FutureExt;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Scene, content};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "claim_recreated",
        proves: &["K-1", "K-2", "K-16"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(300, 4096).await?;
    let pair = Pair::apply(scene, &PairOptions::orders()).await?;
    let first = pair.baseline().await?;
    let rows = app.rows().await?;
    let volume = scene.handle("data").await?;
    app.scale(0).await?;
    scene.delete_claim("data").await?;
    pair.reason(Reason::ClaimNotFound).await?;
    let plan = pair.ferry_ok("promote", &["--force", "--dry-run"]).await?;
    ensure!(
        plan.contains(&first.point),
        "the plan does not name the committed point {}: {plan}",
        first.point
    );
    scene.claim("data", "fast", "64Mi", false).await?;
    let again = scene.handle("data").await?;
    ensure!(
        again == volume,
        "the claim had volume {volume}, and the new one has {again}"
    );
    app.scale(1).await?;
    let now = app.rows().await?;
    ensure!(now == rows, "{rows} had to be there, and there are {now}");
    app.check().await?;
    app.add(20, 4096).await?;
    let cycle = pair.sync().await?;
    ensure!(
        cycle.change_source == "Delta",
        "the cycle after it is a {} and no difference",
        cycle.change_source
    );
    content::same_at(&pair, &cycle.point).await.map(|_| ())
}
