//! *Something keeps scaling my application: an autoscaler, a GitOps tool, a colleague. Whenever it
//! does, a planned change must not lose an order that was acknowledged.*
//!
//! The application takes orders all the time; what it acknowledges is kept outside the cluster. At
//! each step of a planned change it is scaled up, once a change. Each change ends: the role has
//! moved, or it was cancelled and the application runs where it was. Every acknowledged order is
//! there. Then somebody scales up without end: the change is cancelled, and the pair says who it
//! was. K-4, K-6, K-16, K-27.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::v1alpha1::SwitchStep;
use futures::FutureExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Story;
use crate::harness::ledger::Ledger;
use crate::harness::pair::SWITCH_LIMIT;
use crate::harness::{App, Pair, PairOptions, Scene, content};

/// Who scales up.
const MEDDLER: &str = "autoscaler-of-somebody";

/// The steps at which it is done.
const STEPS: [SwitchStep; 5] = [
    SwitchStep::StopApplication,
    SwitchStep::LastCut,
    SwitchStep::Park,
    SwitchStep::Ship,
    SwitchStep::Rebind,
];

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "scaled_up",
        proves: &["K-4", "K-6", "K-16", "K-27"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0.1").await?;
    let ledger = Ledger::keep(scene, "shop");
    let options = PairOptions::orders().with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    for step in STEPS {
        let meddle = |now: &SwitchStep| *now == step;
        let moved = change(scene, &pair, meddle, false).await?;
        nothing_lost(&app, &ledger, &format!("scaled up at {step}")).await?;
        scene.say(&format!("scaled up at {step}: moved = {moved}"));
        if moved {
            pair.sync().await?;
        }
    }
    let moved = change(scene, &pair, |_| true, true).await?;
    ensure!(
        !moved,
        "the role moved, although somebody scaled up all the time"
    );
    let cancelled = pair
        .status()
        .await?
        .switch
        .and_then(|switch| switch.cancelled);
    let why = cancelled.context("the change says not why it was cancelled")?;
    ensure!(
        why.contains(MEDDLER),
        "it does not say who scaled up: {why}"
    );
    nothing_lost(&app, &ledger, "scaled up without end").await?;
    let cycle = pair.sync().await?;
    content::same_at(&pair, &cycle.point).await.map(|_| ())
}

/// A planned change to the other site, in which the application is scaled up at the steps that
/// `meddle` names, once or again and again. Whether the role has moved when it has ended.
async fn change(
    scene: &Scene,
    pair: &Pair<'_>,
    meddle: impl Fn(&SwitchStep) -> bool,
    again: bool,
) -> Result<bool> {
    let before = pair.status().await?;
    pair.ferry_ok("promote", &["--wait=false"]).await?;
    let mut scaled = false;
    let begun = std::time::Instant::now();
    loop {
        let status = pair.status().await?;
        let switch = status
            .switch
            .filter(|switch| Some(switch.epoch) > before.epoch);
        if let Some(switch) = &switch {
            if switch.finished_at.is_some() {
                return Ok(status.primary != before.primary);
            }
            if meddle(&switch.step) && (again || !scaled) {
                scale_up(scene).await?;
                scaled = true;
            }
        }
        ensure!(
            begun.elapsed() < SWITCH_LIMIT,
            "the change does not end; it is at {:?}",
            switch.map(|switch| switch.step)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn scale_up(scene: &Scene) -> Result<()> {
    let deployments: Api<Deployment> = scene.api();
    let params = PatchParams {
        field_manager: Some(MEDDLER.into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
    deployments.patch("shop", &params, &patch).await?;
    Ok(())
}

/// Every order that was acknowledged before is there.
async fn nothing_lost(app: &App<'_>, ledger: &Ledger, when: &str) -> Result<()> {
    app.check().await.context(when.to_owned())?;
    let acknowledged = ledger.highest();
    let rows = app.rows().await?;
    ensure!(
        rows.highest >= acknowledged && rows.count == rows.highest,
        "{when}: order {acknowledged} was acknowledged, and there are {rows}"
    );
    Ok(())
}
