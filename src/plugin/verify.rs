//! `kubectl ferry verify`: compare the two images now, and see what was found.

use jiff::Timestamp;
use kube::ResourceExt;

use super::connect::Target;
use super::format;
use super::output::{self, Output};
use super::spec_patch;
use super::wait::{self, Patience, Stage};
use api::ReplicationPair;
use api::v1alpha1::VerificationStatus;

/// What `verify` takes.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The pair.
    pair: String,
    /// Print the pair as it is then; `status.verification` says what was found.
    #[arg(short, long, value_enum, value_name = "FORM")]
    output: Option<Output>,
    #[command(flatten)]
    patience: Patience,
}

/// Writes the trigger.
pub(super) async fn run(target: &Target, args: Args) -> anyhow::Result<()> {
    let pairs = target.connect().await?;
    // Only has to differ from every trigger before it.
    let trigger = Timestamp::now().to_string();
    spec_patch::send(&pairs, &args.pair, spec_patch::verify_patch(&trigger)).await?;
    if !args.patience.wait {
        anstream::println!("{} verification requested", output::reference(&args.pair));
        return Ok(());
    }
    wait::until(&pairs, &args.pair, &args.patience, |pair| {
        match (stage(pair, &trigger), args.output) {
            // The object says it all.
            (Stage::Done(_), Some(_)) => Stage::Done(String::new()),
            (stage, _) => stage,
        }
    })
    .await?;
    let Some(form) = args.output else {
        return Ok(());
    };
    let object = output::fetch(&pairs, &output::Wanted::Pair(&args.pair)).await?;
    let object = output::without_managers(object);
    anstream::print!("{}", output::text(&object, form)?);
    Ok(())
}

/// How far the verification that began with `trigger` is.
fn stage(pair: &ReplicationPair, trigger: &str) -> Stage {
    let status = pair.status.as_ref();
    let Some(known) = status.and_then(|status| status.verification.as_ref()) else {
        return Stage::Going("waiting for the operator to pick up the request".into());
    };
    if known.trigger.as_deref() == Some(trigger) {
        let words = words(known, Timestamp::now());
        return Stage::Done(format!("{} {words}", output::reference(&pair.name_any())));
    }
    let wait = status.and_then(|status| status.waiting.as_ref());
    Stage::Going(match (&known.running, wait) {
        (Some(_), None) => words(known, Timestamp::now()),
        (Some(_), Some(wait)) => format!(
            "{}; waiting for {}",
            words(known, Timestamp::now()),
            wait.what
        ),
        (None, _) => "waiting for the operator to pick up the request".into(),
    })
}

/// What is known of the last verification and the one under way, as one sentence.
pub(super) fn words(known: &VerificationStatus, now: Timestamp) -> String {
    if let Some(running) = &known.running {
        return format!(
            "{} of {} compared since {}, {}",
            format::bytes(running.compared_bytes),
            format::bytes(running.size_bytes),
            format::age(&running.started_at, now),
            found(running.differing_bytes, &running.differences)
        );
    }
    let Some(time) = &known.last_time else {
        return "never".into();
    };
    format!(
        "{} compared {} ago in {}, at {}: {}",
        format::bytes(known.compared_bytes),
        format::age(time, now),
        format::span(u64::try_from(known.duration_seconds).unwrap_or(0)),
        known.point.as_deref().unwrap_or(format::NONE),
        found(known.differing_bytes, &known.differences)
    )
}

fn found(bytes: i64, ranges: &[String]) -> String {
    if bytes == 0 {
        return "no difference".into();
    }
    format!(
        "{} differed and were repaired ({})",
        format::bytes(bytes),
        ranges.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use api::v1alpha1::RunningVerification;

    #[test]
    fn the_wait_ends_with_the_verification_that_was_asked_for_and_says_what_was_found() {
        let mut pair = sample::shipping();
        assert!(matches!(stage(&pair, "now"), Stage::Going(_)));
        let mut known = VerificationStatus {
            running: Some(RunningVerification {
                started_at: sample::ago(5),
                trigger: Some("now".into()),
                point: None,
                compared_bytes: 1 << 20,
                size_bytes: 4 << 20,
                differing_bytes: 0,
                differences: Vec::new(),
            }),
            last_time: Some(sample::ago(60)),
            trigger: Some("before".into()),
            ..VerificationStatus::default()
        };
        pair.status.as_mut().unwrap().waiting = None;
        pair.status.as_mut().unwrap().verification = Some(known.clone());
        match stage(&pair, "now") {
            Stage::Going(words) => assert!(words.contains("1.0 MiB of 4.0 MiB"), "{words}"),
            other => panic!("{other:?}"),
        }
        known.running = None;
        known.trigger = Some("now".into());
        known.differing_bytes = 4096;
        known.differences = vec!["4096 bytes at 8192".into()];
        pair.status.as_mut().unwrap().verification = Some(known);
        match stage(&pair, "now") {
            Stage::Done(words) => {
                assert!(
                    words.contains("4.0 KiB differed") && words.contains("at 8192"),
                    "{words}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
