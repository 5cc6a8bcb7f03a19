//! A pair whose sites are both in this cluster: what is decided for each is done by this operator.

use crate::decide::{Barred, PairDecision, failing, newer, pair};
use crate::observe::{Observed, Timeline};
use crate::rebind::DesiredBinding;
use crate::requests::{self, RequestWrites};
use crate::site::{self, Action, HookStep, Local, Site as _, SiteDecision, SiteDesired};
use crate::validate::{Problem, Validated};
use api::Reason;
use api::v1alpha1::{ReplicationPairStatus, WaitStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use protocol::units::{Epoch, PairName};

/// What this operator records and does.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The status to record first.
    pub status: ReplicationPairStatus,
    /// The marks of time to keep.
    pub timeline: Timeline,
    /// What to do then, in this order.
    pub actions: Vec<Action>,
    /// When to look again if nothing wakes the operator before.
    pub due: Option<Timestamp>,
    /// What fails at present, though it will be tried again.
    pub trouble: Option<Problem>,
    /// Why a change of `spec.primary` is not followed.
    pub refused: Option<Problem>,
    /// What is written about the requests of people, after the status and before the actions.
    pub requests: RequestWrites,
    /// Why no cycle may begin, if so.
    pub barred: Option<Barred>,
}

/// What to record and do next.
#[must_use]
pub fn decide(observed: &Observed, validated: &Validated) -> Decision {
    let mut pair = pair::decide(observed, validated);
    let mut sites = Vec::new();
    let mut actions = Vec::new();
    for desired in std::mem::take(&mut pair.sites) {
        let Some(view) = observed.site(&desired.site) else {
            continue;
        };
        match Local(view).desire(&desired) {
            Ok(decision) => {
                actions.extend(decision.actions.iter().cloned());
                sites.push((desired, decision));
            }
            Err(refused) => {
                let what = format!("nothing is done at site {}: {refused}", view.name);
                trouble(&mut pair, what);
                // An application that is held is released in whatever epoch.
                if let Some(HookStep::Release(targets)) = desired.hooks {
                    actions.push(Action::Release(targets));
                }
            }
        }
    }
    for (_, decision) in &sites {
        for what in &decision.waits {
            pair.waiting.get_or_insert_with(|| what.clone());
        }
        decision
            .barred
            .iter()
            .for_each(|what| trouble(&mut pair, what.clone()));
    }
    let binding = rebinding(observed, &pair, &sites);
    actions.extend(binding.map(|desired| Action::Rebind(Box::new(desired))));
    actions.sort_by_key(site::place);
    assemble(observed, pair, actions)
}

fn trouble(pair: &mut PairDecision, message: String) {
    pair.trouble
        .get_or_insert(Problem::new(Reason::SwitchInProgress, message));
}

fn rebinding(
    observed: &Observed,
    pair: &PairDecision,
    sites: &[(SiteDesired, SiteDecision)],
) -> Option<DesiredBinding> {
    let meta = &observed.pair.metadata;
    let name = PairName::new(meta.namespace.as_deref()?, meta.name.as_deref()?).ok()?;
    let epoch = Epoch(u64::try_from(pair.ledger.epoch?).ok()?);
    site::rebinding(
        (name, meta.uid.clone()?),
        epoch,
        &observed.pair.spec.claim_name,
        sites,
    )
}

/// The status with what is waited for, since when.
fn assemble(observed: &Observed, pair: PairDecision, actions: Vec<Action>) -> Decision {
    let mut status = pair.ledger;
    let mut timeline = pair.timeline;
    let when = (observed.name(), observed.now);
    let (actions, again) = failing::hold_back(actions, &mut status, &mut timeline, when);
    let due = [pair.due, again].into_iter().flatten().min();
    let before = status.waiting.take();
    let refused = failing::reported(&status, observed.now).filter(|failing| failing.refused);
    let because = refused.map_or(String::new(), |failing| {
        format!("; to {} is refused: {}", failing.action, failing.message)
    });
    let waiting = pair.waiting.map(|what| what + &because);
    status.waiting = waiting.map(|what| match before {
        Some(before) if before.what == what => before,
        _ => WaitStatus {
            what,
            since: Time(observed.now),
        },
    });
    // Where a newer version is at work, its requests are its own too.
    let requests = match newer::unknown(&status) {
        None => requests::writes(observed, &status, pair.answer.as_ref()),
        Some(_) => RequestWrites::default(),
    };
    Decision {
        status,
        requests,
        timeline,
        actions,
        due,
        trouble: pair.trouble,
        refused: pair.refused,
        barred: pair.barred,
    }
}
