//! The old volume, from the last cut of a planned move on: nothing may write to it any more (K-4, K-5).

use crate::decide::DecisionBuilder;
use crate::decide::switch::application::users;
use crate::decide::switch::binding;
use crate::decide::switch::steps::RECHECK_AFTER;
use crate::mutations::Rule;
use crate::observe::{Application, SiteView};
use api::v1alpha1::{SwitchKind, SwitchStatus};

/// Whether the volume that the role leaves is attached nowhere: only then has a node written out all
/// that an application gave it, and the last cut holds it (K-5).
pub fn is_detached(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    let Some(from) = d.site_called(&switch.from) else {
        return false;
    };
    d.recheck_in(RECHECK_AFTER);
    match &from.attached {
        Some(nodes) if nodes.is_empty() => true,
        Some(nodes) => {
            let nodes = nodes.join(", ");
            d.wait(format!(
                "the volume at site {} to be detached; it is attached to or in use at node {nodes}",
                from.name
            ));
            false
        }
        None => {
            // It is read once the move is recorded.
            d.recheck_at(d.observed.now);
            false
        }
    }
}

/// Who has used, or may use, the volume of `from` since its last cut, as far as anybody can see.
pub fn disturbance(from: &SiteView) -> Option<String> {
    let claim = from.app_claim.as_ref();
    let parked = claim.is_some_and(|claim| claim.parked);
    let started = from.app_users.iter().find(|pod| pod.scheduled);
    if let Some(pod) = started {
        return Some(format!("pod {} has started on it", pod.name));
    }
    if let Some(node) = from.attached.iter().flatten().next() {
        return Some(format!("it is attached to node {node}"));
    }
    let wanted = matches!(from.application, Some(Application::Found { wanted, .. }) if wanted > 0);
    if wanted && !parked {
        return Some("the application was scaled up".into());
    }
    let waits = users(from);
    (!parked).then(|| {
        waits
            .first()
            .map(|pod| format!("pod {pod} is about to start on it"))
    })?
}

/// Keeps the old volume closed while the role is on its way. Where it was opened nevertheless, it is not
/// what its last cut holds any more, and the old side has writes of its own.
pub fn keep_closed(d: &mut DecisionBuilder<'_>, switch: &SwitchStatus) {
    // A role that goes back comes from a site at which nothing has run.
    if switch.kind != SwitchKind::Planned || switch.cancelled.is_some() {
        return;
    }
    let Some(from) = d.site_called(&switch.from) else {
        return;
    };
    let why = disturbance(from);
    if let (Some(why), Some(switch)) = (why, d.status.switch.as_mut()) {
        switch.disturbed.get_or_insert(why);
    }
    if !is_parked(d, switch) {
        binding::park(d, switch);
    }
}

/// Whether the application's claim is parked.
pub fn is_parked(d: &DecisionBuilder<'_>, switch: &SwitchStatus) -> bool {
    let claim = d
        .site_called(&switch.from)
        .and_then(|from| from.app_claim.as_ref());
    claim.is_some_and(|claim| claim.parked) || d.observed.rules().breaks(Rule::ClaimNotParked)
}

/// Whether the application's claim is bound to the volume of `site`.
pub fn is_bound_here(d: &DecisionBuilder<'_>, site: &SiteView) -> bool {
    let claim = site.app_claim.as_ref().filter(|claim| claim.bound);
    let volume = claim.and_then(|claim| claim.volume.as_ref());
    let known = d.status.sites.iter().find(|s| s.name == site.name.as_str());
    volume.zip(known).is_some_and(|(volume, known)| {
        volume.driver == known.driver && volume.handle == known.handle
    })
}
