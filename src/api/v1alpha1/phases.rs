//! Which phases, steps and states does a status name, and which may follow which?
//!
//! ```text
//! A cycle:       Quiescing ──> Cutting ──> Starting ──> Shipping <──> Applying ──> Committing ──> (ended)
//!                                             ▲ │           │            │           ▲ ▲  │
//!                                             │ └───────────┼────────────┼───────────┘ │  │
//!                                             │             └────────────┼─────────────┘  │
//!                                             └─── again ────────────────┴────────────────┘
//!
//! A role change: StopApplication <──> LastCut ──> Park ──> Ship ──> Promote ──> Demote ──> Rebind ──> Release ──> Done
//!                  │  ▲  │  └── forced ──┼───────▲ │ └──────┼─── forced ─▲ │                                │
//!                  │  │  │                │         └────────┴──────────────┤                                ▼
//!                  │  │  └────────────────┼──────────> Unpark <─────────────┘                            Cancelled
//!                  │  └───────────────────┼──────────────┘ │                                                 ▲
//!                  └──────────────────────┴────────────────┴───────────────────────────────────> Cancel ─────┘
//!
//! A quiesce:     Held ──> Released
//!                  └────> Failed
//! ```
//! A cycle without hooks begins at `Cutting`; every phase may also end the cycle. A role change whose
//! record is lost begins again at `Demote`. Nothing leads into or out of `Unknown`: a newer version
//! wrote it, and only that version knows what comes next (K-19).

use crate::text_enum::text_enum;
use crate::v1alpha1::PromotionKind;

text_enum! {
/// Where a running cycle is.
CyclePhase {
    /// The application is being held by its hooks.
    Quiescing,
    /// The snapshot is being made.
    Cutting,
    /// The movers are started and asked to ship.
    Starting,
    /// Changes are read, sent and staged.
    Shipping,
    /// What is staged is applied to the standby's volume.
    Applying,
    /// The standby's snapshot is made and both sides record the commit.
    Committing,
}
}

text_enum! {
/// Where a change of the primary role is. Each step is recorded before it is done.
SwitchStep {
    /// Nobody may write any more.
    StopApplication,
    /// The last cut of the stopped and detached volume is taken.
    LastCut,
    /// The application's claim is parked, so that no pod can start on the old volume any more.
    Park,
    /// The last cut is shipped and committed.
    Ship,
    /// The new primary's mover takes the role.
    Promote,
    /// The old primary's mover learns that its epoch is over.
    Demote,
    /// The claims are bound to the volumes of their roles.
    Rebind,
    /// The application is started again.
    Release,
    /// The application's claim is bound again to the volume that it had.
    Unpark,
    /// The application is started again where it was.
    Cancel,
    /// The role has been moved.
    Done,
    /// The role stays where it was.
    Cancelled,
}
}

text_enum! {
/// Whether a change of the primary role may lose anything.
SwitchKind {
    /// Everything written is shipped first.
    Planned,
    /// The standby's committed point is promoted as it is.
    Forced,
}
}

text_enum! {
/// A site's part in the pair.
SiteRole {
    /// The application writes here.
    Primary,
    /// The copy.
    Standby,
}
}

text_enum! {
/// Whether the application is held.
QuiesceState {
    /// Hooks have been run to hold it.
    Held,
    /// It goes on.
    Released,
    /// A hook failed; there is no cut.
    Failed,
}
}

impl From<PromotionKind> for SwitchKind {
    fn from(kind: PromotionKind) -> SwitchKind {
        match kind {
            PromotionKind::Planned => SwitchKind::Planned,
            PromotionKind::Forced => SwitchKind::Forced,
        }
    }
}

impl CyclePhase {
    /// Whether a cycle in this phase may go to `next`.
    #[must_use]
    pub fn may_go_to(&self, next: &CyclePhase) -> bool {
        use CyclePhase::{Applying, Committing, Cutting, Quiescing, Shipping, Starting};
        matches!(
            (self, next),
            (Quiescing, Cutting)
                | (
                    Cutting | Starting | Shipping | Applying | Committing,
                    Starting
                )
                | (Starting | Applying, Shipping)
                | (Shipping, Applying)
                | (Starting | Shipping | Applying, Committing)
        )
    }

