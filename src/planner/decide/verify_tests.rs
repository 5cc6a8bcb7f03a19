//! A verification of several slices: how they are counted, and that a cycle which is due goes first.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::decide::{Action, Decision, decide};
use crate::observe::samples::{GIB, POINT, at_rest, cycle_report};
use crate::observe::{Observed, VerifyMark};
use crate::validate::validate;
use api::v1alpha1::{RunningVerification, VerificationStatus};
use protocol::units::{ChangeSource, Extent};
use wire::control::{Activity, CycleOutcome, VerifyReport};

/// The rate of 64 MiB a second for ten seconds.
const SLICE: u64 = 640 << 20;

/// A pair whose verification has come to this byte, and which has asked for a slice there 5 s ago.
fn verifying(compared: u64) -> Observed {
    let mut observed = at_rest();
    let running = RunningVerification {
        started_at: Time(observed.now),
        trigger: Some("now".into()),
        point: None,
        compared_bytes: i64::try_from(compared).unwrap(),
        size_bytes: 0,
        differing_bytes: 0,
        differences: Vec::new(),
    };
    observed.pair.spec.verify_trigger = Some("now".into());
    observed.pair.status.as_mut().unwrap().verification = Some(VerificationStatus {
        running: Some(running),
        ..VerificationStatus::default()
    });
    observed.timeline.verify = Some(VerifyMark {
        position: compared,
        version: 1,
        since: observed.now - SignedDuration::from_secs(5),
        retry_at: None,
    });
    observed
}

/// The slice that was asked for is compared.
fn compared(observed: &mut Observed, range: Extent, differing: Vec<Extent>) {
    let bytes = differing.iter().map(|extent| extent.len).sum();
    let source = observed.sites[0].mover.as_mut().unwrap();
    source.version += 1;
    source.last = Some(CycleOutcome::Verified(Box::new(VerifyReport {
        range,
        differing,
        cycle: cycle_report(ChangeSource::Verify, bytes),
    })));
}

fn decided(observed: &Observed) -> Decision {
    decide(observed, &validate(observed))
}

/// Where the slice begins that is asked for now.
fn asked(decision: &Decision) -> Option<u64> {
    decision.actions.iter().find_map(|action| match action {
        Action::Verify(plan) => Some(plan.range.offset),
        _ => None,
    })
}

fn known(decision: &Decision) -> VerificationStatus {
    decision.status.verification.clone().unwrap()
}

#[test]
fn each_slice_begins_where_the_last_one_ended_and_all_are_counted() {
    let mut observed = verifying(0);
    let first = Extent::new(4096, 512);
    compared(&mut observed, Extent::new(0, SLICE), vec![first]);
    let decision = decided(&observed);
    assert_eq!(asked(&decision), Some(SLICE));
    let running = known(&decision).running.unwrap();
    assert_eq!(running.compared_bytes, i64::try_from(SLICE).unwrap());
    assert_eq!(running.differing_bytes, 512);

    observed.pair.status = Some(decision.status);
    observed.timeline = decision.timeline;
    let far = Extent::new(SLICE + 4096, 8192);
    compared(&mut observed, Extent::new(SLICE, GIB - SLICE), vec![far]);
    let decision = decided(&observed);
    assert_eq!(asked(&decision), None);
    let found = known(&decision);
    assert_eq!(found.running, None);
    assert_eq!(found.compared_bytes, i64::try_from(GIB).unwrap());
    assert_eq!((found.differing_bytes, found.repaired_bytes), (8704, 8704));
    let differences = [
        "512 bytes at 4096".to_string(),
        format!("8192 bytes at {}", far.offset),
    ];
    assert_eq!(found.differences, differences);
    assert_eq!(found.point, Some(POINT.to_string()));
    assert_eq!(found.trigger.as_deref(), Some("now"));
}

/// A report of before the request is of an earlier verification.
#[test]
fn a_report_of_before_counts_for_nothing() {
    let mut observed = verifying(0);
    compared(&mut observed, Extent::new(0, SLICE), Vec::new());
    observed.timeline.verify.as_mut().unwrap().version = 2;
    let running = known(&decided(&observed)).running.unwrap();
    assert_eq!(running.compared_bytes, 0);
}

/// The slice under way may take a little longer when a cycle is due, and no more than that.
#[test]
fn a_cycle_that_is_due_goes_first_at_most_one_slice_later() {
    let mut observed = verifying(0);
    observed.sites[0].mover.as_mut().unwrap().activity = Activity::Shipping(POINT);
    observed.now += SignedDuration::from_secs(60);
    let mark = observed.timeline.verify.as_mut().unwrap();
    mark.since = observed.now - SignedDuration::from_secs(5);
    let decision = decided(&observed);
    assert_eq!(decision.status.cycle, None, "not even what is left of it");
    observed.now += SignedDuration::from_secs(20);
    assert!(decided(&observed).status.cycle.is_some(), "cycles starve");
}

/// Or a verification with a slice a cycle would never end.
#[test]
fn a_slice_that_ends_when_a_cycle_is_due_counts() {
    let mut observed = verifying(0);
    observed.now += SignedDuration::from_secs(60);
    compared(&mut observed, Extent::new(0, SLICE), Vec::new());
    let decision = decided(&observed);
    assert!(decision.status.cycle.is_some(), "the cycle goes first");
    let running = known(&decision).running.unwrap();
    assert_eq!(running.compared_bytes, i64::try_from(SLICE).unwrap());
}
