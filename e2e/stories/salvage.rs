//! *My old site is back after a failover. It took orders that nobody else has; I want them on my disk
//! before I let it follow again.*
//!
//! The old primary wrote after the last cut: a block of data, and zeros over another. The export holds
//! exactly these two ranges, bit for bit, and is never overwritten (H-6). Then the old side is discarded
//! and follows.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use salvage::export::Range;
use serde_json::Value;

use super::Story;
use crate::harness::{Pair, PairOptions, Scene, content, secs, writer};

/// What the volume is written in, in bytes.
const BLOCK: u64 = 64 * 1024;

/// The blocks that only the old primary holds: one of data, one of zeros.
const DATA_BLOCK: u64 = 3;
const ZERO_BLOCK: u64 = 20;

/// The size of the volume in bytes.
const SIZE: u64 = 64 << 20;

/// A line that fills the block of data.
const LINE: &[u8; 16] = b"only east has it";

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "salvage",
        proves: &["H-6"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", true).await?;
    writer::open(scene, "data").await?;
    let random = "dd if=/dev/urandom of=/dev/volume bs=64k count=100 seek=7 conv=fsync";
    writer::write(scene, random).await?;
    let pair = Pair::apply(scene, &PairOptions::orders()).await?;
    pair.baseline().await?;
    let line = String::from_utf8_lossy(LINE);
    writer::write(
        scene,
        &format!(
            "yes '{line}' | tr -d '\\n' | head -c {BLOCK} | dd of=/dev/volume bs=64k seek={DATA_BLOCK} conv=fsync,notrunc iflag=fullblock
             dd if=/dev/zero of=/dev/volume bs=64k count=1 seek={ZERO_BLOCK} conv=fsync"
        ),
    )
    .await?;
    scene.delete_pod(writer::NAME, 0).await?;
    pair.ferry_ok("promote", &["--to", "west", "--force", "--yes"])
        .await?;
    pair.primary_is("west").await?;
    pair.until("site east to be known as diverged", secs(60), |s| {
        let east = s.sites.iter().find(|site| site.name == "east")?;
        east.diverged.then_some(())
    })
    .await?;
    exported(scene, &pair).await?;
    pair.ferry_ok("resync", &["--discard", "east", "--yes"])
        .await?;
    let followed = pair.follows().await?;
    content::same_at(&pair, &followed.point).await.map(|_| ())
}

async fn exported(scene: &Scene, pair: &Pair<'_>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("saved.img");
    let to = file.to_str().context("the file's name is not text")?;
    let said = pair.ferry_ok("salvage", &["--to", to]).await?;
    scene.say(said.trim());
    holds_what_only_east_has(&file)?;
    let again = pair.ferry("salvage", &["--to", to]).await?;
    ensure!(!again.ok, "an export was overwritten");
    holds_what_only_east_has(&file)
}

fn holds_what_only_east_has(file: &Path) -> Result<()> {
    let image = std::fs::read(file)?;
    ensure!(image.len() as u64 == SIZE, "{} bytes", image.len());
    let at = |block: u64| usize::try_from(block * BLOCK);
    let mut wanted = vec![0; image.len()];
    wanted[at(DATA_BLOCK)?..at(DATA_BLOCK + 1)?].copy_from_slice(&LINE.repeat(4096));
    ensure!(image == wanted, "the file holds something else");
    let list = std::fs::read_to_string(format!("{}.json", file.display()))?;
    let list: Value = serde_json::from_str(&list)?;
    let ranges: Vec<Range> = serde_json::from_value(list["ranges"].clone())?;
    let listed = |zero: bool| -> Vec<(u64, u64)> {
        let own = ranges.iter().filter(|range| range.zero == zero);
        own.map(|range| (range.offset, range.length)).collect()
    };
    ensure!(
        listed(false) == [(DATA_BLOCK * BLOCK, BLOCK)]
            && listed(true) == [(ZERO_BLOCK * BLOCK, BLOCK)],
        "the list names other ranges: {ranges:?}"
    );
    Ok(())
}
