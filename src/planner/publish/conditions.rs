//! The conditions, from the status. Pure; every type is set from the first reconcile on.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::{Barred, Decision};
use crate::decide::{failing, switch, verify};
use crate::observe::{Observed, SiteView};
use crate::publish::advice;
use crate::validate::{Problem, Settings, Validated};
use api::v1alpha1::{FailingAction, ReplicationPairStatus};
use api::{Reason, conditions as kinds};

type Verdict = (bool, Reason, String);

/// Sets every condition of `decision.status`.
pub fn conditions(observed: &Observed, validated: &Validated, decision: &mut Decision) {
    let now = Time(observed.now);
    let generation = observed.pair.metadata.generation;
    let (settings, problem) = (validated.carry_on_with(), validated.problem());
    let verdicts = {
        let degraded = degraded(decision, observed.now);
        let diverged = diverged(&decision.status);
        let switching = switching(decision);
        let replicating = replicating(problem, decision, switching.0);
        let in_sync = in_sync(observed, settings, &decision.status);
        let validated = fits(problem);
        let ready = ready(
            &validated,
            &replicating,
            &degraded,
            &diverged,
            &decision.status,
        );
        [
            (kinds::READY, ready),
            (kinds::VALIDATED, validated),
            (kinds::REPLICATING, replicating),
            (kinds::IN_SYNC, in_sync),
            (kinds::DEGRADED, degraded),
            (kinds::SWITCHING, switching),
            (kinds::DIVERGED, diverged),
            (kinds::PRIMARY_DISAGREES, disagrees(observed, decision)),
            (kinds::STORAGE_CLOCK_OFF, storage_clock(observed)),
            (kinds::VERIFIED, verified(&decision.status)),
        ]
    };
    for (kind, (status, reason, message)) in verdicts {
        kinds::set(
            &mut decision.status.conditions,
            generation,
            &now,
            (kind, status.into(), reason.as_str(), &message),
        );
    }
}

fn fits(problem: Option<&Problem>) -> Verdict {
    match problem {
        Some(problem) => (false, problem.reason.clone(), problem.message.clone()),
        None => (
            true,
            Reason::AllGood,
            "the spec and everything it names fit together".into(),
        ),
    }
}

fn degraded(decision: &Decision, now: Timestamp) -> Verdict {
    if let Some(failing) = failing::reported(&decision.status, now) {
        return failed(failing);
    }
    if let Some(trouble) = &decision.trouble {
        return (true, trouble.reason.clone(), trouble.message.clone());
    }
    match &decision.status.last_failure {
        Some(failure) => (
            true,
            failure.reason.clone(),
            format!(
                "cycle {} failed ({} in a row): {}",
                failure.point, failure.attempts, failure.message
            ),
        ),
        None => (false, Reason::AllGood, "nothing fails".into()),
    }
}

/// What could not be done, in the words of whoever refused it, and what to do (K-8).
fn failed(failing: &FailingAction) -> Verdict {
    let FailingAction {
        action, message, ..
    } = failing;
    match failing.refused {
        true => (
            true,
            Reason::ActionRefused,
            format!("to {action} is refused: {message}; {}", advice(message)),
        ),
        false => (
            true,
            Reason::ActionFailed,
            format!("to {action} fails, and is tried again: {message}"),
        ),
    }
}

/// A storage whose clock is off stops and doubles nothing, for schedules go by the operator's own; but
/// whoever compares its times with others should know (K-12).
fn storage_clock(observed: &Observed) -> Verdict {
    let newest = |site: &'_ SiteView| {
        let cut = site.cuts.iter().rfind(|cut| cut.created.is_some())?;
        Some((site.name.clone(), cut.name.clone(), cut.clock_off?))
    };
    let Some((site, cut, off)) = observed.sites.iter().find_map(newest) else {
        return (
            false,
            Reason::AllGood,
            "no storage's clock is known to be off by more than a minute".into(),
        );
    };
    let (seconds, way) = (
        off.abs().as_secs(),
        if off.is_negative() { "behind" } else { "ahead" },
    );
    (
        true,
        Reason::StorageClockOff,
        format!(
            "the clock of the storage at site {site} is at least {seconds} s {way}, by VolumeSnapshot {cut}: \
             set it. Schedules and ages go by the operator's clock"
        ),
    )
}

/// Whether the last comparison found nothing, and what it found.
pub(super) fn verified(status: &ReplicationPairStatus) -> Verdict {
    let known = status.verification.as_ref();
    let under_way = verify::running(known).filter(|running| running.differing_bytes > 0);
    if let Some(running) = under_way {
        return (
            false,
            Reason::DifferenceFound,
            format!(
                "{} bytes in differing blocks so far, repaired as they are found, first {}",
                running.differing_bytes,
                running.differences.join(", ")
            ),
        );
    }
    let Some((last, time)) = known.and_then(|known| Some((known, known.last_time.as_ref()?)))
    else {
        return (
            false,
            Reason::NotVerified,
            "the standby's image was never compared with the primary's".into(),
        );
    };
    let point = last.point.as_deref().unwrap_or_default();
    let compared = format!(
        "{} bytes were compared at {point}, at {}",
        last.compared_bytes, time.0
    );
    if last.differing_bytes == 0 {
        return (true, Reason::NoDifference, format!("{compared}: all equal"));
    }
    (
        false,
        Reason::DifferenceRepaired,
        format!(
            "{compared}: {} bytes in differing blocks, {} of them repaired, first {}. The standby's storage \
             lost or changed what was written to it",
            last.differing_bytes,
            last.repaired_bytes,
            last.differences.join(", ")
        ),
    )
}

