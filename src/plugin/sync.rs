//! `kubectl ferry sync`: start a cycle now, and see it committed.

use std::cell::Cell;

use jiff::Timestamp;
use kube::ResourceExt;

use super::connect::Target;
use super::wait::{self, Patience, Stage};
use super::{detail, output, spec_patch};
use api::{ReplicationPair, ReplicationPairStatus};

/// What `sync` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
    #[command(flatten)]
    patience: Patience,
}

/// Writes the trigger.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    // Only has to differ from every trigger before it.
    let trigger = Timestamp::now().to_string();
    spec_patch::send(&pairs, &args.pair, spec_patch::sync_patch(&trigger)).await?;
    if !args.patience.wait {
        anstream::println!("{} sync requested", output::reference(&args.pair));
        return Ok(());
    }
    let goal = Cell::new(None);
    wait::until(&pairs, &args.pair, &args.patience, |pair| {
        stage(pair, &trigger, &goal)
    })
    .await
}

/// The cut to wait for is the newest that was known when the operator repeated the trigger: any
/// older one was taken before it, and no clock has to be compared.
fn stage(pair: &ReplicationPair, trigger: &str, goal: &Cell<Option<i64>>) -> Stage {
    let Some(status) = &pair.status else {
        return Stage::Going("waiting for the operator to look at the pair".into());
    };
    if status.last_sync_trigger.as_deref() != Some(trigger) {
        return Stage::Going(match &status.waiting {
            Some(wait) => format!("the request is next; waiting for {}", wait.what),
            None => "waiting for the operator to pick up the request".into(),
        });
    }
    let newest = newest_cut(status);
    let wanted = goal.get().or(newest);
    goal.set(wanted);
    match (&status.committed_point, wanted) {
        (Some(point), Some(wanted)) if point.seq >= wanted => Stage::Done(format!(
            "{} {} committed",
            output::reference(&pair.name_any()),
            point.label
        )),
        (Some(point), Some(wanted))
            if status.unchanged_cut().is_some_and(|cut| cut.seq >= wanted) =>
        {
            Stage::Done(format!(
                "{} nothing has changed since {}, which is committed",
                output::reference(&pair.name_any()),
                point.label
            ))
        }
        _ => Stage::Going(match (&status.cycle, &status.waiting) {
            (Some(cycle), _) => detail::running(cycle, Timestamp::now()),
            (None, Some(wait)) => format!("waiting for {}", wait.what),
            (None, None) => "waiting for the cut".into(),
        }),
    }
}

fn newest_cut(status: &ReplicationPairStatus) -> Option<i64> {
    let cycle = status.cycle.as_ref().map(|cycle| cycle.point.seq);
    let last = status.last_cut.as_ref().map(|cut| cut.seq);
    cycle.max(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use api::v1alpha1::UnchangedStatus;

    #[test]
    fn a_commit_of_an_older_cut_does_not_end_the_wait() {
        let mut pair = sample::shipping();
        let goal = Cell::new(None);
        assert!(matches!(stage(&pair, "now", &goal), Stage::Going(_)));
        assert_eq!(goal.get(), None);
        pair.status.as_mut().unwrap().last_sync_trigger = Some("now".into());
        assert!(matches!(stage(&pair, "now", &goal), Stage::Going(_)));
        assert_eq!(goal.get(), Some(43));
        let status = pair.status.as_mut().unwrap();
        status.committed_point = status.last_cut.clone();
        assert!(matches!(stage(&pair, "now", &goal), Stage::Done(_)));
    }

    #[test]
    fn a_cut_in_which_nothing_had_changed_ends_the_wait() {
        let mut pair = sample::shipping();
        let goal = Cell::new(None);
        let status = pair.status.as_mut().unwrap();
        status.last_sync_trigger = Some("now".into());
        let mut unchanged = UnchangedStatus {
            point: status.last_cut.clone().unwrap(),
            since: "of another committed point".into(),
            total_ms: 2000,
            snapshot_ms: 1700,
        };
        status.unchanged = Some(unchanged.clone());
        assert!(matches!(stage(&pair, "now", &goal), Stage::Going(_)));
        let status = pair.status.as_mut().unwrap();
        unchanged.since = status.committed_point.clone().unwrap().label;
        status.unchanged = Some(unchanged);
        assert!(matches!(stage(&pair, "now", &goal), Stage::Done(_)));
    }
}
