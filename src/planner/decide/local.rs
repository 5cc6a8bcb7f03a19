//! A pair whose sites are both in this cluster: what is decided for each is done by this operator.

use crate::decide::{Barred, PairDecision, pair};
use crate::observe::{Observed, Timeline};
use crate::rebind::DesiredBinding;
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
    /// Why a request to move the role is not followed.
    pub refused: Option<Problem>,
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
    // Whatever else is refused, the application is released first.
    actions.sort_by_key(turn);
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
    site::rebinding(name, epoch, &observed.pair.spec.claim_name, sites)
}

/// When an action's turn is. Nothing of one decision waits for what it creates, so what the API server may
/// refuse, for a quota or a policy, comes last and keeps nothing else from being done (K-9).
fn turn(action: &Action) -> u8 {
    match action {
        Action::Release(_) => 0,
        Action::MakeStateClaim { .. }
        | Action::MakeReplicaClaim { .. }
        | Action::MakeSourceClaim { .. } => 2,
        Action::StartMover { .. } => 3,
        _ => 1,
    }
}

/// The status with what is waited for, since when.
fn assemble(observed: &Observed, pair: PairDecision, actions: Vec<Action>) -> Decision {
    let mut status = pair.ledger;
    let before = status.waiting.take();
    status.waiting = pair.waiting.map(|what| match before {
        Some(before) if before.what == what => before,
        _ => WaitStatus {
            what,
            since: Time(observed.now),
        },
    });
    Decision {
        status,
        timeline: pair.timeline,
        actions,
        due: pair.due,
        trouble: pair.trouble,
        refused: pair.refused,
        barred: pair.barred,
    }
}