fn diverged(status: &ReplicationPairStatus) -> Verdict {
    match status.sites.iter().find(|site| site.diverged) {
        Some(site) => (
            true,
            Reason::Diverged,
            format!(
                "site {} may hold writes that nobody else has. Save what may be needed with kubectl ferry \
                 salvage, then allow to discard the rest with kubectl ferry resync --discard {} (epoch {}). Only the difference is copied",
                site.name,
                site.name,
                status.epoch.unwrap_or(0)
            ),
        ),
        None => (
            false,
            Reason::NotDiverged,
            "no site holds writes that nobody else has".into(),
        ),
    }
}

fn switching(decision: &Decision) -> Verdict {
    if let Some(switch) = decision
        .status
        .switch
        .as_ref()
        .filter(|s| switch::unfinished(s))
    {
        let waits = decision
            .status
            .waiting
            .as_ref()
            .map_or(String::new(), |w| format!("; waits for {}", w.what));
        return (
            true,
            Reason::SwitchInProgress,
            format!(
                "moving the primary role from {} to {}: step {}{waits}",
                switch.from, switch.to, switch.step
            ),
        );
    }
    match &decision.refused {
        Some(refused) => (false, refused.reason.clone(), refused.message.clone()),
        None => (
            false,
            Reason::NoSwitch,
            "the primary role stays where it is".into(),
        ),
    }
}

fn replicating(problem: Option<&Problem>, decision: &Decision, switching: bool) -> Verdict {
    let status = &decision.status;
    if let Some(problem) = problem {
        return (
            false,
            problem.reason.clone(),
            format!("no new cycle is begun: {}", problem.message),
        );
    }
    if switching {
        return (
            false,
            Reason::SwitchInProgress,
            "cycles go on when the primary role has been moved".into(),
        );
    }
    if decision.barred == Some(Barred::Paused) {
        let last = status.cycle.as_ref().map_or(String::new(), |cycle| {
            format!("; cycle {} is finished first", cycle.point.label)
        });
        return (
            false,
            Reason::Paused,
            format!(
                "spec.paused is set: no new cycle begins, and the primary role can still be moved{last}"
            ),
        );
    }
    if decision.barred == Some(Barred::Diverged) && status.cycle.is_none() {
        return (
            false,
            Reason::Diverged,
            "no cycle is begun before the divergence is resolved".into(),
        );
    }
    if status.committed_point.is_none() {
        return (
            true,
            Reason::Baseline,
            "the first copy is being made".into(),
        );
    }
    (true, Reason::AllGood, "cycles are being made".into())
}

fn in_sync(observed: &Observed, settings: &Settings, status: &ReplicationPairStatus) -> Verdict {
    let Some(point) = &status.committed_point else {
        return (
            false,
            Reason::NoCommittedPoint,
            "nothing is committed yet".into(),
        );
    };
    let age = status
        .standby_as_of()
        .map(|cut| observed.now.duration_since(cut.0));
    let limit: SignedDuration = settings.interval.saturating_mul(2);
    if age.is_some_and(|age| age < limit) {
        return (
            true,
            Reason::AllGood,
            "what the standby holds is younger than twice the interval".into(),
        );
    }
    (
        false,
        Reason::Behind,
        format!(
            "the committed point {} is older than twice the interval",
            point.label
        ),
    )
}

fn ready(
    validated: &Verdict,
    replicating: &Verdict,
    degraded: &Verdict,
    diverged: &Verdict,
    status: &ReplicationPairStatus,
) -> Verdict {
    let first_bad = [
        (!validated.0).then_some(validated),
        diverged.0.then_some(diverged),
        degraded.0.then_some(degraded),
    ]
    .into_iter()
    .flatten()
    .next();
    if let Some((_, reason, message)) = first_bad {
        return (false, reason.clone(), message.clone());
    }
    let Some(point) = &status.committed_point else {
        return (
            false,
            Reason::Baseline,
            "the first copy is still being made; there is nothing to promote yet".into(),
        );
    };
    if !replicating.0 {
        return (false, replicating.1.clone(), replicating.2.clone());
    }
    (
        true,
        Reason::AllGood,
        format!(
            "point {} can be promoted, and cycles are being made",
            point.label
        ),
    )
}

fn disagrees(observed: &Observed, decision: &Decision) -> Verdict {
    let (status, requested_primary) = (&decision.status, &observed.pair.spec.primary);
    let moving = status.switch.as_ref().is_some_and(switch::unfinished);
    let Some(primary) = status
        .primary
        .as_ref()
        .filter(|primary| *primary != requested_primary && !moving)
    else {
        return (
            false,
            Reason::ManifestAgrees,
            "the manifest and the data name the same primary".into(),
        );
    };
    if status.handled_primary.as_ref() != Some(requested_primary) {
        return (
            false,
            Reason::ManifestAgrees,
            format!("the request for {requested_primary} is new and is being handled"),
        );
    }
    (
        true,
        Reason::ManifestIsStale,
        format!(
            "spec.primary says {requested_primary}, but {primary} is primary and that request was handled before: nothing is \
             moved. Set spec.primary to {primary}; to move the role, change it after that"
        ),
    )
}
