//! *The node that runs the operator dies in the middle of a failover. Whatever step it was at, the
//! failover has to end, and end well.*
//!
//! The operator's pod is killed each time that `status.switch.step` changes, in a planned switch and
//! in a forced one. Each ends with the claim bound to the right volume, the rows that have to be
//! there, and a standby that follows. SYS-4.

use api::v1alpha1::{PromotionKind, SwitchStep};
use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;

use super::Story;
use crate::harness::pair::SWITCH_LIMIT;
use crate::harness::{App, Pair, PairOptions, Probe, Scene, content, operator, secs, until};

/// Killed at each step of a planned switch.
#[must_use]
pub fn planned() -> Story {
    Story {
        name: "operator_killed_planned",
        proves: &["SYS-4"],
        alone: true,
        run: |scene| run(scene, PromotionKind::Planned).boxed(),
    }
}

/// Killed at each step of a forced switch.
#[must_use]
pub fn forced() -> Story {
    Story {
        name: "operator_killed_forced",
        proves: &["SYS-4"],
        alone: true,
        run: |scene| run(scene, PromotionKind::Forced).boxed(),
    }
}

async fn run(scene: &Scene, kind: PromotionKind) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(300, 4096).await?;
    let options = PairOptions::orders().with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    let safe = app.rows().await?;
    pair.sync().await?;
    app.add(50, 4096).await?;
    let all = app.rows().await?;
    let epoch = pair.status().await?.epoch.context("no epoch")?;
    pair.promote("west", epoch, kind).await?;
    let steps = kill_at_each_step(scene, &pair).await?;
    scene.say(&format!(
        "killed at {} steps: {}",
        steps.len(),
        steps
            .iter()
            .map(SwitchStep::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    ));
    ensure!(
        steps.len() >= 3,
        "only {steps:?} were seen: the switch was not followed"
    );
    pair.primary_is("west").await?;
    app.check().await?;
    let now = app.rows().await?;
    let wanted = if kind == PromotionKind::Planned {
        &all
    } else {
        &safe
    };
    ensure!(
        now == *wanted,
        "{wanted} had to be there, and there are {now}"
    );
    let after = pair.status().await?;
    ensure!(
        after.epoch == Some(epoch + 1),
        "the epoch is {:?} after one switch",
        after.epoch
    );
    if kind == PromotionKind::Forced {
        pair.ferry_ok("resync", &["--discard", "east", "--yes"])
            .await?;
        pair.follows().await?;
    }
    let cycle = pair.sync().await?;
    content::same_at(&pair, &cycle.point).await.map(|_| ())
}

/// Kills the operator at each new step until the switch is done; the answer is the steps.
async fn kill_at_each_step(scene: &Scene, pair: &Pair<'_>) -> Result<Vec<SwitchStep>> {
    let mut seen = HashSet::new();
    let mut steps = Vec::new();
    let begun = std::time::Instant::now();
    while begun.elapsed() < SWITCH_LIMIT + secs(120) {
        let known = seen.clone();
        let step = until("the switch's next step", SWITCH_LIMIT, || async {
            let Some(switch) = pair.status().await?.switch else {
                return Ok(Probe::NotYet("no switch".into()));
            };
            if switch.finished_at.is_some() {
                return Ok(Probe::Seen(None));
            }
            Ok(if known.contains(&switch.step) {
                Probe::NotYet(format!("still at {}", switch.step))
            } else {
                Probe::Seen(Some(switch.step))
            })
        })
        .await?;
        let Some(step) = step else { return Ok(steps) };
        operator::kill(&scene.lab).await?;
        seen.insert(step.clone());
        steps.push(step);
    }
    anyhow::bail!("the switch does not end; steps so far: {steps:?}")
}
