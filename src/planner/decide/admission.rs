//! May a cycle begin? Asked here and nowhere else; when it may is the schedule's question.

use crate::decide::DecisionBuilder;
use crate::decide::consent::{consent, is_diverged};

/// Why no cycle may begin. What runs is finished all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// The spec does not fit what it names.
    Unusable,
    /// The primary role is being moved, and its last cut is not what comes next.
    RoleChange,
    /// `spec.paused` is set.
    Paused,
    /// The standby holds writes that nobody else has, without consent to discard them.
    Diverged,
    /// There is no claim to cut.
    NoClaim,
}

/// Why no cycle may begin now; `None` when one may.
#[must_use]
pub fn barred(d: &DecisionBuilder<'_>) -> Option<Barred> {
    let diverged = d
        .standby()
        .is_some_and(|site| is_diverged(d, site.name.as_str()));
    let held = diverged && consent(d).is_none();
    // The last cut of a role change is no new work: without it a planned change could not end.
    let paused = d.observed.pair.spec.paused && !d.cycle_now;
    let reasons = [
        (d.validated.problem().is_some(), Barred::Unusable),
        (!d.cycles_allowed, Barred::RoleChange),
        (paused, Barred::Paused),
        (held, Barred::Diverged),
        (d.app_claim().is_none(), Barred::NoClaim),
    ];
    let first = reasons.into_iter().find(|(holds, _)| *holds);
    first.map(|(_, barred)| barred)
}
