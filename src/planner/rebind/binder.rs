//! The volume controller: which claim is bound to which volume. Pure.
//!
//! The rules are those of Kubernetes 1.34, pkg/controller/volume/persistentvolume/pv_controller.go
//! (`syncUnboundClaim`, `syncBoundClaim`, `syncVolume`) and component-helpers' pv_helpers.go
//! (`FindMatchingVolume`, `IsVolumeBoundToClaim`). A claim that names a volume which does not exist
//! stays Pending, whatever its class: so does a parked claim.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
    PersistentVolumeStatus,
};
use kube::ResourceExt as _;

use crate::rebind::Objects;
use crate::rebind::object::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, ClaimExt as _, PROVISIONED_BY, SELECTED_NODE,
    VolumeExt as _,
};
use crate::validate::quantity_bytes;

/// When a class's volumes are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingMode {
    /// As soon as there is a claim.
    Immediate,
    /// Once a pod that uses the claim has been given a node.
    WaitForFirstConsumer,
}

/// What is to become of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has changed.
    Unchanged,
    /// It was bound, or its state was written.
    Changed,
    /// No volume fits, and one may be made for it.
    Provision,
}

/// One look of the controller at one claim. It sees the volumes as `seen`, its cache, or as they are;
/// what it writes it writes only where the object has not changed since.
pub fn sync_claim(
    objects: &mut Objects,
    seen: Option<&BTreeMap<String, PersistentVolume>>,
    name: &str,
    mode_of: &dyn Fn(&str) -> Option<BindingMode>,
) -> Verdict {
    let Some(claim) = objects.claims.get(name).cloned() else {
        return Verdict::Unchanged;
    };
    let volumes = seen.unwrap_or(&objects.volumes);
    if claim.annotations().contains_key(BIND_COMPLETED) {
        return sync_bound(objects, &claim);
    }
    let wanted = claim.volume_name();
    if wanted.is_empty() {
        let class = class_of(&claim);
        let mode = mode_of(class);
        let waits = mode == Some(BindingMode::WaitForFirstConsumer)
            && !claim.annotations().contains_key(SELECTED_NODE);
        return match find_match(volumes, &claim, waits).cloned() {
            Some(volume) => bind(objects, &claim, &volume),
            None if mode.is_some() && !waits => pending(objects, &claim, Verdict::Provision),
            None => pending(objects, &claim, Verdict::Unchanged),
        };
    }
    match volumes.get(wanted).cloned() {
        Some(volume) if is_bound_to(&volume, &claim) => bind(objects, &claim, &volume),
        Some(volume) if volume.claim_ref().is_none() && satisfies(&volume, &claim) => {
            bind(objects, &claim, &volume)
        }
        _ => pending(objects, &claim, Verdict::Unchanged),
    }
}

/// One look of the controller at one volume. True when it has written anything.
pub fn sync_volume(objects: &mut Objects, name: &str) -> bool {
    let Some(volume) = objects.volumes.get(name) else {
        return false;
    };
    let phase = match holder(volume, &objects.claims) {
        Holder::Nobody => "Available",
        Holder::This => "Bound",
        Holder::Gone => "Released",
        Holder::Elsewhere if volume.policy() == "Delete" && is_provisioned(volume) => "Released",
        Holder::Elsewhere => return unbind(objects, name),
        Holder::Undecided => return false,
    };
    let before = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if before == Some(phase) {
        return false;
    }
    objects.change_volume(name, None, |volume| {
        volume.status = Some(PersistentVolumeStatus {
            phase: Some(phase.into()),
            ..PersistentVolumeStatus::default()
        });
    });
    true
}

/// Who has a volume.
enum Holder {
    /// Nobody, or a claim by name alone.
    Nobody,
    /// A claim that names it too.
    This,
    /// A claim that is gone.
    Gone,
    /// A claim that has another volume.
    Elsewhere,
    /// A claim that has none yet.
    Undecided,
}

fn holder(volume: &PersistentVolume, claims: &BTreeMap<String, PersistentVolumeClaim>) -> Holder {
    let Some(reference) = volume.claim_ref().filter(|_| !volume.is_reserved()) else {
        return Holder::Nobody;
    };
    let name = reference.name.as_deref().unwrap_or_default();
    let claim = claims
        .get(name)
        .filter(|claim| claim.metadata.uid == reference.uid);
    match claim {
        None => Holder::Gone,
        Some(claim) if claim.volume_name() == volume.name_any() => Holder::This,
        Some(claim) if claim.volume_name().is_empty() => Holder::Undecided,
        Some(_) => Holder::Elsewhere,
    }
}

fn is_provisioned(volume: &PersistentVolume) -> bool {
    volume.annotations().contains_key(PROVISIONED_BY)
}

/// Its claim has taken another volume: this one is free again, but for a reservation that was made by
/// name.
fn unbind(objects: &mut Objects, name: &str) -> bool {
    objects.change_volume(name, None, |volume| {
        let chosen = volume
            .annotations_mut()
            .remove(BOUND_BY_CONTROLLER)
            .is_some();
        let spec = volume.spec.get_or_insert_default();
        match &mut spec.claim_ref {
            Some(reference) if !chosen => reference.uid = None,
            reference => *reference = None,
        }
    });
    sync_volume(objects, name);
    true
}

