//! *The site is gone, and with it everything that named it: the claim, the storage class, the pods.
//! I type the one command, and want to read my data.*
//!
//! The primary's claim, its storage class and its application's pod are taken away. A forced
//! promotion asks for nothing of them: the claim is made again for the standby's volume, the
//! application starts on it and has every row of the committed point. K-7.

use anyhow::{Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::DeleteParams;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Scene};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "site_lost",
        proves: &["K-7"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    let east = scene.class_like("fast", "lost", &[]).await?;
    scene.claim("data", &east, "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(300, 4096).await?;
    let options = PairOptions {
        east: east.clone(),
        ..PairOptions::orders()
    };
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    pair.sync().await?;
    let safe = app.rows().await?;
    app.add(50, 4096).await?;
    app.scale(0).await?;
    let replica = scene.handle("orders-west-replica").await?;
    scene.delete_claim("data").await?;
    let classes: Api<StorageClass> = Api::all(scene.lab.client.clone());
    classes.delete(&east, &DeleteParams::default()).await?;
    pair.ferry_ok("promote", &["--force", "--yes"]).await?;
    pair.primary_is("west").await?;
    let now = scene.handle("data").await?;
    ensure!(
        now == replica,
        "the application's claim is on volume {now}, and the standby's was {replica}"
    );
    app.scale(1).await?;
    let rows = app.rows().await?;
    ensure!(rows == safe, "{safe} had to be there, and there are {rows}");
    app.check().await
}
