//! A cycle's phases and the one table of what may follow what.
//!
//! ```text
//!            Hello, Decision         End, checked             set on the volume        Commit
//! Handshake ────────────────> Shipping ───────> Staged ──> Applying ───────> Applied ───────> Committed
//!     │                          │  ▲              ▲           │
//!     └──────────> over <────────┘  └── resume     └── crash ──┘  (a complete set is applied again)
//! ```
//!
//! Up to Shipping a cycle can end early; the image is still the old one. From Staged on it only goes
//! forward: the set is complete and durable, and applying it twice is the same as applying it once.

use crate::units::CyclePhase;

/// Whether a cycle may go from one phase to another.
#[must_use]
pub fn may_follow(from: CyclePhase, to: CyclePhase) -> bool {
    use CyclePhase::{Applied, Applying, Committed, Handshake, Shipping, Staged};
    matches!(
        (from, to),
        (Handshake, Shipping)
            // The standby holds this very cut already.
            | (Handshake, Applied)
            // A resumed cycle begins with a new handshake.
            | (Shipping, Handshake)
            | (Shipping, Staged)
            // A baseline is written in place: there is no set to apply.
            | (Shipping, Applied)
            | (Staged, Applying)
            // After a crash a complete set is resumed.
            | (Applying, Staged)
            | (Applying, Applied)
            | (Applied, Committed)
            // The next cycle.
            | (Committed, Handshake)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CyclePhase; 6] = [
        CyclePhase::Handshake,
        CyclePhase::Shipping,
        CyclePhase::Staged,
        CyclePhase::Applying,
        CyclePhase::Applied,
        CyclePhase::Committed,
    ];

    #[test]
    fn a_complete_set_never_goes_back_and_a_committed_cycle_only_makes_room_for_the_next() {
        let whole = [
            CyclePhase::Staged,
            CyclePhase::Applying,
            CyclePhase::Applied,
        ];
        for from in whole {
            for to in [CyclePhase::Handshake, CyclePhase::Shipping] {
                assert!(!may_follow(from, to), "{from:?} went back to {to:?}");
            }
        }
        let next: Vec<_> = ALL
            .into_iter()
            .filter(|&to| may_follow(CyclePhase::Committed, to))
            .collect();
        assert_eq!(next, [CyclePhase::Handshake]);
    }

    #[test]
    fn every_phase_is_reached_from_the_handshake() {
        let mut reached = vec![CyclePhase::Handshake];
        let mut next = 0;
        while let Some(&from) = reached.get(next) {
            for to in ALL {
                if may_follow(from, to) && !reached.contains(&to) {
                    reached.push(to);
                }
            }
            next += 1;
        }
        assert_eq!(reached.len(), ALL.len());
    }
}
