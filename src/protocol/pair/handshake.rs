//! The handshake's decision table (semantics H): ten rows, of which the first is two here, evaluated
//! by the primary from the top; the first that matches wins.
//!
//! [`Inputs`] is what both sides bring; [`Facts`] is what the rows look at, small enough that a
//! test walks every combination. Snapshot mode has no ring log: it passes as `log` the retained
//! cut that its list of changes counts from (see [`crate::pair::resync`]).

use crate::units::{
    Decision, Epoch, HandshakeMode, HandshakeRow, Lineage, PairId, Point, Role, Seq,
};

use crate::pair::{Record, fence};

/// The oldest and the newest sequence number that the primary's log still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The oldest.
    pub tail: Seq,
    /// The newest.
    pub head: Seq,
}

/// What the primary brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryView {
    /// The pair's identity.
    pub pair_id: PairId,
    /// The size of its volume in bytes.
    pub size: u64,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its history.
    pub lineage: Lineage,
    /// The cut that it wants to ship.
    pub head: Point,
    /// What its log still holds.
    pub log: Option<Log>,
    /// The point that its dirty map for this standby counts from.
    pub dirty_base: Option<Point>,
    /// The newest cut that both sides still hold, or can compare by content.
    pub common: Option<Point>,
    /// Whether its own record shows that the standby was never writable in this pair.
    pub peer_never_writable: bool,
}

/// What the standby's superblock said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Superblock {
    /// There is none.
    Blank,
    /// There is one that can't be read.
    Unreadable,
    /// There is one.
    Known(Box<Record>),
}

/// What the standby brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandbyView {
    /// Its superblock.
    pub superblock: Superblock,
    /// The size of its volume in bytes.
    pub size: u64,
    /// Whether the ranges that it wrote since the fork are known, or can be found by comparing
    /// content.
    pub dirty_known: bool,
}

/// Everything that the decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The primary's part.
    pub primary: PrimaryView,
    /// The standby's part.
    pub standby: StandbyView,
    /// Consent to overwrite a diverged standby, for exactly this epoch.
    pub consent: Option<Epoch>,
}

/// What the standby's superblock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing of worth is on it.
    Blank,
    /// Unreadable.
    Unreadable,
    /// Readable and in use.
    Known,
}

/// The standby's epoch, seen from the primary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochIs {
    /// Below.
    Lower,
    /// The same.
    Same,
    /// Above.
    Higher,
}

/// How the standby's history relates to the primary's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// It is contained in the primary's.
    Contained,
    /// Both start out the same, and then the standby has writes of its own.
    Forked,
    /// They have nothing in common.
    Unrelated,
}

/// Where the standby's head is, seen from the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadIs {
    /// At the primary's head.
    Equal,
    /// Behind it, with all that it lacks still in the log.
    InLog,
    /// Behind the log's tail, or there is no log, or the image is at no point.
    Beyond,
}

/// What the rows look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The two are of one pair.
    pub same_pair: bool,
    /// The standby's volume is at least as large.
    pub large_enough: bool,
    /// What its superblock shows.
    pub kind: Kind,
    /// The primary's record shows that the standby was never writable.
    pub never_writable: bool,
    /// Its epoch.
    pub epoch: EpochIs,
    /// It, too, says that it is primary.
    pub claims_primary: bool,
    /// Its history.
    pub tail: Tail,
    /// The ranges that both wrote since the fork can be known.
    pub dirty_known: bool,
    /// There is consent for this very epoch.
    pub consent: bool,
    /// Its head.
    pub head: HeadIs,
    /// Its image is exactly one point.
    pub consistent: bool,
    /// A dirty map or a common cut bounds the difference.
    pub bounded: bool,
}

/// One row: its name, when it matches, and what it leads to.
struct Rule {
    row: HandshakeRow,
    matches: fn(&Facts) -> bool,
    mode: fn(&Facts) -> HandshakeMode,
    reason: fn(&Facts) -> &'static str,
}

