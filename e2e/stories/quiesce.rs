//! *My database is to be held while the snapshot is cut, and released whatever happens.*
//!
//! Hooks run in the application's pod round each cut, in order. `post` runs also when `pre` fails,
//! when the snapshot fails, and when the operator is killed while the application is held. The time
//! that the application was held is in status.

use anyhow::{Context, Result, ensure};
use api::v1alpha1::QuiesceState;
use futures::FutureExt;
use serde_json::{Value, json};

use super::Story;
use crate::harness::exec::exec;
use crate::harness::faults::Fault;
use crate::harness::{App, Pair, PairOptions, Probe, Scene, operator, secs, until};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "quiesce",
        proves: &["SYS-4"],
        alone: true,
        run: |scene| run(scene).boxed(),
    }
}

/// Where the hooks note that they ran, in the application's container.
const NOTES: &str = "/tmp/hooks";

fn hooks(pre: &str) -> Value {
    json!({"quiesce": {"hooks": [{
        "pre": ["/bin/sh", "-c", pre],
        "post": ["/bin/sh", "-c", format!("echo post >> {NOTES}")],
        "timeoutSeconds": 20}]}})
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(50, 4096).await?;
    let held = format!("echo pre >> {NOTES}; sleep 1");
    let pair = Pair::apply(
        scene,
        &PairOptions {
            more: hooks(&held),
            ..PairOptions::orders()
        },
    )
    .await?;
    pair.baseline().await?;
    expect(&app, scene, &["pre", "post"]).await?;
    let cycle = pair.sync().await?;
    expect(&app, scene, &["pre", "post"]).await?;
    ensure!(
        cycle.held_ms >= 1000,
        "held for {} ms with a hook of one second",
        cycle.held_ms
    );
    let quiesce = pair
        .status()
        .await?
        .quiesce
        .context("no quiesce in status")?;
    ensure!(
        quiesce.state == QuiesceState::Released,
        "the application is {}",
        quiesce.state
    );
    scene.say(&format!(
        "hooks run in order; held for {} ms",
        quiesce.held_ms
    ));
    failing_pre(scene, &pair, &app).await?;
    failing_snapshot(scene, &pair, &app, &held).await?;
    killed_while_held(scene, &pair, &app).await
}

/// Checks the notes since the last look, and clears them.
async fn expect(app: &App<'_>, scene: &Scene, wanted: &[&str]) -> Result<()> {
    until(format!("hooks {wanted:?}"), secs(40), || async {
        let notes = notes(app, scene).await?;
        Ok(Probe::<()>::when(notes == wanted, format!("{notes:?}")))
    })
    .await?;
    in_app(app, scene, &format!(": > {NOTES}"))
        .await
        .map(|_| ())
}

async fn notes(app: &App<'_>, scene: &Scene) -> Result<Vec<String>> {
    let text = in_app(app, scene, &format!("cat {NOTES} 2>/dev/null || true")).await?;
    Ok(text.lines().map(str::to_owned).collect())
}

async fn in_app(app: &App<'_>, scene: &Scene, command: &str) -> Result<String> {
    let pod = app.opened().await?;
    exec(&scene.api(), &pod, &["/bin/sh", "-c", command]).await
}

/// `pre` fails: no cut, and `post` runs all the same.
async fn failing_pre(scene: &Scene, pair: &Pair<'_>, app: &App<'_>) -> Result<()> {
    pair.patch_spec(hooks(&format!("echo pre >> {NOTES}; exit 3")))
        .await?;
    let before = pair.trigger().await?;
    pair.reason(api::Reason::QuiesceFailed).await?;
    until("post to have run", secs(40), || async {
        let notes = notes(app, scene).await?;
        let (pre, post) = counts(&notes);
        Ok(Probe::<()>::when(
            pre > 0 && pre == post,
            format!("{notes:?}"),
        ))
    })
    .await?;
    let committed = pair.status().await?.committed_point.map_or(0, |p| p.seq);
    ensure!(
        committed <= before,
        "a cut was committed although pre has failed"
    );
    scene.say("pre fails: no cut, and the application is released");
    Ok(())
}

/// The snapshot fails: `post` runs, and the application is held no longer than the attempt.
async fn failing_snapshot(scene: &Scene, pair: &Pair<'_>, app: &App<'_>, held: &str) -> Result<()> {
    let fault = Fault::on(&scene.lab, &json!({"failSnapshots": "all"})).await?;
    in_app(app, scene, &format!(": > {NOTES}")).await?;
    pair.patch_spec(hooks(held)).await?;
    let before = pair.trigger().await?;
    until(
        "post to have run after a failed snapshot",
        secs(60),
        || async {
            let notes = notes(app, scene).await?;
            let (pre, post) = counts(&notes);
            Ok(Probe::<()>::when(
                pre > 0 && pre == post,
                format!("{notes:?}"),
            ))
        },
    )
    .await?;
    fault.off().await?;
    pair.committed_after(before).await?;
    scene.say("the snapshot fails: the application is released, and a later cut works");
    Ok(())
}

/// The operator is killed while the application is held: the next one releases it.
async fn killed_while_held(scene: &Scene, pair: &Pair<'_>, app: &App<'_>) -> Result<()> {
    in_app(app, scene, &format!(": > {NOTES}")).await?;
    pair.patch_spec(hooks(&format!("echo pre >> {NOTES}; sleep 6")))
        .await?;
    let before = pair.trigger().await?;
    until("pre to have begun", secs(40), || async {
        let notes = notes(app, scene).await?;
        Ok(Probe::<()>::when(
            notes.iter().any(|n| n == "pre"),
            "no hook yet",
        ))
    })
    .await?;
    operator::kill_and_wait(&scene.lab).await?;
    until("the application to be released", secs(60), || async {
        let notes = notes(app, scene).await?;
        Ok(Probe::<()>::when(
            notes.iter().any(|n| n == "post"),
            format!("{notes:?}"),
        ))
    })
    .await?;
    pair.committed_after(before).await?;
    scene.say("the operator is killed while the application is held: it is released");
    Ok(())
}

fn counts(notes: &[String]) -> (usize, usize) {
    let count = |word: &str| notes.iter().filter(|n| *n == word).count();
    (count("pre"), count("post"))
}
