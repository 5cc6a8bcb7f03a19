//! *A disk at the standby goes bad in one place. I want to know which bytes, I want what was
//! announced to stay good, and my application should not notice anything.*
//!
//! The standby's device gives EIO for one range of 64 KiB, in the middle of what a cycle applies.
//! Status says which bytes could not be written, exactly, and with which error; the committed point stays what it
//! was, its snapshots are the same at both sites and the plan of a forced promotion names it; the
//! application writes on. With the disk fixed, the cycles commit by themselves and both sites hold
//! the same (SYS-2).

use std::ops::Range;

use anyhow::{Result, ensure};
use api::v1alpha1::FinishedCycle;
use api::{Reason, conditions, names};
use futures::FutureExt;
use serde_json::json;

use super::Story;
use crate::harness::faults::Fault;
use crate::harness::pair::is_true;
use crate::harness::{Pair, PairOptions, Scene, content, leftovers, secs, writer};

/// The bytes of the standby's volume that can't be written.
const BAD: Range<u64> = 6 << 20..(6 << 20) + (64 << 10);

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "io_error",
        proves: &["SYS-2", "R-1"],
        alone: true,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", true).await?;
    writer::open(scene, "data").await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=64k count=256 conv=fsync",
    )
    .await?;
    let west = "faulty-west".to_owned();
    let pair = Pair::apply(
        scene,
        &PairOptions {
            west,
            ..PairOptions::orders()
        },
    )
    .await?;
    let first = pair.baseline().await?;
    // Two to twelve MiB change: there is something to write on both sides of the bad range.
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=64k count=160 seek=32 conv=fsync",
    )
    .await?;
    let standby = scene
        .handle(&names::replica_claim(&pair.name, "west"))
        .await?;
    let bad =
        json!({"eio": [{"volume": standby, "from": BAD.start, "to": BAD.end, "on": "write"}]});
    let bad = Fault::on(&scene.lab, &bad).await?;
    let before = pair.trigger().await?;
    reported(scene, &pair).await?;
    unharmed(scene, &pair, &first).await?;
    bad.off().await?;
    fixed(scene, &pair, before).await
}

/// Status says what failed, where and how.
async fn reported(scene: &Scene, pair: &Pair<'_>) -> Result<()> {
    let failure = pair
        .until("the cycle to fail", secs(150), |s| {
            let degraded = is_true(&s.conditions, conditions::DEGRADED);
            s.last_failure.clone().filter(|_| degraded)
        })
        .await?;
    ensure!(
        failure.reason == Reason::CycleFailed,
        "the reason is {}: {}",
        failure.reason,
        failure.message
    );
    ensure!(
        failure.message.contains("os error 5"),
        "the error is not named: {}",
        failure.message
    );
    // exactly the bad range, however its writes were joined with those beside it.
    let bytes = BAD.end - BAD.start;
    let range = format!("not written: {bytes} bytes at byte {}", BAD.start);
    ensure!(
        failure.message.ends_with(&range),
        "the message does not end with {range:?}: {}",
        failure.message
    );
    scene.say(&format!("the cycle failed: {}", failure.message));
    Ok(())
}

/// While the disk is bad, what was committed is whole and promotable, and the application writes.
async fn unharmed(scene: &Scene, pair: &Pair<'_>, first: &FinishedCycle) -> Result<()> {
    content::same_at(pair, &first.point).await?;
    let plan = pair
        .ferry_ok("promote", &["--to", "west", "--force", "--dry-run"])
        .await?;
    ensure!(
        plan.contains(&format!("point {}", first.point)),
        "the plan does not name point {}: {plan}",
        first.point
    );
    let held = writer::checksum(scene).await?;
    writer::write(
        scene,
        "dd if=/dev/urandom of=/dev/volume bs=4k count=3 seek=16000 conv=fsync",
    )
    .await?;
    ensure!(
        writer::checksum(scene).await? != held,
        "what the application wrote is not there"
    );
    let committed = pair.status().await?.committed_point;
    ensure!(
        committed.as_ref().map(|p| p.label.as_str()) == Some(first.point.as_str()),
        "the committed point is {committed:?}, and it was {}",
        first.point
    );
    scene.say(&format!("point {} stays, promotable", first.point));
    Ok(())
}

/// With the disk fixed the pair heals by itself.
async fn fixed(scene: &Scene, pair: &Pair<'_>, before: i64) -> Result<()> {
    pair.committed_after(before).await?;
    // What was written meanwhile is in the cycle after it.
    let cycle = pair.sync().await?;
    content::same_at(pair, &cycle.point).await?;
    let status = pair.status().await?;
    ensure!(
        status.last_failure.is_none() && !is_true(&status.conditions, conditions::DEGRADED),
        "the failure is still in status: {:?}",
        status.last_failure
    );
    scene.say(&format!("fixed: cut {} is equal", cycle.point));
    leftovers::only_what_the_pair_owns(pair).await
}
