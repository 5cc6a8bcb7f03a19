//! Which mover's pod runs at a site: the one that is desired, with the device that it needs, and no
//! other.

use protocol::units::Role;

use crate::observe::{Claim, MoverPod, SiteView};
use crate::site::{Action, Device, MoverDesired, SiteDecision, SiteDesired};

/// Starts what is desired and stops what is not.
pub(super) fn settle(view: &SiteView, desired: &SiteDesired, decision: &mut SiteDecision) {
    if desired.mover == MoverDesired::Leave {
        return;
    }
    match (&view.pod, needed(view, desired.mover)) {
        (Some(pod), Needed::NoMover) if pod.deleting => {}
        (Some(pod), _) if pod.deleting => decision.waits.push(format!("pod {} to end", pod.name)),
        (Some(pod), Needed::Mover(device)) if serves(pod, &device, desired) => {}
        (Some(pod), _) => decision.actions.push(Action::StopMover {
            site: view.name.clone(),
            uid: pod.uid.clone(),
        }),
        (None, Needed::Mover(device)) if is_bindable(view, &device) => {
            decision.actions.push(Action::StartMover {
                site: view.name.clone(),
                device,
            });
        }
        (None, Needed::Mover(_) | Needed::Claim) => {
            let what = format!("the claims of site {}'s mover to be bound", view.name);
            decision.waits.push(what);
        }
        (None, Needed::NoMover) => {}
    }
}

/// What the desired mover takes.
enum Needed {
    /// There is to be none.
    NoMover,
    /// A pod with this device.
    Mover(Device),
    /// A claim that is not made yet.
    Claim,
}

fn serves(pod: &MoverPod, device: &Device, desired: &SiteDesired) -> bool {
    let replaced = desired.replace_mover.as_ref() == Some(&pod.uid);
    pod.device_claim.as_deref() == device.claim() && !pod.ended && !replaced
}

/// The mover that runs when `mover` is desired: a site whose superblock says primary has its volume
/// written by nobody but the application, and gets one that only reads the superblock.
pub(crate) fn permitted(view: &SiteView, mover: MoverDesired) -> MoverDesired {
    let primary = view
        .superblock()
        .is_some_and(|seen| seen.role == Role::Primary);
    // A claim that somebody has deleted goes once nobody uses it, and is made again then (K-1).
    let going = view.replica_claim.as_ref().is_some_and(|c| c.deleting);
    match mover {
        MoverDesired::Writer if primary => MoverDesired::Probe,
        MoverDesired::Writer if going => MoverDesired::Off,
        mover => mover,
    }
}

/// Whether a mover's device is still there. A pod that waits for one that is gone never starts.
fn is_there(view: &SiteView, claim: &str) -> bool {
    let replica = view.replica_claim.as_ref();
    replica.is_some_and(|own| own.name == claim && !own.deleting)
        || view.source_claims.iter().any(|own| own.name == claim)
}

fn needed(view: &SiteView, mover: MoverDesired) -> Needed {
    let running = view.pod.as_ref().filter(|pod| !pod.deleting && !pod.ended);
    match permitted(view, mover) {
        MoverDesired::Off | MoverDesired::Leave => Needed::NoMover,
        MoverDesired::Probe => {
            let claim = running.and_then(|pod| pod.device_claim.clone());
            let claim = claim.filter(|claim| is_there(view, claim));
            Needed::Mover(claim.map_or(Device::None, Device::Cut))
        }
        MoverDesired::Writer => match &view.replica_claim {
            Some(claim) => Needed::Mover(Device::Replica(claim.name.clone())),
            None => Needed::NoMover,
        },
        MoverDesired::Reader(point) => match view.source_claim(point) {
            Some(claim) => Needed::Mover(Device::Cut(claim.name.clone())),
            None => Needed::Claim,
        },
    }
}

/// Whether the pod's claims have their volumes, or get them only through a pod. A pod that is made
/// before its volumes are there is put back by the scheduler for a second or more.
fn is_bindable(view: &SiteView, device: &Device) -> bool {
    let waits = |class: &Option<String>, bound: bool| {
        !bound
            && class
                .as_ref()
                .is_some_and(|class| view.immediate_classes.contains(class))
    };
    let claims = [view.state_claim.as_ref(), view.replica_claim.as_ref()];
    let needed = [true, matches!(device, Device::Replica(_))];
    let ready = |claim: Option<&Claim>| claim.is_some_and(|c| !waits(&c.storage_class, c.bound));
    let others = claims
        .into_iter()
        .zip(needed)
        .all(|(claim, needed)| !needed || ready(claim));
    let source = match device {
        Device::Cut(name) => view
            .source_claims
            .iter()
            .find(|claim| &claim.name == name)
            .is_some_and(|claim| !waits(&claim.storage_class, claim.bound)),
        Device::Replica(_) | Device::None => true,
    };
    others && source
}
