//! *As an administrator whose driver can't name changed blocks, I want replication all the same,
//! and I want to know what it costs me.*
//!
//! Three pairs: a driver with SnapshotMetadata, one without, and one that answers InvalidArgument
//! for claims of file systems. The change source falls back, status says to which and why, and every
//! committed cut is bit for bit the source's. C-2 in passing: rows are overwritten with zeros.

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use serde_json::json;

use super::Story;
use crate::harness::{App, Pair, PairOptions, Scene, content};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "change_sources",
        proves: &["SYS-3"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

/// A kind of driver and what has to come of it.
struct Case {
    east: &'static str,
    west: &'static str,
    snapshot_class: &'static str,
    /// ChangeSources that a cycle after the baseline may stand on.
    change_sources: &'static [&'static str],
    /// Words of which one has to be in the reason.
    says: &'static [&'static str],
}

const CASES: [Case; 3] = [
    Case {
        east: "fast",
        west: "fast-west",
        snapshot_class: "csi-snap",
        change_sources: &["Delta"],
        says: &[],
    },
    Case {
        east: "plain",
        west: "plain-west",
        snapshot_class: "plain-snap",
        change_sources: &["Digests", "FullRead"],
        says: &["SnapshotMetadata", "snapshot metadata", "snapshot-metadata"],
    },
    Case {
        east: "block-only",
        west: "block-only-west",
        snapshot_class: "csi-snap",
        change_sources: &["Digests", "FullRead"],
        says: &[
            "InvalidArgument",
            "invalid argument",
            "refused",
            "file-system",
            "block",
        ],
    },
];

async fn run(scene: &Scene) -> Result<()> {
    for case in &CASES {
        one(scene, case)
            .await
            .with_context(|| format!("class {}", case.east))?;
    }
    Ok(())
}

async fn one(scene: &Scene, case: &Case) -> Result<()> {
    let claim = format!("data-{}", case.east);
    scene.claim(&claim, case.east, "128Mi", false).await?;
    let options = PairOptions {
        name: case.east.into(),
        claim: claim.clone(),
        east: case.east.into(),
        west: case.west.into(),
        snapshot_class: case.snapshot_class.into(),
        more: json!({}),
        ..PairOptions::orders()
    };
    let app = App::open(scene, &claim, "0").await?;
    app.add(500, 4096).await?;
    let pair = Pair::apply(scene, &options).await?;
    let first = pair.baseline().await?;
    content::same_at(&pair, &first.point).await?;
    app.add(50, 4096).await?;
    let cycle = pair.sync().await?;
    ensure!(
        case.change_sources.contains(&cycle.change_source.as_str()),
        "the cycle stands on {}, not on one of {:?}",
        cycle.change_source,
        case.change_sources
    );
    let change_source = pair
        .status()
        .await?
        .change_source
        .context("no change source in status")?;
    ensure!(
        change_source.source == cycle.change_source,
        "status.change source says {}, the cycle {}",
        change_source.source,
        cycle.change_source
    );
    let said = case.says.is_empty()
        || case
            .says
            .iter()
            .any(|word| change_source.reason.contains(word));
    ensure!(
        said,
        "the reason does not say why no better change source is used: {:?}",
        change_source.reason
    );
    // Even where everything is read, only what changed travels.
    ensure!(
        cycle.data_bytes < 16 << 20,
        "{} bytes of data travelled",
        cycle.data_bytes
    );
    content::same_at(&pair, &cycle.point).await?;
    scene.say(&format!(
        "{}: {} ({})",
        case.east, cycle.change_source, change_source.reason
    ));
    app.scale(0).await
}