    /// Whether a cut of this phase may still be one that was begun while the application wrote.
    #[must_use]
    pub fn is_before_shipping(&self) -> bool {
        use CyclePhase::{Cutting, Quiescing, Starting};
        matches!(self, Quiescing | Cutting | Starting)
    }
}

impl SwitchStep {
    /// Whether a role change at this step may go to `next`.
    #[must_use]
    pub fn may_go_to(&self, next: &SwitchStep) -> bool {
        use SwitchStep::{
            Cancel, Cancelled, Demote, Done, LastCut, Park, Promote, Rebind, Release, Ship,
            StopApplication, Unpark,
        };
        matches!(
            (self, next),
            (StopApplication, LastCut | Park | Unpark | Cancel)
                | (LastCut, StopApplication | Park | Cancel)
                | (Park, Ship | Promote | Unpark)
                | (Ship, Promote | Unpark)
                | (Promote, Demote | Unpark | Cancel)
                | (Demote, Rebind)
                | (Rebind, Release)
                | (Release, Done | Cancelled)
                | (Unpark, StopApplication | Cancel)
                | (Cancel, Cancelled)
        )
    }

    /// Whether the site that the role is to go to has not been asked to take it yet.
    #[must_use]
    pub fn is_before_promotion(&self) -> bool {
        use SwitchStep::{LastCut, Park, Ship, StopApplication, Unpark};
        matches!(self, StopApplication | LastCut | Park | Ship | Unpark)
    }

    /// Whether the application's claim may be bound to no volume, or to another site's than the
    /// status calls primary.
    #[must_use]
    pub fn is_rebinding(&self) -> bool {
        use SwitchStep::{Demote, Park, Promote, Rebind, Ship, Unpark};
        matches!(self, Park | Ship | Unpark | Promote | Demote | Rebind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table a second time: a row for each word, `x` for what may follow it.
    fn follows_its_drawing<T: std::fmt::Debug>(
        words: &[T],
        rows: &[&str],
        may_go_to: fn(&T, &T) -> bool,
    ) {
        assert_eq!(words.len(), rows.len());
        for (from, row) in words.iter().zip(rows) {
            assert_eq!(words.len(), row.len(), "{from:?}");
            for (to, mark) in words.iter().zip(row.chars()) {
                assert_eq!(may_go_to(from, to), mark == 'x', "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn a_cycle_follows_its_drawing() {
        let rows = [".x....", "..x...", "..xx.x", "..x.xx", "..xx.x", "..x..."];
        follows_its_drawing(CyclePhase::KNOWN, &rows, CyclePhase::may_go_to);
    }

    #[test]
    fn a_role_change_follows_its_drawing() {
        let rows = [
            ".xx.....xx..",
            "x.x......x..",
            "...xx...x...",
            "....x...x...",
            ".....x..xx..",
            "......x.....",
            ".......x....",
            "..........xx",
            "x........x..",
            "...........x",
            "............",
            "............",
        ];
        follows_its_drawing(SwitchStep::KNOWN, &rows, SwitchStep::may_go_to);
    }

    /// K-19: an unknown word is neither early nor late, and nothing follows it.
    #[test]
    fn k_19_nothing_leads_into_or_out_of_an_unknown_word() {
        let phase = CyclePhase::from("Verifying");
        let step = SwitchStep::from("ParkClaim");
        assert!(
            CyclePhase::KNOWN
                .iter()
                .all(|known| !known.may_go_to(&phase))
        );
        assert!(
            CyclePhase::KNOWN
                .iter()
                .all(|known| !phase.may_go_to(known))
        );
        assert!(
            SwitchStep::KNOWN
                .iter()
                .all(|known| !known.may_go_to(&step))
        );
        assert!(SwitchStep::KNOWN.iter().all(|known| !step.may_go_to(known)));
        assert!(!phase.is_before_shipping() && !step.is_before_promotion());
    }
}
