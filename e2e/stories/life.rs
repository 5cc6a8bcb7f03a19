//! *As the keeper of a shop I want its orders at a second site, so that I can move there without
//! losing one, and survive the loss of the first.*
//!
//! The whole life that `make demo` shows: baseline, delta cycles, planned switch, the old site
//! follows by delta, forced failover with a named loss, failback by the difference. H-6 (without
//! consent nothing changes and the status is Diverged; with consent only the difference travels),
//! C-9 (never more than two snapshots a side), SYS-2 (nothing left over), SYS-3 (bytes
//! bounded by what changed).

use anyhow::Result;
use futures::FutureExt;

use super::Story;
use crate::demo::life::{AMOUNTS, Life};
use crate::demo::teller::Teller;
use crate::harness::Scene;

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "life",
        proves: &["C-9", "H-6", "SYS-2", "SYS-3"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    Life::new(scene, Teller::new(false), AMOUNTS)
        .live()
        .await
        .map(|_| ())
}
