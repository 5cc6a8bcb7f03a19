//! All that is still to be done, for people. Pure.

use std::collections::BTreeMap;

use crate::rebind::{
    DesiredBinding, Next, Objects, RebindError, RebindView, Wait, binder, next, protection,
};

/// The most steps of a plan; a re-binding takes far fewer. A longer one is cut there, which a test
/// rules out.
const STEPS_MAX: usize = 64;

/// All that is still to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps, in order; empty when everything is as desired.
    pub steps: Vec<PlannedStep>,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedStep {
    /// What is done or waited for, as a sentence that names the objects.
    pub sentence: String,
    /// Whether it is a wait for something that others do.
    pub wait: bool,
}

/// All that is still to be done to get from `view` to `desired`, found by playing it through on a copy of
/// the objects. Waits that only people can end, such as pods in use, are listed and assumed to end.
///
/// # Errors
/// As [`super::next`].
pub fn plan(view: &RebindView, desired: &DesiredBinding) -> Result<Plan, RebindError> {
    let mut objects = Objects::of(view);
    let mut users = view.users.clone();
    let mut steps = Vec::new();
    while steps.len() < STEPS_MAX {
        match next(&view_of(&objects, &users), desired)? {
            Next::Do(step) => {
                objects.perform(desired, &step)?;
                steps.push(PlannedStep {
                    sentence: step.to_string(),
                    wait: false,
                });
            }
            Next::Wait(wait) => {
                grant(&mut objects, &mut users, &wait);
                steps.push(PlannedStep {
                    sentence: format!("wait for {wait}"),
                    wait: true,
                });
            }
            Next::Done => break,
        }
        settle(&mut objects, &users);
    }
    Ok(Plan { steps })
}

/// Assumes that what is waited for has come.
fn grant(objects: &mut Objects, users: &mut BTreeMap<String, Vec<String>>, wait: &Wait) {
    match wait {
        Wait::InUse { claim, .. } => {
            users.remove(claim);
        }
        Wait::ClaimGone { claim, .. } => {
            objects.change_claim(claim, None, |claim| claim.metadata.finalizers = None);
            objects.collect();
        }
        Wait::Bound { .. } => {}
    }
}

fn view_of(objects: &Objects, users: &BTreeMap<String, Vec<String>>) -> RebindView {
    RebindView {
        claims: objects.claims.clone(),
        volumes: objects.volumes.clone(),
        users: users.clone(),
        record: objects.record.clone(),
        ..RebindView::default()
    }
}

/// Lets the controllers of Kubernetes do their part until nothing changes.
fn settle(objects: &mut Objects, users: &BTreeMap<String, Vec<String>>) {
    let used = |claim: &str| users.get(claim).is_some_and(|pods| !pods.is_empty());
    loop {
        let mut changed = protection::release_claims(objects, &used);
        let claims: Vec<String> = objects.claims.keys().cloned().collect();
        for name in claims {
            let verdict = binder::sync_claim(objects, None, &name, &|_| None);
            changed |= verdict == binder::Verdict::Changed;
        }
        let volumes: Vec<String> = objects.volumes.keys().cloned().collect();
        for name in volumes {
            changed |= binder::sync_volume(objects, &name);
        }
        changed |= protection::release_volumes(objects);
        if !changed {
            return;
        }
    }
}
