//! *My deployment tool applies the same manifest every few minutes. It must not move the primary
//! role back after a failover.*
//!
//! After a promotion the old manifest is applied again, unchanged. The role stays, the condition
//! `PrimaryDisagrees` says what the manifest wants and what the data says. An order for an older
//! epoch is refused, and so is one for a site without a committed point.

use anyhow::{Result, ensure};
use api::v1alpha1::PromotionKind;
use api::{Reason, conditions};
use futures::FutureExt;

use super::Story;
use crate::harness::pair::is_true;
use crate::harness::{App, Pair, PairOptions, Scene, secs};

/// The story.
#[must_use]
pub fn story() -> Story {
    Story {
        name: "stale_manifest",
        proves: &["SYS-4"],
        alone: false,
        run: |scene| run(scene).boxed(),
    }
}

async fn run(scene: &Scene) -> Result<()> {
    scene.claim("data", "fast", "64Mi", false).await?;
    let app = App::open(scene, "data", "0").await?;
    app.add(100, 4096).await?;
    let rows = app.rows().await?;
    let options = PairOptions::orders().with_application("Deployment", "shop");
    let pair = Pair::apply(scene, &options).await?;
    pair.baseline().await?;
    let epoch = pair.status().await?.epoch.unwrap_or(0);
    pair.promote("west", epoch, PromotionKind::Planned).await?;
    pair.primary_is("west").await?;
    Pair::apply(scene, &options).await?;
    let condition = pair
        .until("the condition PrimaryDisagrees", secs(30), |s| {
            is_true(&s.conditions, conditions::PRIMARY_DISAGREES)
                .then(|| conditions::get(&s.conditions, conditions::PRIMARY_DISAGREES).cloned())?
        })
        .await?;
    ensure!(
        condition.message.contains("east") && condition.message.contains("west"),
        "the condition names not both sites: {}",
        condition.message
    );
    pair.sync().await?;
    // Written for the epoch before: void.
    let void = pair.promote("east", epoch, PromotionKind::Forced).await?;
    pair.ended(&void, Reason::ConsentForOtherEpoch).await?;
    let status = pair.status().await?;
    ensure!(
        status.primary.as_deref() == Some("west"),
        "the role was moved to {:?}",
        status.primary
    );
    ensure!(app.rows().await? == rows, "the rows have changed");
    app.check().await
}
