//! Which point, which role, when: one pass over a pair, every decision in the order in which they
//! depend on each other. What is decided is recorded, and each site gets what it is to become.

use jiff::{SignedDuration, Timestamp};

use crate::decide::{
    Barred, DecisionBuilder, consent, cycle, hold, identity, newer, setup, silent, sweep, switch,
};
use crate::observe::{Observed, Timeline};
use crate::requests::Answer;
use crate::site::SiteDesired;
use crate::validate::{Problem, Validated};
use api::v1alpha1::ReplicationPairStatus;

/// How often to look whether a problem is fixed: no watch tells of classes.
const PROBLEM_RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// What was decided of a pair.
#[derive(Clone, Debug)]
pub struct PairDecision {
    /// What is recorded before anything is done: identity, epoch, roles, requests, cycle, role change.
    pub ledger: ReplicationPairStatus,
    /// The marks of time to keep.
    pub timeline: Timeline,
    /// What each site is to become, the standby first.
    pub sites: Vec<SiteDesired>,
    /// What is waited for, as a clause.
    pub waiting: Option<String>,
    /// When to look again if nothing wakes the operator before.
    pub due: Option<Timestamp>,
    /// What fails at present, though it will be tried again.
    pub trouble: Option<Problem>,
    /// Why a change of `spec.primary` is not followed.
    pub refused: Option<Problem>,
    /// Why the promotion that would begin does not.
    pub answer: Option<Answer>,
    /// Why no cycle may begin, if so.
    pub barred: Option<Barred>,
}

/// What is recorded of a pair, and what its sites are to become.
#[must_use]
pub fn decide(observed: &Observed, validated: &Validated) -> PairDecision {
    let mut builder = DecisionBuilder::new(observed, validated);
    hold::release(&mut builder);
    if let Some(what) = newer::unknown(&builder.status) {
        newer::hold(&mut builder, &what);
        builder.recheck_in(PROBLEM_RECHECK_AFTER);
        return builder.finish();
    }
    if observed.sites.len() == 2 && identity::settle(&mut builder) {
        consent::note(&mut builder);
        setup::ensure(&mut builder);
        setup::remember(&mut builder);
        switch::advance(&mut builder);
        if !switch::fence_returning_primary(&mut builder) {
            cycle::run(&mut builder);
            switch::note_last_cut(&mut builder);
            sweep::sweep(&mut builder);
        }
        switch::note(&mut builder);
    }
    silent::settle(&mut builder);
    if validated.problem().is_some() {
        builder.recheck_in(PROBLEM_RECHECK_AFTER);
    }
    builder.finish()
}
