//! What is done with a status that a newer version has written? Nothing, and that is reported (K-19).
//!
//! A word that this version does not know may stand for anything, also for a claim that is bound
//! nowhere at this moment. So nothing is made, bound, started, stopped or deleted until a version
//! that knows it is at work again.

use crate::decide::{DecisionBuilder, switch};
use crate::site::MoverDesired;
use api::Reason;
use api::v1alpha1::{CyclePhase, QuiesceState, ReplicationPairStatus, SwitchKind, SwitchStep};

/// Where the pair stands in words that this version does not know, as a clause.
#[must_use]
pub fn unknown(status: &ReplicationPairStatus) -> Option<String> {
    let cycle = status.cycle.as_ref().and_then(|cycle| match &cycle.phase {
        CyclePhase::Unknown(phase) => {
            Some(format!("cycle {} is in phase {phase}", cycle.point.label))
        }
        _ => None,
    });
    let moving = status.switch.as_ref().filter(|s| switch::unfinished(s));
    let moving = moving.and_then(|switch| match (&switch.kind, &switch.step) {
        (SwitchKind::Unknown(kind), step) => {
            Some(format!("a role change of kind {kind} is at step {step}"))
        }
        (_, SwitchStep::Unknown(step)) => Some(format!("the role change is at step {step}")),
        _ => None,
    });
    let quiesce = status.quiesce.as_ref().filter(|q| q.released_at.is_none());
    let quiesce = quiesce.and_then(|quiesce| match &quiesce.state {
        QuiesceState::Unknown(state) => {
            Some(format!("the application is in quiesce state {state}"))
        }
        _ => None,
    });
    cycle.or(moving).or(quiesce)
}

/// Leaves everything as it is and reports why: `what` is where the pair stands.
pub fn hold(d: &mut DecisionBuilder<'_>, what: &str) {
    for site in &d.observed.sites {
        d.want(&site.name, MoverDesired::Leave);
    }
    d.trouble(
        Reason::WrittenByNewerVersion,
        format!(
            "{what}, which this version of Ferry does not know: nothing is done until the version that \
             wrote it, or a newer one, is installed"
        ),
    );
    d.wait(format!(
        "a version of Ferry that knows what this means: {what}"
    ));
}
