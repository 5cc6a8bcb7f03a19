//! From what is there at a site and what it is to become: what is done next.

use protocol::units::{Epoch, Role};

use crate::observe::{Application, SiteView, SuperblockSeen};
use crate::site::{
    Action, ApplicationDesired, ClaimDesired, HookStep, MoverTask, Note, SiteDesired,
    SnapshotRequest, drops, movers, volumes,
};

/// What is done at a site, and what that waits for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteDecision {
    /// What is done, in this order.
    pub actions: Vec<Action>,
    /// The claim that is bound to the site's volume, if that is due. Sites of one cluster share the
    /// application's claim, so theirs are put together by [`crate::site::rebinding`].
    pub claim: Option<ClaimDesired>,
    /// What is waited for, as clauses.
    pub waits: Vec<String>,
    /// What was desired and must not be, as sentences.
    pub barred: Vec<String>,
}

/// A site does nothing of what was decided for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was decided in an epoch that is over.
    #[error(
        "it was decided in epoch {desired}, and the superblock knows epoch {known}: the role has moved"
    )]
    StaleEpoch {
        /// The epoch of the decision.
        desired: Epoch,
        /// The epoch of the superblock.
        known: Epoch,
    },
}

/// What is done next at the site of `view` so that it becomes `desired`.
///
/// # Errors
/// When `desired` is of an epoch below the superblock's.
pub fn decide(view: &SiteView, desired: &SiteDesired) -> Result<SiteDecision, Refused> {
    let seen = view.superblock();
    if let (Some(desired), Some(known)) = (desired.epoch, seen.map(|seen| seen.epoch))
        && known > desired
    {
        return Err(Refused::StaleEpoch { desired, known });
    }
    let mut decision = SiteDecision::default();
    hooks(desired, &mut decision);
    note(view, desired, &mut decision);
    application(view, desired, &mut decision);
    volumes::retain(view, desired, &mut decision);
    volumes::make(view, desired, &mut decision);
    cut(view, desired, &mut decision);
    tasks(desired, &mut decision);
    movers::settle(view, desired, &mut decision);
    drops::drop_unneeded(view, desired, &mut decision);
    decision.claim = claim(desired, seen, &mut decision.barred);
    assert_invariants(view, &decision);
    Ok(decision)
}

fn hooks(desired: &SiteDesired, decision: &mut SiteDecision) {
    decision
        .actions
        .extend(desired.hooks.clone().map(|step| match step {
            HookStep::Select => Action::SelectPods,
            HookStep::Hold(targets) => Action::Hold(targets),
            HookStep::Release(targets) => Action::Release(targets),
        }));
}

fn note(view: &SiteView, desired: &SiteDesired, decision: &mut SiteDecision) {
    let text = match &desired.note {
        Note::AsItIs => return,
        Note::Nothing => None,
        Note::RoleChange(text) => Some(text.clone()),
    };
    if let Some(claim) = &view.state_claim
        && view.noted != text
    {
        decision.actions.push(Action::Note {
            claim: claim.name.clone(),
            text,
        });
    }
}

fn application(view: &SiteView, desired: &SiteDesired, decision: &mut SiteDecision) {
    let Some(Application::Found {
        wanted, version, ..
    }) = &view.application
    else {
        return;
    };
    let wanted = *wanted;
    let replicas = match desired.application {
        ApplicationDesired::Stop if wanted > 0 => 0,
        ApplicationDesired::Run(replicas) if wanted < replicas => replicas,
        ApplicationDesired::AsItIs | ApplicationDesired::Stop | ApplicationDesired::Run(_) => {
            return;
        }
    };
    let version = version.clone();
    decision.actions.push(Action::Scale { replicas, version });
}

fn cut(view: &SiteView, desired: &SiteDesired, decision: &mut SiteDecision) {
    let Some(cut) = &desired.cut else { return };
    let claim = match desired.role {
        Role::Primary => view.app_claim.as_ref(),
        Role::Standby => view.replica_claim.as_ref(),
    };
    if let (Some(claim), None) = (claim, view.cut(cut.point)) {
        decision.actions.push(Action::Cut(SnapshotRequest {
            site: view.name.clone(),
            point: cut.point,
            claim: claim.name.clone(),
            class: cut.class.clone(),
        }));
    }
}

fn tasks(desired: &SiteDesired, decision: &mut SiteDecision) {
    let site = &desired.site;
    let actions = desired.tasks.iter().cloned().map(|task| match task {
        MoverTask::Request(request) => Action::Command {
            site: site.clone(),
            request,
        },
        MoverTask::Pace(bytes_per_second) => Action::Pace {
            site: site.clone(),
            bytes_per_second,
        },
        MoverTask::Probe(plan) => Action::Probe(plan),
        MoverTask::Ship(plan) => Action::Ship(plan),
        MoverTask::Verify(plan) => Action::Verify(plan),
    });
    decision.actions.extend(actions);
}

/// The claim that may be bound: the application's only where the superblock says primary.
fn claim(
    desired: &SiteDesired,
    seen: Option<SuperblockSeen>,
    barred: &mut Vec<String>,
) -> Option<ClaimDesired> {
    let claim = desired.claim.clone()?;
    let primary = seen.is_some_and(|seen| seen.role == Role::Primary);
    if matches!(claim, ClaimDesired::App(_) | ClaimDesired::Reserved(_)) && !primary {
        barred.push(format!(
            "the application's claim is not bound to the volume of site {}: its superblock does not say \
             that it is primary",
            desired.site
        ));
        return None;
    }
    Some(claim)
}

/// The statements at the head of the module, for what was decided. They are the last thing between a
/// fault and lost data, so they hold in a release build too.
fn assert_invariants(view: &SiteView, decision: &SiteDecision) {
    let seen = view.superblock();
    let primary = seen.is_some_and(|seen| seen.role == Role::Primary);
    assert!(
        primary
            || !matches!(
                decision.claim,
                Some(ClaimDesired::App(_) | ClaimDesired::Reserved(_))
            ),
        "the application's claim would be bound where the superblock does not say primary"
    );
    let committed = seen.and_then(|seen| seen.committed);
    let committed = committed.and_then(|point| view.cut(point));
    for action in &decision.actions {
        match action {
            Action::StartMover {
                device: crate::site::Device::Replica(_),
                ..
            } => assert!(
                !primary,
                "a primary's volume would be given to a mover to write"
            ),
            Action::DropCut { name, .. } => assert!(
                committed.is_none_or(|cut| cut.name != *name),
                "the snapshot of the committed point would be deleted"
            ),
            _ => {}
        }
    }
}
