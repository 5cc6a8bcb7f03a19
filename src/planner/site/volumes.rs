//! The claims that a site has: of its state, of its replica, and of the cut that its mover reads.

use protocol::units::Point;

use crate::mutations::Rule;
use crate::observe::{Claim, SiteView, VolumeMode};
use crate::site::{Action, MoverDesired, SiteDecision, SiteDesired, VolumesDesired};

/// Keeps the site's volume, whatever becomes of its claim.
pub(super) fn retain(view: &SiteView, desired: &SiteDesired, decision: &mut SiteDecision) {
    if !desired.retain || view.rules.breaks(Rule::VolumesNotRetained) {
        return;
    }
    let open = view
        .volumes
        .iter()
        .filter(|v| !v.is_retained() || !v.labelled);
    decision.actions.extend(open.map(|object| Action::Retain {
        site: view.name.clone(),
        volume: object.name.clone(),
        before: (!object.is_retained()).then(|| object.policy.clone()),
    }));
}

/// Makes what is missing and grows what is too small.
pub(super) fn make(view: &SiteView, desired: &SiteDesired, decision: &mut SiteDecision) {
    if let Some(volumes) = desired.volumes {
        state_and_replica(view, volumes, decision);
    }
    if let MoverDesired::Reader(point) = desired.mover {
        source_claim(view, point, decision);
    }
}

fn state_and_replica(view: &SiteView, volumes: VolumesDesired, decision: &mut SiteDecision) {
    let class = view.storage_class.as_ref().map(|class| class.name.clone());
    match &view.state_claim {
        None => decision.actions.push(Action::MakeStateClaim {
            site: view.name.clone(),
            class: class.clone(),
            bytes: volumes.state_bytes,
        }),
        Some(claim) => grow(claim, volumes.state_bytes_min, decision),
    }
    match (&view.replica_claim, volumes.replica) {
        (None, Some(replica)) => decision.actions.push(match &view.kept_replica {
            Some(kept) => Action::TakeOver {
                site: view.name.clone(),
                claim: kept.name.clone(),
                uid: kept.uid.clone(),
            },
            None => Action::MakeReplicaClaim {
                site: view.name.clone(),
                class,
                bytes: replica.bytes,
            },
        }),
        (Some(claim), Some(replica)) => grow(claim, replica.bytes_min, decision),
        (_, None) => {}
    }
}

/// Only a claim that is bound can ask for more: the API server refuses it of any other (Kubernetes 1.34,
/// `ValidatePersistentVolumeClaimUpdate`).
fn grow(claim: &Claim, bytes: u64, decision: &mut SiteDecision) {
    if claim.bound && claim.requested_bytes < bytes && !claim.deleting {
        decision.actions.push(Action::Grow {
            claim: claim.name.clone(),
            bytes,
        });
    }
}

/// The claim that the mover reads the cut of `point` from.
fn source_claim(view: &SiteView, point: Point, decision: &mut SiteDecision) {
    let (Some(app), Some(cut)) = (view.app_claim.as_ref(), view.cut(point)) else {
        return;
    };
    let foreign_mode = app.mode == VolumeMode::Filesystem && !cut.mode_change_allowed;
    if let (true, Some(content)) = (foreign_mode, &cut.content) {
        decision.actions.push(Action::AllowModeChange {
            content: content.clone(),
        });
    }
    if view.source_claim(point).is_none() {
        decision.actions.push(Action::MakeSourceClaim {
            site: view.name.clone(),
            point,
            class: restore_class(app, view),
            bytes: cut.restore_bytes.unwrap_or(0).max(app.capacity_bytes),
        });
    }
}

/// The storage class that a cut is restored with: of the volume's own driver. After a move of the role
/// the claim may name a class of the other site's driver.
fn restore_class(app: &Claim, site: &SiteView) -> Option<String> {
    let driver = app
        .volume
        .as_ref()
        .and_then(|volume| volume.driver.as_ref());
    let here = site.storage_class.as_ref();
    let fits = here.filter(|class| Some(&class.driver) == driver);
    let own = app.storage_class.clone().filter(|class| !class.is_empty());
    fits.map(|class| class.name.clone())
        .or(own)
        .or_else(|| here.map(|class| class.name.clone()))
}
