//! A move of the primary role, step by step. The step is recorded before it is done, so that a crash
//! at any of them resumes there.
//!
//! ```text
//! StopApplication → LastCut (planned only) → Promote → Demote → Rebind → Release → Done
//!   └───────────────┴── the request is withdrawn → Cancel → Cancelled
//! ```
//! Up to `LastCut` nothing has happened to the data and the move can be withdrawn; from `Promote` on
//! it goes forward only, unless there turns out to be no whole image to promote.

use jiff::SignedDuration;

use crate::decide::{Action, Device, Draft};
use crate::observe::{Application, Claim, SiteView, Volume};
use crate::rebind::{DesiredBinding, SiteVolume, VolumeKey};
use crate::{demote, promote};
use api::v1alpha1::{
    PointStatus, ReplicationPairStatus, SiteStatus, SwitchKind, SwitchStatus, SwitchStep,
};
use api::{Reason, ReplicationPair};
use protocol::units::{Epoch, ImageState, PairName, SiteName};

/// How often to look again at what nobody tells us of, such as pods that come and go.
const RECHECK_AFTER: SignedDuration = SignedDuration::from_millis(300);

/// Goes on with a move of the role, or begins one that is asked for.
pub fn consider(d: &mut Draft<'_>) {
    if d.status
        .switch
        .as_ref()
        .is_none_or(|switch| !unfinished(switch))
    {
        if let Some(switch) = promote::wanted(d) {
            d.status.switch = Some(switch);
        }
    } else {
        promote::harden(d);
    }
    let Some(switch) = d.status.switch.clone().filter(unfinished) else {
        return;
    };
    d.cycles_allowed = false;
    match switch.step {
        SwitchStep::StopApplication => stop(d, &switch),
        SwitchStep::LastCut => last_cut(d, &switch),
        SwitchStep::Promote => promote::promote(d, &switch),
        SwitchStep::Demote => demote::demote(d, &switch),
        SwitchStep::Rebind => rebind(d, &switch),
        SwitchStep::Release => release(d, &switch, SwitchStep::Done),
        SwitchStep::Cancel => release(d, &switch, SwitchStep::Cancelled),
        // The first two are finished; with the last the pass holds before.
        SwitchStep::Done | SwitchStep::Cancelled | SwitchStep::Unknown(_) => {}
    }
}

/// Whether a move is under way.
#[must_use]
pub fn unfinished(switch: &SwitchStatus) -> bool {
    switch.finished_at.is_none()
}

/// Whether the site that the role is to go to was not ordered to take it yet.
#[must_use]
pub fn before_promotion(switch: &SwitchStatus) -> bool {
    switch.step.is_before_promotion()
}

/// Whether the move has come to where roles and claims do not match.
#[must_use]
pub fn rebinding(switch: &SwitchStatus) -> bool {
    use SwitchStep::{Demote, Promote, Rebind};
    unfinished(switch) && matches!(switch.step, Promote | Demote | Rebind)
}

/// Records the next step; it is done in the next round, after it was written.
pub fn step(d: &mut Draft<'_>, next: SwitchStep) {
    if let Some(switch) = d.status.switch.as_mut() {
        let from = std::mem::replace(&mut switch.step, next.clone());
        assert!(
            from.may_go_to(&next),
            "a role change can't go from {from} to {next}"
        );
    }
    d.line.switch_step = Some((next, d.o.now));
    d.visit_at(d.o.now);
}

/// How long the present step has taken, as far as this process has seen.
pub fn in_step(d: &mut Draft<'_>, name: &SwitchStep) -> SignedDuration {
    let now = d.o.now;
    match &d.line.switch_step {
        Some((step, since)) if step == name => now.duration_since(*since),
        _ => {
            d.line.switch_step = Some((name.clone(), now));
            SignedDuration::ZERO
        }
    }
}

/// Starts the mover of the new primary early, and with `old` the old one's too: when its next task
/// is to be demoted, and not to read a last cut.
fn warm(d: &mut Draft<'_>, switch: &SwitchStatus, old: bool) {
    for site in &d.o.sites {
        if site.name.as_str() == switch.to {
            want_new(d, switch, site);
        } else if old {
            d.want_as_is(site);
        }
    }
}

/// Asks for the new primary's mover. A forced promotion needs the volume only to finish a set that is
/// staged whole; a mover that never had it keeps no claim from being re-bound.
pub fn want_new(d: &mut Draft<'_>, switch: &SwitchStatus, site: &SiteView) {
    let Some(replica) = &site.replica_claim else {
        return;
    };
    let report = site.live().and_then(|mover| mover.superblock.as_ref());
    let whole = report.is_some_and(|report| matches!(report.image, ImageState::Redo(_)));
    if switch.kind == SwitchKind::Forced && !whole {
        d.want_as_is(site);
    } else {
        d.want(&site.name, Device::Replica(replica.name.clone()));
    }
}

