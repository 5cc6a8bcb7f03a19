//! Step 3, decide (no client required): from what was observed, the status to record and what to do.
//!
//! The status is written before the actions are carried out: whatever an action needs to be found
//! again (a point, an epoch, the pods that are held) is recorded before it is used. Every visit
//! starts from the beginning; nothing is remembered but marks of time.

mod action;
mod attempt;
mod commit;
mod cut;
mod cycle;
mod draft;
mod hold;
mod identity;
mod movers;
mod progress;
mod reports;
mod rungs;
mod schedule;
mod setup;
mod ship;
mod sweep;
#[cfg(test)]
pub(in crate::operator) mod tests;

use jiff::SignedDuration;

use crate::operator::observe::Observed;
use crate::operator::switch;
use crate::operator::validate::{Problem, Settings};

pub use action::{Action, CutWish, Device, ShipPlan};
pub use attempt::ATTEMPTS_MAX;
pub use cycle::{consent, is_diverged};
pub use draft::{Decision, Draft};
pub use movers::ready as mover_ready;
pub use reports::{Report, absorb};

/// How often to look whether a problem has been put right: no watch tells of classes.
const PROBLEM_LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// What to do next.
#[must_use]
pub fn decide(observed: &Observed, settings: &Settings, problem: Option<&Problem>) -> Decision {
    let mut draft = Draft::new(observed, settings, problem);
    hold::release(&mut draft);
    if observed.sites.len() == 2 && identity::settle(&mut draft) {
        setup::ensure(&mut draft);
        switch::consider(&mut draft);
        cycle::run(&mut draft);
        switch::note_last_cut(&mut draft);
        sweep::sweep(&mut draft);
    }
    movers::settle(&mut draft);
    if problem.is_some() {
        draft.visit_in(PROBLEM_LOOK_AGAIN);
    }
    draft.finish()
}
