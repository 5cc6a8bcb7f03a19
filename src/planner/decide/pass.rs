//! One pass over a pair: every decision, in the order in which they depend on each other.

use jiff::SignedDuration;

use crate::decide::{
    Decision, DecisionBuilder, cycle, hold, identity, newer, setup, sweep, switch,
};
use crate::observe::Observed;
use crate::validate::Validated;

/// How often to look whether a problem is fixed: no watch tells of classes.
const PROBLEM_RECHECK_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// What to do next.
#[must_use]
pub fn decide(observed: &Observed, validated: &Validated) -> Decision {
    let mut builder = DecisionBuilder::new(observed, validated);
    hold::release(&mut builder);
    if let Some(what) = newer::unknown(&builder.status) {
        newer::hold(&mut builder, &what);
        builder.visit_in(PROBLEM_RECHECK_AFTER);
        return builder.finish();
    }
    if observed.sites.len() == 2 && identity::settle(&mut builder) {
        setup::ensure(&mut builder);
        setup::remember(&mut builder);
        switch::advance(&mut builder);
        if !switch::recall(&mut builder) {
            cycle::run(&mut builder);
            switch::note_last_cut(&mut builder);
            sweep::sweep(&mut builder);
        }
    }
    if validated.problem().is_some() {
        builder.visit_in(PROBLEM_RECHECK_AFTER);
    }
    builder.finish()
}