/// Nobody may write: the application is stopped, by us or by its people.
fn stop(d: &mut Draft<'_>, switch: &SwitchStatus) {
    if promote::withdrawn(d, switch) {
        step(d, SwitchStep::Cancel);
        return;
    }
    warm(d, switch, switch.kind == SwitchKind::Forced);
    let stopped = stop_application(d, switch);
    // A cut that was begun while the application could write is no last cut.
    if d.cycle()
        .is_some_and(|cycle| cycle.phase.is_before_shipping() || switch.kind == SwitchKind::Forced)
    {
        d.status.cycle = None;
    }
    if let Some(cycle) = d.cycle() {
        let what = format!("cycle {} to end", cycle.point.label);
        d.wait(what);
        return;
    }
    if stopped {
        let forced = switch.kind == SwitchKind::Forced;
        let next = if forced {
            SwitchStep::Promote
        } else {
            SwitchStep::LastCut
        };
        step(d, next);
    }
}

/// Whether nothing uses the claim any more.
fn stop_application(d: &mut Draft<'_>, switch: &SwitchStatus) -> bool {
    d.visit_in(RECHECK_AFTER);
    let Some(from) = d.site_called(&switch.from) else {
        return false;
    };
    match from.application.clone() {
        Some(Application::Found { wanted, present }) if wanted > 0 => {
            if let Some(switch) = d.status.switch.as_mut() {
                switch.replicas.get_or_insert(wanted);
            }
            d.act(Action::Scale { replicas: 0 });
            d.wait(format!("the application to stop ({present} replicas)"));
            return false;
        }
        Some(Application::Missing(why)) => {
            d.trouble(
                Reason::WaitingForApplication,
                format!("spec.application can't be scaled: {why}; correct it, or stop the application yourself"),
            );
        }
        _ => {}
    }
    if from.app_users.is_empty() {
        return true;
    }
    let pods: Vec<&str> = from.app_users.iter().map(|pod| pod.name.as_str()).collect();
    d.wait(format!(
        "claim {} to be unused; it is used by {}{}",
        d.o.pair.spec.claim_name,
        pods.join(", "),
        if d.o.pair.spec.application.is_some() {
            ""
        } else {
            ": stop them, or name the workload in spec.application"
        }
    ));
    false
}

/// The last cut of the stopped volume, shipped and committed: nothing is lost.
fn last_cut(d: &mut Draft<'_>, switch: &SwitchStatus) {
    let last = switch.promoted_point.as_ref().map(PointStatus::point);
    let shipped = d.cycle().is_none() && last.is_some() && d.committed() == last;
    warm(d, switch, shipped);
    if promote::withdrawn(d, switch) {
        d.status.cycle = None;
        step(d, SwitchStep::Cancel);
        return;
    }
    if !stop_application(d, switch) {
        // Somebody started a pod again: what it writes would be lost.
        d.status.cycle = None;
        step(d, SwitchStep::StopApplication);
        return;
    }
    if shipped {
        step(d, SwitchStep::Promote);
        return;
    }
    d.cycles_allowed = true;
    d.cycle_now = true;
    d.wait("the last cut to be shipped and committed".into());
}

/// Remembers which cut is the last one, once its cycle has begun.
pub fn note_last_cut(d: &mut Draft<'_>) {
    let Some(point) = d.cycle().map(|cycle| cycle.point.clone()) else {
        return;
    };
    if let Some(switch) = d
        .status
        .switch
        .as_mut()
        .filter(|s| s.step == SwitchStep::LastCut && unfinished(s))
    {
        switch.promoted_point = Some(point);
    }
}

/// The claims follow the roles.
fn rebind(d: &mut Draft<'_>, switch: &SwitchStatus) {
    // The movers hold volumes that are about to be bound to other claims: none is wanted here. The
    // re-binding itself waits until a claim is unused, so that much is done while they end.
    if let Some(wait) = d.status.waiting.clone() {
        // What it waits for is learnt only when it is tried. Until then the last answer holds:
        // taken back and given again it would wake the operator over and over.
        d.wait(wait.what);
    }
    match desired_binding(&d.o.pair, &d.status, switch) {
        Some(desired) => {
            if has_volume_of(d.app_claim(), desired.primary.as_ref()) {
                // What is left to do is the standby's.
                start_application(d, switch);
            }
            d.act(Action::Rebind(Box::new(desired)));
        }
        None => {
            d.trouble(
                Reason::SwitchInProgress,
                "the volumes' handles are unknown: neither the status nor the claims say them. Restore the \
                 claims' PersistentVolumes"
                    .into(),
            );
        }
    }
    d.visit_in(RECHECK_AFTER);
}

