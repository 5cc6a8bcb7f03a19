//! An operator: it looks, decides, records, performs and records again, in the order of the product's
//! own loop. It can be interrupted between any two of these, and two of them can be at it for a while.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::cluster::perform::Performed;
use crate::cluster::requests::Asked;
use crate::cluster::world::{PAIR, World};
use api::v1alpha1::ReplicationPairStatus;
use api::{ReplicationPair, names};
use planner::decide::failing::Failed;
use planner::decide::{Action, Report, absorb, decide, failing};
use planner::observe::Timeline;
use planner::publish::conditions;
use planner::requests::RequestWrites;
use planner::site::Standing;
use planner::validate::validate;
use protocol::units::PairName;

/// A pair with nothing due is looked at this often all the same.
const RESYNC: SignedDuration = SignedDuration::from_mins(5);
/// The pause after a refused write: somebody else has written the pair.
const CONFLICT: SignedDuration = SignedDuration::from_millis(20);
/// The pause while a re-binding waits.
const REBIND_WAITS: SignedDuration = SignedDuration::from_millis(150);

/// A process of the operator: what it keeps in memory.
#[derive(Default)]
pub(crate) struct Operator {
    pub(crate) timeline: Timeline,
    acting: Option<Acting>,
    /// When it looks again by itself.
    pub(crate) due: Timestamp,
    /// The change that it has seen last.
    seen: u64,
    /// It stands still until then, whatever it is at.
    pub(crate) stalled_until: Timestamp,
}

/// A decision that is being carried out.
struct Acting {
    pair: ReplicationPair,
    status: ReplicationPairStatus,
    /// What is still to be written about requests, before anything is done.
    requests: RequestWrites,
    actions: VecDeque<Action>,
    reports: Vec<Report>,
    /// A mover was asked for what the first of them says.
    asked: Option<Asked>,
    standing: Standing,
    tried: Vec<String>,
    failed: Vec<Failed>,
}

impl Operator {
    /// Whether there is anything for it to do now.
    pub(crate) fn is_due(&self, now: Timestamp, changes: u64) -> bool {
        self.stalled_until <= now
            && (self.acting.is_some() || self.due <= now || self.seen != changes)
    }

    /// When it looks again by itself, or goes on.
    pub(crate) fn wakes(&self) -> Timestamp {
        self.due.max(self.stalled_until)
    }
}

impl Acting {
    /// The first action has failed: what stands on it is not tried.
    fn fails(&mut self, message: String, refused: bool) {
        let Some(action) = self.actions.pop_front() else {
            return;
        };
        self.standing.fails(&action);
        let action = action.describe(PAIR);
        self.tried.push(action.clone());
        self.failed.push(Failed {
            action,
            message,
            refused,
        });
    }
}

impl World {
    /// One step of an operator.
    ///
    /// # Errors
    /// What must not be.
    pub(crate) fn operate(&mut self, number: usize) -> Result<(), String> {
        let mut operator = std::mem::take(&mut self.operators[number]);
        match operator.acting.take() {
            None => self.decide(&mut operator),
            Some(acting) => self.act(&mut operator, acting),
        }
        self.operators[number] = operator;
        self.oracle.broken.take().map_or(Ok(()), Err)
    }

    fn decide(&mut self, operator: &mut Operator) {
        operator.seen = self.server.changes;
        operator.due = self.server.now() + RESYNC;
        let Some(mut pair) = self.server.pair.clone() else {
            return;
        };
        guard(&mut self.server.pair, &mut pair);
        let meta = &pair.metadata;
        let name = (meta.namespace.as_deref(), meta.name.as_deref());
        let (Some(namespace), Some(own)) = name else {
            return;
        };
        let Ok(name) = PairName::new(namespace, own) else {
            return;
        };
        let observed = self.observe(&pair, &name, operator.timeline.clone());
        let validated = validate(&observed);
        let mut decision = decide(&observed, &validated);
        conditions(&observed, &validated, &mut decision);
        operator.timeline = decision.timeline.clone();
        if !self.record(&mut pair, &decision.status) {
            operator.due = self.server.now() + CONFLICT;
            return;
        }
        operator.seen = self.server.changes;
        let answers = decision.requests != RequestWrites::default();
        if decision.actions.is_empty() && !answers {
            let due = decision.due.unwrap_or(Timestamp::MAX);
            operator.due = due.min(self.server.now() + RESYNC);
            return;
        }
        operator.acting = Some(Acting {
            pair,
            status: decision.status,
            requests: decision.requests,
            actions: decision.actions.into(),
            reports: Vec::new(),
            asked: None,
            standing: Standing::default(),
            tried: Vec::new(),
            failed: Vec::new(),
        });
    }

