//! `kubectl ferry pause` and `resume`: whether new cycles begin.

use super::connect::Target;
use super::output;
use super::spec_patch;
use api::ReplicationPair;

/// What `pause` and `resume` take.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
}

/// Has no new cycle begin.
pub(super) async fn pause(target: &Target, args: Args) -> anyhow::Result<()> {
    set(target, &args.pair, true).await
}

/// Has cycles begin again.
pub(super) async fn resume(target: &Target, args: Args) -> anyhow::Result<()> {
    set(target, &args.pair, false).await
}

async fn set(target: &Target, name: &str, paused: bool) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    let pair = spec_patch::send(&pairs, name, spec_patch::paused_patch(paused)).await?;
    anstream::println!("{} {}", output::reference(name), outcome(&pair));
    Ok(())
}

/// What the pair does now, as it was written.
fn outcome(pair: &ReplicationPair) -> String {
    if !pair.spec.paused {
        return "resumed".into();
    }
    let cycle = pair
        .status
        .as_ref()
        .and_then(|status| status.cycle.as_ref());
    match cycle {
        Some(cycle) => format!("paused; cycle {} is finished first", cycle.point.label),
        None => "paused".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_cycle_that_runs_is_named() {
        let mut pair = sample::shipping();
        assert_eq!(outcome(&pair), "resumed");
        pair.spec.paused = true;
        let cycle = pair.status.as_ref().unwrap().cycle.clone().unwrap();
        let label = cycle.point.label;
        assert_eq!(
            outcome(&pair),
            format!("paused; cycle {label} is finished first")
        );
        pair.status.as_mut().unwrap().cycle = None;
        assert_eq!(outcome(&pair), "paused");
    }
}
