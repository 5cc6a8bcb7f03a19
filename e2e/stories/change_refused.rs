//! *My cluster refuses a pod in the middle of a planned change. I want to read why, in the words of
//! whoever refused it, and my application has to run again where it was.*
//!
//! A LimitRange takes no container as large as a mover. Within 10 s of the change's standing still
//! the status and an Event have the API server's own words; after `roleChangeTimeout` the change is
//! cancelled by itself, and within 10 s of that the application runs again with every row. Without
//! the LimitRange the same change succeeds. K-6, K-8.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::v1alpha1::SwitchStep;
use futures::FutureExt;
use k8s_openapi::api::core::v1::LimitRange;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::Story;
use crate::harness::pair::SWITCH_LIMIT;
use crate::harness::{App, Pair, PairOptions, Scene, secs};

/// How long the application may stay away once a change is cancelled.
const RUNS_AGAIN_WITHIN: Duration = secs(10);

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "change_refused",
        proves: &["K-6", "K-8"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(300, 4096).await?;
    let options = PairOptions {
        more: json!({"roleChangeTimeout": "30s"}),
        ..PairOptions::orders()
    };
    let options = options.with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    app.add(30, 4096).await?;
    let rows = app.rows().await?;
    // Movers linger for a while after a cycle, and would serve the change.
    let limits: Api<LimitRange> = scene.api();
    let small = serde_json::from_value(json!({"metadata": {"name": "small"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "200Mi"}}]}}))?;
    limits.create(&PostParams::default(), &small).await?;
    crate::harness::leftovers::only_what_the_pair_owns(&pair).await?;
    pair.ferry_ok("promote", &["--wait=false"]).await?;
    let said = pair
        .until("the refusal to be in the status", SWITCH_LIMIT, |status| {
            let wait = status.waiting.as_ref().map(|wait| wait.what.clone());
            let conditions = status.conditions.iter().map(|c| c.message.clone());
            wait.into_iter()
                .chain(conditions)
                .find(|text| text.contains("maximum memory usage per Container"))
        })
        .await?;
    scene.say(&format!("the status says: {said}"));
    let events = pair.ferry_ok("events", &[]).await?;
    ensure!(
        events.contains("maximum memory usage per Container"),
        "no Event has the words of the API server: {events}"
    );
    pair.until("the change to be cancelled", SWITCH_LIMIT, |status| {
        let switch = status.switch.as_ref()?;
        (switch.step == SwitchStep::Cancelled).then_some(())
    })
    .await?;
    let cancelled = Instant::now();
    app.opened().await?;
    let away = cancelled.elapsed();
    ensure!(
        away < RUNS_AGAIN_WITHIN,
        "the application was away for {away:?} after the change was cancelled"
    );
    let now = app.rows().await?;
    ensure!(now == rows, "{rows} had to be there, and there are {now}");
    let primary = pair.status().await?.primary.context("no primary")?;
    ensure!(primary == "east", "the role is at {primary}");
    limits.delete("small", &DeleteParams::default()).await?;
    pair.ferry_ok("promote", &[]).await?;
    pair.primary_is("west").await?;
    let now = app.rows().await?;
    ensure!(now == rows, "{rows} had to be there, and there are {now}");
    app.check().await
}
