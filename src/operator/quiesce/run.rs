//! The two rounds: `pre` before the cut, `post` after it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::time::Instant;

use crate::quiesce::exec::exec;
use api::v1alpha1::{HookFailure, HookSpec};
use planner::observe::{HookOutcome, HookReport, HookTarget};

/// How often `post` is tried in one pod: an application that stays held is the worst outcome.
pub const POST_TRIES: u32 = 3;
/// The pause between two tries.
const POST_PAUSE: Duration = Duration::from_secs(1);

/// Runs `pre` of each target in order. Stops at the first failure of a hook whose `onFailure` is
/// `Abort`. Never fails as a whole: the report says what happened. Takes at most the sum of the
/// hooks' time-outs.
pub async fn run_pre(
    client: &Client,
    namespace: &str,
    hooks: &[HookSpec],
    targets: &[HookTarget],
) -> HookReport {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut report = HookReport::default();
    for target in targets {
        // A hook that was taken out of the spec meanwhile is no reason to hold anything.
        let Some(hook) = hooks.get(target.hook) else {
            continue;
        };
        let begun = Instant::now();
        let ended = exec(&api, target, &hook.pre, timeout(hook)).await;
        let failed = ended.is_err();
        report.outcomes.push(HookOutcome {
            target: target.clone(),
            took: begun.elapsed(),
            failure: ended.err(),
        });
        if failed && hook.on_failure == HookFailure::Abort {
            report.abort = true;
            return report;
        }
    }
    report
}

/// Runs `post` of each target in reverse order, all of them whatever happens, each up to
/// [`POST_TRIES`] times. A pod that is gone or has ended counts as released.
pub async fn run_post(
    client: &Client,
    namespace: &str,
    hooks: &[HookSpec],
    targets: &[HookTarget],
) -> HookReport {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut report = HookReport::default();
    for target in targets.iter().rev() {
        let Some(hook) = hooks.get(target.hook).filter(|hook| !hook.post.is_empty()) else {
            continue;
        };
        let begun = Instant::now();
        let failure = release(&api, target, hook).await.err();
        report.outcomes.push(HookOutcome {
            target: target.clone(),
            took: begun.elapsed(),
            failure,
        });
    }
    report
}

async fn release(api: &Api<Pod>, target: &HookTarget, hook: &HookSpec) -> Result<(), String> {
    let mut tries = 0;
    loop {
        tries += 1;
        let Err(failure) = exec(api, target, &hook.post, timeout(hook)).await else {
            return Ok(());
        };
        if has_ended(api, &target.pod).await {
            return Ok(());
        }
        if tries == POST_TRIES {
            return Err(failure);
        }
        tracing::warn!(%target, failure, tries, "a post hook failed; trying again");
        tokio::time::sleep(POST_PAUSE).await;
    }
}

/// Whether the pod is certain to hold nothing any more. When in doubt it is not.
async fn has_ended(api: &Api<Pod>, pod: &str) -> bool {
    match api.get_opt(pod).await {
        Ok(None) => true,
        Ok(Some(pod)) => {
            let phase = pod.status.and_then(|status| status.phase);
            matches!(phase.as_deref(), Some("Succeeded" | "Failed"))
        }
        Err(_) => false,
    }
}

fn timeout(hook: &HookSpec) -> Duration {
    Duration::from_secs(u64::try_from(hook.timeout_seconds).unwrap_or(0).max(1))
}
