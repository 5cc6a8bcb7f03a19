//! One pass over a pair: every decision, in the order in which they depend on each other.

use jiff::SignedDuration;

use crate::decide::{Decision, Draft, cycle, hold, identity, newer, setup, sweep, switch};
use crate::observe::Observed;
use crate::validate::Validated;

/// How often to look whether a problem is fixed: no watch tells of classes.
const PROBLEM_LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// What to do next.
#[must_use]
pub fn decide(observed: &Observed, validated: &Validated) -> Decision {
    let mut draft = Draft::new(observed, validated);
    hold::release(&mut draft);
    if let Some(what) = newer::unknown(&draft.status) {
        newer::hold(&mut draft, &what);
        draft.visit_in(PROBLEM_LOOK_AGAIN);
        return draft.finish();
    }
    if observed.sites.len() == 2 && identity::settle(&mut draft) {
        setup::ensure(&mut draft);
        setup::remember(&mut draft);
        switch::consider(&mut draft);
        if !switch::recall(&mut draft) {
            cycle::run(&mut draft);
            switch::note_last_cut(&mut draft);
            sweep::sweep(&mut draft);
        }
    }
    if validated.problem().is_some() {
        draft.visit_in(PROBLEM_LOOK_AGAIN);
    }
    draft.finish()
}
