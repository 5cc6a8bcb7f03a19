//! The states of a receiving side, and the one table of what may follow what (drawn in
//! [`crate::pair::target`]).

use crate::pair::message::Begin;
use crate::pair::promote::Promote;
use crate::units::Point;

/// The cycle that is being received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) begin: Begin,
    pub(super) in_place: bool,
}

/// Where the side stands. Each state holds what exists in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Idle,
    Expecting(Point),
    Greeted(Point),
    Opening(Incoming),
    Receiving(Incoming),
    Sealing(Incoming),
    /// A complete set is being written; a promotion may wait for it, and the peer may be gone.
    Applying {
        cycle: Point,
        then: Option<Promote>,
    },
    /// What is not whole is being dropped before this promotion is recorded.
    Dropping(Promote),
}

/// The plain name of a [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Idle,
    Expecting,
    Greeted,
    Opening,
    Receiving,
    Sealing,
    Applying,
    Dropping,
}

/// What may follow what.
pub(super) fn may_follow(from: Name, to: Name) -> bool {
    use Name::{Applying, Dropping, Expecting, Greeted, Idle, Opening, Receiving, Sealing};
    matches!(
        (from, to),
        (Idle, Expecting | Applying | Dropping)
            | (Expecting, Greeted | Idle | Dropping)
            | (Greeted, Opening | Expecting | Idle | Dropping)
            | (Opening, Receiving | Expecting | Idle | Dropping)
            | (Receiving, Sealing | Expecting | Idle | Dropping)
            | (Sealing, Applying | Idle)
            | (Applying | Dropping, Idle)
    )
}

impl State {
    /// The plain name.
    pub(super) fn name(&self) -> Name {
        match self {
            State::Idle => Name::Idle,
            State::Expecting(_) => Name::Expecting,
            State::Greeted(_) => Name::Greeted,
            State::Opening(_) => Name::Opening,
            State::Receiving(_) => Name::Receiving,
            State::Sealing(_) => Name::Sealing,
            State::Applying { .. } => Name::Applying,
            State::Dropping(_) => Name::Dropping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The drawing at the head of `target.rs`, written a second time: a row a state, `x` for what may
    /// follow it.
    #[test]
    fn the_machine_follows_its_drawing() {
        use Name::{Applying, Dropping, Expecting, Greeted, Idle, Opening, Receiving, Sealing};
        let all = [
            Idle, Expecting, Greeted, Opening, Receiving, Sealing, Applying, Dropping,
        ];
        let drawn = [
            ".x....xx", "x.x....x", "xx.x...x", "xx..x..x", "xx...x.x", "x.....x.", "x.......",
            "x.......",
        ];
        for (from, row) in all.into_iter().zip(drawn) {
            for (to, mark) in all.into_iter().zip(row.chars()) {
                assert_eq!(may_follow(from, to), mark == 'x', "{from:?} to {to:?}");
            }
        }
    }
}
