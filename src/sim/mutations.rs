//! Where wrong rules take the place of the right ones: around the real decisions, never in them.

use std::sync::Arc;

use crate::rules::Wrong;
use protocol::pair::change_plan::{Candidates, Compare, Plan};
use protocol::pair::side::Command;
use protocol::pair::source::Ship;
use protocol::pair::{Action, Record};
use protocol::units::{ChangeSource, Decision, Extent, HandshakeRow, ImageState, Role};
use storage::seam::{BlockFile, DiskError, DiskErrorKind};

/// The actions in the order in which the rule has them.
pub(super) fn actions(wrong: Option<Wrong>, mut actions: Vec<Action>) -> Vec<Action> {
    if wrong == Some(Wrong::PersistsLast) {
        // Stable: those that persist keep their order among themselves.
        actions.sort_by_key(|action| matches!(action, Action::Persist(_)));
    }
    actions
}

/// The order to ship.
pub(super) fn ship(wrong: Option<Wrong>, ship: &mut Ship) {
    if wrong == Some(Wrong::ConsentForAnyEpoch) && ship.consent.is_some() {
        ship.consent = Some(ship.cycle.epoch);
    }
}

/// The plan.
pub(super) fn plan(wrong: Option<Wrong>, mut plan: Plan, decision: Option<&Decision>) -> Plan {
    if wrong == Some(Wrong::DigestsOfAnotherCut) && plan.compare == Compare::Standby {
        plan.compare = Compare::Kept;
    }
    if wrong == Some(Wrong::VerifiedByKeptDigests)
        && plan.change_source.change_source == ChangeSource::Verify
    {
        plan.compare = Compare::Kept;
    }
    let forked = decision.is_some_and(|d| d.row == HandshakeRow::DivergedTail);
    if wrong == Some(Wrong::ForkNotUnited) && forked {
        plan.candidates = Candidates::Everything;
        plan.compare = Compare::Kept;
    }
    plan
}

/// An order, as a side takes it that does not mind its epoch, or what it has written.
pub(super) fn order(wrong: Option<Wrong>, record: Option<&Record>, order: &mut Command) {
    match (wrong, record, order) {
        (Some(Wrong::LowerEpochAdmitted), Some(record), Command::Promote(promote))
            if record.role == Role::Standby && promote.epoch <= record.epoch =>
        {
            promote.epoch = record.epoch.next();
        }
        (Some(Wrong::DemotedAsClean), Some(record), Command::Demote(demote))
            if record.role == Role::Primary =>
        {
            demote.clean_at = record.committed;
        }
        _ => {}
    }
}

/// The record after a crash, with a whole set taken for applied.
pub(super) fn redo_is_applied(record: Record) -> Record {
    match record.image {
        ImageState::Redo(cycle) if record.role == Role::Standby => Record {
            image: ImageState::Consistent(cycle),
            applied: Some(cycle),
            diverged: false,
            ..record
        },
        _ => record,
    }
}

/// The volume that a set is written to.
pub(super) fn device(wrong: Option<Wrong>, device: Arc<dyn BlockFile>) -> Arc<dyn BlockFile> {
    match wrong {
        Some(wrong @ (Wrong::FlushSkipped | Wrong::FullIgnored)) => {
            Arc::new(Twisted { device, wrong })
        }
        _ => device,
    }
}

/// A volume whose flushes do nothing, or that has no room and does not say so.
struct Twisted {
    device: Arc<dyn BlockFile>,
    wrong: Wrong,
}

impl Twisted {
    fn written(&self, result: Result<(), DiskError>) -> Result<(), DiskError> {
        let full = |error: &DiskError| error.kind() == DiskErrorKind::Full;
        match result {
            Err(error) if self.wrong == Wrong::FullIgnored && full(&error) => Ok(()),
            result => result,
        }
    }
}

impl BlockFile for Twisted {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        self.device.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.written(self.device.write_at(offset, data))
    }

    fn zero(&self, range: Extent) -> Result<(), DiskError> {
        self.written(self.device.zero(range))
    }

    fn flush(&self) -> Result<(), DiskError> {
        match self.wrong {
            Wrong::FlushSkipped => Ok(()),
            _ => self.device.flush(),
        }
    }

    fn is_poisoned(&self) -> bool {
        self.device.is_poisoned()
    }

    fn drop_cache(&self) -> Result<(), DiskError> {
        self.device.drop_cache()
    }

    fn set_size(&self, size: u64) -> Result<(), DiskError> {
        self.device.set_size(size)
    }

    fn allocate(&self, range: Extent) -> Result<(), DiskError> {
        self.device.allocate(range)
    }

    fn next_data(&self, from: u64) -> Result<Option<Extent>, DiskError> {
        self.device.next_data(from)
    }
}
