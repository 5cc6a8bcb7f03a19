//! *Somebody uninstalled Ferry while pairs were left, and now a pair can't be deleted. I want to see
//! why, and to get out of it.*
//!
//! The chart is uninstalled. The application runs on; the pair stays, and deleting it waits for its
//! finalizer. The chart is installed again: the pair ends within a minute, and the application's
//! claim, its volume and every row are there. K-22.

use anyhow::{Result, ensure};
use futures::FutureExt;
use kube::api::DeleteParams;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Probe, Scene, install, secs, until};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "uninstalled",
        proves: &["K-22"],
        alone: true,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(100, 4096).await?;
    let pair = Pair::apply(scene, &PairOptions::orders()).await?;
    pair.baseline().await?;
    let (rows, volume) = (app.rows().await?, scene.handle("data").await?);
    install::uninstall(&scene.lab).await?;
    let gone = left_without_operator(&pair).await;
    // Whatever was found, the next story needs an operator.
    install::install(&scene.lab).await?;
    gone?;
    until("the pair to go away", secs(60), || async {
        let gone = pair.api().get_opt(&pair.name).await?.is_none();
        Ok(Probe::<()>::when(gone, "still there"))
    })
    .await?;
    let (now, on) = (app.rows().await?, scene.handle("data").await?);
    ensure!(now == rows, "{rows} had to be there, and there are {now}");
    ensure!(on == volume, "the claim was on {volume}, and is on {on}");
    app.check().await
}

/// The pair is still there without an operator, says who holds it, and can't go.
async fn left_without_operator(pair: &Pair<'_>) -> Result<()> {
    pair.api()
        .delete(&pair.name, &DeleteParams::default())
        .await?;
    tokio::time::sleep(secs(5)).await;
    let left = pair.api().get_opt(&pair.name).await?;
    let finalizers = left.and_then(|pair| pair.metadata.finalizers);
    ensure!(
        finalizers.is_some_and(|all| all.iter().any(|name| name == "ferry.dev/teardown")),
        "the pair went away with nobody to give its volumes back"
    );
    let said = pair.ferry_ok("status", &[]).await?;
    ensure!(
        said.contains("ferry.dev/teardown"),
        "the status does not say what it waits for: {said}"
    );
    Ok(())
}