/// Which volume belongs behind which claim once `switch` is done; `None` while a handle is unknown.
#[must_use]
pub fn desired_binding(
    pair: &ReplicationPair,
    status: &ReplicationPairStatus,
    switch: &SwitchStatus,
) -> Option<DesiredBinding> {
    let meta = &pair.metadata;
    let volume = |site: &str| {
        let known = status.sites.iter().find(|s| s.name == site)?;
        Some(SiteVolume {
            site: site.parse::<SiteName>().ok()?,
            volume: VolumeKey {
                driver: known.driver.clone()?,
                handle: known.handle.clone()?,
            },
        })
    };
    Some(DesiredBinding {
        pair: PairName::new(meta.namespace.as_deref()?, meta.name.as_deref()?).ok()?,
        epoch: Epoch(u64::try_from(status.epoch?).ok()?),
        app_claim: pair.spec.claim_name.clone(),
        primary: Some(volume(&switch.to)?),
        standby: Some(volume(&switch.from)?),
    })
}

/// Whether the application's claim is bound to the volume of `site`.
fn has_volume_of(claim: Option<&Claim>, site: Option<&SiteVolume>) -> bool {
    let bound = claim.filter(|claim| claim.bound && !claim.deleting);
    let volume = bound.and_then(|claim| claim.volume.as_ref());
    volume.zip(site).is_some_and(|(volume, site)| {
        volume.driver.as_ref() == Some(&site.volume.driver)
            && volume.handle.as_ref() == Some(&site.volume.handle)
    })
}

/// Starts what was stopped; whether it had to be.
fn start_application(d: &mut Draft<'_>, switch: &SwitchStatus) -> bool {
    let at = d.primary().and_then(|site| site.application.as_ref());
    match (switch.replicas, at) {
        (Some(replicas), Some(Application::Found { wanted, .. })) if *wanted < replicas => {
            d.act(Action::Scale { replicas });
            true
        }
        _ => false,
    }
}

/// The application may go on: where the role is now.
fn release(d: &mut Draft<'_>, switch: &SwitchStatus, end: SwitchStep) {
    if start_application(d, switch) {
        return;
    }
    step(d, end);
    let now = d.now();
    if let Some(switch) = d.status.switch.as_mut() {
        switch.finished_at = Some(now);
    }
    d.cycles_allowed = true;
}

/// The status is lost and the pair has seen a promotion: whether claims and roles match is not
/// known. The last steps are done again; where they were done already they change nothing.
pub fn resume_after_loss(d: &mut Draft<'_>) {
    let Some(to) = d.status.primary.clone() else {
        return;
    };
    let from = d.o.sites.iter().find(|site| site.name.as_str() != to);
    let Some(from) = from.map(|site| site.name.to_string()) else {
        return;
    };
    volumes_by_evidence(d);
    d.status.switch = Some(SwitchStatus {
        kind: SwitchKind::Forced,
        from,
        to,
        epoch: d.status.epoch.unwrap_or(0),
        generation: d.status.generation.clone().unwrap_or_default(),
        step: SwitchStep::Demote,
        started_at: d.now(),
        finished_at: None,
        promoted_point: None,
        replicas: None,
        loss: None,
    });
}

/// Which volume is whose, without the status: labels of an earlier re-binding first, then the
/// replica claims, and what is left is what the application's claim is bound to.
fn volumes_by_evidence(d: &mut Draft<'_>) {
    let direct = |site: &SiteView| {
        let replica = || {
            site.replica_claim
                .as_ref()
                .and_then(|claim| claim.volume.clone())
        };
        site.labelled_volume.clone().or_else(replica)
    };
    let app = d.app_claim().and_then(|claim| claim.volume.clone());
    let evidence: Vec<(&SiteView, Option<Volume>)> =
        d.o.sites.iter().map(|site| (site, direct(site))).collect();
    let taken = |volume: &Volume| {
        evidence
            .iter()
            .any(|(_, known)| known.as_ref().is_some_and(|k| k.handle == volume.handle))
    };
    let rest = app.filter(|volume| !taken(volume));
    d.status.sites = evidence
        .iter()
        .map(|(site, known)| {
            let volume = known.clone().or_else(|| rest.clone());
            SiteStatus {
                name: site.name.to_string(),
                role: String::new(),
                volume: volume.as_ref().map(|v| v.name.clone()),
                driver: volume.as_ref().and_then(|v| v.driver.clone()),
                handle: volume.and_then(|v| v.handle),
                ..SiteStatus::default()
            }
        })
        .collect();
}
