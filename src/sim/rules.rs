//! Wrong rules: each breaks one promise, and the simulator has to notice. Those of the mover and of the
//! planner are broken where they are kept, those of what is below them here.

use mover_core::Rule as MoverRule;
use planner::mutations::Rule as PlannerRule;

/// A rule, done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A rule of the mover.
    Mover(MoverRule),
    /// A rule of the planner.
    Planner(PlannerRule),
    /// The volume is not flushed before it counts as written.
    FlushSkipped,
    /// A write that finds no room counts as done.
    FullIgnored,
}

impl Wrong {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Wrong> {
        let movers = MoverRule::ALL.into_iter().map(Wrong::Mover);
        let planners = PlannerRule::ALL.into_iter().map(Wrong::Planner);
        movers
            .chain([Wrong::FlushSkipped, Wrong::FullIgnored])
            .chain(planners)
    }

    /// The rule of the mover that is broken, if it is one of those.
    pub(crate) fn of_mover(self) -> Option<MoverRule> {
        match self {
            Wrong::Mover(rule) => Some(rule),
            _ => None,
        }
    }

    /// The rule of the planner that is broken, if it is one of those.
    pub(crate) fn of_planner(self) -> Option<PlannerRule> {
        match self {
            Wrong::Planner(rule) => Some(rule),
            // The planner asks for what the mover must refuse.
            Wrong::Mover(MoverRule::ConsentForAnyEpoch) => Some(PlannerRule::ConsentEpochIgnored),
            _ => None,
        }
    }
}
