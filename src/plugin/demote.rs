//! `kubectl ferry demote`: move the primary role away from its present site, losing nothing.

use super::connect::Target;
use super::promote::{self, PromoteRequest};
use super::wait::Patience;
use api::v1alpha1::PromotionKind;

/// What `demote` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
    /// Print the steps for the real objects and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    patience: Patience,
}

/// A volume always has a primary: demoting one site is promoting the other.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    let request = PromoteRequest {
        name: args.pair,
        to: None,
        kind: PromotionKind::Planned,
        yes: false,
        dry_run: args.dry_run,
        patience: args.patience,
    };
    promote::carry_out(&pairs, request).await
}