    fn act(&mut self, operator: &mut Operator, mut acting: Acting) {
        if acting.requests != RequestWrites::default() {
            if self.server.answer(&mut acting.requests) {
                operator.acting = Some(acting);
            } else {
                operator.due = self.server.now() + CONFLICT;
            }
            return;
        }
        while let Some(next) = acting.actions.front()
            && acting.standing.bars(next)
        {
            acting.standing.fails(next);
            acting.actions.pop_front();
        }
        if let Some(action) = acting.actions.front() {
            let performed = match acting.asked.take() {
                Some(asked) => self.hear(asked),
                None => {
                    #[cfg(test)]
                    self.begun.push(action.clone());
                    self.perform(&acting.pair, action)
                }
            };
            match performed {
                Performed::More => {}
                Performed::Waits(asked) => acting.asked = Some(asked),
                Performed::Done(report) => {
                    let done = acting.actions.pop_front();
                    acting.tried.extend(done.map(|done| done.describe(PAIR)));
                    acting.reports.extend(report);
                }
                Performed::Failed(message, refused) => acting.fails(message, refused),
            }
            operator.acting = Some(acting);
            return;
        }
        let waits = acting
            .reports
            .iter()
            .any(|report| matches!(report, Report::RebindWaits(_)));
        let now = self.server.now();
        for report in acting.reports {
            absorb(&mut acting.status, &mut operator.timeline, report, now);
        }
        let Acting { tried, failed, .. } = acting;
        failing::note(
            &mut acting.status,
            &mut operator.timeline,
            &tried,
            failed,
            now,
        );
        if !self.record(&mut acting.pair, &acting.status) {
            operator.due = now + CONFLICT;
            return;
        }
        operator.seen = self.server.changes;
        operator.due = if waits { now + REBIND_WAITS } else { now };
    }

    /// Writes the status, unless it says nothing new. False when somebody else has written the pair
    /// since it was read.
    fn record(&mut self, pair: &mut ReplicationPair, status: &ReplicationPairStatus) -> bool {
        if pair.status.as_ref() == Some(status) {
            return true;
        }
        let text = serde_json::to_string(status).unwrap_or_default();
        let before = pair.status.as_ref().map(serde_json::to_string);
        if before.and_then(Result::ok).as_ref() == Some(&text) {
            return true;
        }
        let Some(stored) = &mut self.server.pair else {
            return false;
        };
        if stored.metadata.resource_version != pair.metadata.resource_version {
            return false;
        }
        // As the API server keeps it: times lose their fractions.
        stored.status = serde_json::from_str(&text).ok();
        stored.metadata.resource_version = Some(self.server.objects.stamp());
        self.oracle
            .recorded(&pair.spec, pair.status.as_ref(), status);
        *pair = stored.clone();
        self.server.changed();
        let now = self.millis();
        self.tell_switch(now, status);
        let before = (self.roles.0.as_deref(), self.roles.1);
        if before != (status.primary.as_deref(), status.epoch) {
            self.roles = (status.primary.clone(), status.epoch);
            let line = || {
                format!(
                    "{:?} is primary of epoch {:?}",
                    status.primary, status.epoch
                )
            };
            self.story.tell(now, 2, line);
        }
        true
    }

    fn tell_switch(&mut self, now: u64, status: &ReplicationPairStatus) {
        let text = status.switch.as_ref().map(|switch| {
            format!(
                "{} change of the role to {} in epoch {}: {}",
                switch.kind, switch.to, switch.epoch, switch.step
            )
        });
        if text != self.recorded
            && let Some(text) = &text
        {
            self.story.tell(now, 2, || text.clone());
        }
        self.recorded = text;
    }
}

/// The finalizer is on before anything is made.
fn guard(stored: &mut Option<ReplicationPair>, pair: &mut ReplicationPair) {
    for pair in stored.iter_mut().chain([pair]) {
        let finalizers = pair.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == names::FINALIZER) {
            finalizers.push(names::FINALIZER.into());
        }
    }
}