/// A volume that the claim can have: one that is reserved for it first, else the smallest that fits.
fn find_match<'a>(
    volumes: &'a BTreeMap<String, PersistentVolume>,
    claim: &PersistentVolumeClaim,
    waits: bool,
) -> Option<&'a PersistentVolume> {
    let fits = |volume: &&PersistentVolume| {
        let free = volume.claim_ref().is_none() || is_bound_to(volume, claim);
        free && !volume.is_going()
            && capacity(volume) >= request(claim)
            && volume.is_block() == claim.is_block()
            && attributes_class(volume) == attributes_class_wanted(claim)
            && has_modes(volume, claim)
    };
    let fitting: Vec<&PersistentVolume> = volumes.values().filter(fits).collect();
    let reserved = fitting
        .iter()
        .find(|volume| volume.claim_ref().is_some())
        .copied();
    let available = |volume: &&&PersistentVolume| {
        let phase = volume
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Available") && volume_class(volume) == class_of(claim)
    };
    reserved.or_else(|| {
        let free = fitting
            .iter()
            .filter(|volume| !waits && volume.claim_ref().is_none());
        free.filter(available)
            .min_by_key(|volume| capacity(volume))
            .copied()
    })
}

/// Whether a volume that nobody has is what a claim asks for that names it.
fn satisfies(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    capacity(volume) >= request(claim)
        && volume_class(volume) == class_of(claim)
        && volume.is_block() == claim.is_block()
        && has_modes(volume, claim)
}

fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    volume.claim_ref().is_some_and(|reference| {
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && (volume.is_reserved() || reference.uid == claim.metadata.uid)
    })
}

/// Both halves of a binding, the volume's first. A volume that has changed since it was seen is left
/// alone, and with it the claim.
fn bind(objects: &mut Objects, claim: &PersistentVolumeClaim, seen: &PersistentVolume) -> Verdict {
    let name = seen.name_any();
    let current = objects.volumes.get(&name);
    if current.and_then(|volume| volume.metadata.resource_version.as_ref())
        != seen.metadata.resource_version.as_ref()
    {
        return Verdict::Unchanged;
    }
    let chosen = !is_bound_to(seen, claim);
    if !seen.is_bound_to(claim) {
        objects.change_volume(&name, None, |volume| {
            if chosen {
                let key = BOUND_BY_CONTROLLER.to_string();
                volume.annotations_mut().insert(key, "yes".into());
            }
            volume.spec.get_or_insert_default().claim_ref = Some(reference_to(claim));
        });
    }
    objects.change_claim(&claim.name_any(), None, |claim| {
        let annotations = claim.annotations_mut();
        annotations.insert(BIND_COMPLETED.into(), "yes".into());
        let spec = claim.spec.get_or_insert_default();
        spec.volume_name = Some(name.clone());
        let volume = seen.spec.as_ref();
        claim.status = Some(PersistentVolumeClaimStatus {
            phase: Some("Bound".into()),
            capacity: volume.and_then(|spec| spec.capacity.clone()),
            access_modes: volume.and_then(|spec| spec.access_modes.clone()),
            ..PersistentVolumeClaimStatus::default()
        });
    });
    sync_volume(objects, &name);
    Verdict::Changed
}

/// A claim that was bound once: it is Bound while both sides say so, else Lost.
fn sync_bound(objects: &mut Objects, claim: &PersistentVolumeClaim) -> Verdict {
    let volume = objects.volumes.get(claim.volume_name()).cloned();
    match volume {
        Some(volume) if volume.claim_ref().is_none() => bind(objects, claim, &volume),
        Some(volume) if volume.is_bound_to(claim) => {
            if claim.is_bound() {
                return Verdict::Unchanged;
            }
            bind(objects, claim, &volume)
        }
        _ => set_phase(objects, claim, "Lost", Verdict::Unchanged),
    }
}

fn pending(objects: &mut Objects, claim: &PersistentVolumeClaim, otherwise: Verdict) -> Verdict {
    set_phase(objects, claim, "Pending", otherwise)
}

fn set_phase(
    objects: &mut Objects,
    claim: &PersistentVolumeClaim,
    phase: &str,
    otherwise: Verdict,
) -> Verdict {
    let status = claim.status.as_ref();
    if status.and_then(|status| status.phase.as_deref()) == Some(phase) {
        return otherwise;
    }
    objects.change_claim(&claim.name_any(), None, |claim| {
        claim.status.get_or_insert_default().phase = Some(phase.into());
    });
    match otherwise {
        Verdict::Provision => Verdict::Provision,
        Verdict::Unchanged | Verdict::Changed => Verdict::Changed,
    }
}

fn reference_to(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

fn capacity(volume: &PersistentVolume) -> u64 {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref());
    let storage = capacity.and_then(|capacity| capacity.get("storage"));
    storage.and_then(quantity_bytes).unwrap_or(0)
}

fn request(claim: &PersistentVolumeClaim) -> u64 {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let storage = requests.and_then(|requests| requests.get("storage"));
    storage.and_then(quantity_bytes).unwrap_or(0)
}

fn class_of(claim: &PersistentVolumeClaim) -> &str {
    let spec = claim.spec.as_ref();
    spec.and_then(|spec| spec.storage_class_name.as_deref())
        .unwrap_or("")
}

fn volume_class(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.storage_class_name.as_deref())
        .unwrap_or("")
}

fn attributes_class(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.volume_attributes_class_name.as_deref())
        .unwrap_or("")
}

fn attributes_class_wanted(claim: &PersistentVolumeClaim) -> &str {
    let spec = claim.spec.as_ref();
    spec.and_then(|spec| spec.volume_attributes_class_name.as_deref())
        .unwrap_or("")
}

fn has_modes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let held = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.access_modes.as_ref());
    let asked = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.access_modes.as_ref());
    let has = |mode: &String| held.is_some_and(|held| held.contains(mode));
    asked.into_iter().flatten().all(has)
}