/// The table of semantics H, in its order.
const TABLE: [Rule; 11] = [
    Rule {
        row: HandshakeRow::WrongPeer,
        matches: |f| !f.same_pair,
        mode: |_| HandshakeMode::Refuse,
        reason: |_| "the standby belongs to another pair: check which volumes the pair names",
    },
    Rule {
        row: HandshakeRow::StandbyTooSmall,
        matches: |f| !f.large_enough,
        mode: |_| HandshakeMode::Refuse,
        reason: |_| "the standby's volume is smaller than the primary's: grow it first",
    },
    Rule {
        row: HandshakeRow::StalePrimary,
        matches: |f| f.kind == Kind::Known && f.epoch == EpochIs::Higher,
        mode: |_| HandshakeMode::Refuse,
        reason: |_| "the standby knows a higher epoch: this side is no longer primary and must be demoted",
    },
    Rule {
        row: HandshakeRow::SplitBrain,
        matches: |f| f.kind == Kind::Known && f.claims_primary && f.epoch == EpochIs::Same,
        mode: |_| HandshakeMode::Refuse,
        reason: |_| "both sides say that they are primary in this epoch: choose which one stays",
    },
    Rule {
        row: HandshakeRow::Blank,
        matches: |f| f.kind == Kind::Blank || (f.kind == Kind::Unreadable && f.never_writable),
        mode: |_| HandshakeMode::Full,
        reason: |f| match f.kind {
            Kind::Unreadable => {
                "the standby's superblock is unreadable, and it was never writable in this pair"
            }
            Kind::Blank | Kind::Known => "the standby is blank",
        },
    },
    Rule {
        row: HandshakeRow::DivergedTail,
        matches: |f| f.kind == Kind::Known && f.tail == Tail::Forked && f.dirty_known,
        mode: |f| match f.consent {
            true => HandshakeMode::Bitmap,
            false => HandshakeMode::Diverged,
        },
        reason: |f| match f.consent {
            true => {
                "the standby's own writes are discarded by consent: what both sides changed is replaced"
            }
            false => {
                "the standby holds writes that nobody else has: consent for this epoch is needed to discard them"
            }
        },
    },
    Rule {
        row: HandshakeRow::NoCommonAncestor,
        matches: |f| {
            f.kind == Kind::Unreadable || f.tail == Tail::Unrelated || f.tail == Tail::Forked
        },
        mode: |f| match f.consent {
            true => HandshakeMode::Full,
            false => HandshakeMode::Diverged,
        },
        reason: |f| match f.consent {
            true => "nothing in common with the standby is known: it is replaced whole, by consent",
            false => {
                "nothing in common with the standby is known: consent for this epoch is needed to replace it"
            }
        },
    },
    Rule {
        row: HandshakeRow::SameHead,
        matches: |f| f.head == HeadIs::Equal && f.consistent,
        mode: |_| HandshakeMode::None,
        reason: |_| "the standby holds this very cut",
    },
    Rule {
        row: HandshakeRow::InLog,
        matches: |f| f.head == HeadIs::InLog && f.consistent,
        mode: |_| HandshakeMode::Log,
        reason: |_| "what changed since the standby's point is known here",
    },
    Rule {
        row: HandshakeRow::Bounded,
        matches: |f| f.bounded,
        mode: |_| HandshakeMode::Bitmap,
        reason: |_| "a cut that both sides hold bounds the difference",
    },
    Rule {
        row: HandshakeRow::Unbounded,
        matches: |_| true,
        mode: |_| HandshakeMode::Full,
        reason: |_| "nothing bounds the difference: no common cut is left and no map of changes",
    },
];

/// What the two sides bring, reduced to what the rows look at.
#[must_use]
pub fn facts(inputs: &Inputs) -> Facts {
    let (primary, standby) = (&inputs.primary, &inputs.standby);
    let known = match &standby.superblock {
        Superblock::Known(record) => Some(record.as_ref()),
        Superblock::Blank | Superblock::Unreadable => None,
    };
    let head = known.and_then(Record::head);
    Facts {
        same_pair: known.is_none_or(|record| record.pair_id == primary.pair_id),
        large_enough: standby.size >= primary.size,
        kind: match (&standby.superblock, known) {
            (Superblock::Unreadable, _) => Kind::Unreadable,
            (_, Some(record)) if !record.is_blank() => Kind::Known,
            _ => Kind::Blank,
        },
        never_writable: primary.peer_never_writable,
        epoch: match known.map_or(primary.epoch, |record| record.epoch) {
            epoch if epoch > primary.epoch => EpochIs::Higher,
            epoch if epoch < primary.epoch => EpochIs::Lower,
            _ => EpochIs::Same,
        },
        claims_primary: known.is_some_and(|record| record.role == Role::Primary),
        tail: known.map_or(Tail::Contained, |record| tail(primary, record)),
        dirty_known: standby.dirty_known,
        consent: fence::consents(inputs.consent, primary.epoch),
        head: head_is(primary, head),
        consistent: head.is_some(),
        bounded: bounded(primary, known, head),
    }
}

/// The row that wins, what it leads to, and why.
#[must_use]
pub fn decide(inputs: &Inputs) -> Decision {
    decide_by(&facts(inputs))
}

fn decide_by(facts: &Facts) -> Decision {
    let matched = TABLE.iter().find(|rule| (rule.matches)(facts));
    // The last row takes everything, so the other arm is never reached; it errs towards holding.
    matched.map_or(
        Decision {
            mode: HandshakeMode::Refuse,
            row: HandshakeRow::WrongPeer,
            reason: "no row of the handshake table matched".into(),
        },
        |rule| Decision {
            mode: (rule.mode)(facts),
            row: rule.row,
            reason: (rule.reason)(facts).into(),
        },
    )
}

fn tail(primary: &PrimaryView, standby: &Record) -> Tail {
    if standby.follows(&primary.lineage) {
        return Tail::Contained;
    }
    // The fork is known only where a cut that both sides hold is recorded.
    let fork = primary.lineage.fork(&standby.lineage);
    match (fork, standby.committed) {
        (Some(_), Some(_)) => Tail::Forked,
        _ => Tail::Unrelated,
    }
}

fn head_is(primary: &PrimaryView, head: Option<Point>) -> HeadIs {
    match (head, primary.log) {
        (Some(head), _) if head == primary.head => HeadIs::Equal,
        (Some(head), Some(log)) if head.seq <= log.head && head.seq.next() >= log.tail => {
            HeadIs::InLog
        }
        _ => HeadIs::Beyond,
    }
}

fn bounded(primary: &PrimaryView, standby: Option<&Record>, head: Option<Point>) -> bool {
    let by_map = match (primary.dirty_base, head) {
        (Some(base), Some(head)) => base <= head,
        _ => false,
    };
    // An image at no point can still go back to the cut that it committed.
    let reachable = head.or(standby.and_then(|record| record.committed));
    by_map || (primary.common.is_some() && primary.common == reachable)
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
