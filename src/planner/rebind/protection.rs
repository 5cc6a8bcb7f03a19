//! The two protection controllers: a claim that a pod uses and a volume that is bound stay until they
//! are not. Pure.
//!
//! Kubernetes 1.34, pkg/controller/volume/pvcprotection and pvprotection: each takes its own
//! finalizer off an object that is being deleted once nothing speaks against it.

use crate::rebind::Objects;
use crate::rebind::object::{CLAIM_PROTECTION, ClaimExt as _, VOLUME_PROTECTION, VolumeExt as _};

/// Lets go of claims that are being deleted and that no pod uses. True when one was let go.
pub fn release_claims(objects: &mut Objects, is_used: &dyn Fn(&str) -> bool) -> bool {
    let held = objects.claims.iter().filter(|(name, claim)| {
        let protected = claim.metadata.finalizers.iter().flatten();
        claim.is_going() && protected.into_iter().any(|f| f == CLAIM_PROTECTION) && !is_used(name)
    });
    let names: Vec<String> = held.map(|(name, _)| name.clone()).collect();
    for name in &names {
        objects.change_claim(name, None, |claim| {
            let finalizers = claim.metadata.finalizers.get_or_insert_default();
            finalizers.retain(|finalizer| finalizer != CLAIM_PROTECTION);
        });
    }
    objects.collect();
    !names.is_empty()
}

/// Lets go of volumes that are being deleted and are not bound. True when one was let go.
pub fn release_volumes(objects: &mut Objects) -> bool {
    let held = objects.volumes.iter().filter(|(_, volume)| {
        let phase = volume
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let protected = volume.metadata.finalizers.iter().flatten();
        volume.is_going()
            && phase != Some("Bound")
            && protected.into_iter().any(|f| f == VOLUME_PROTECTION)
    });
    let names: Vec<String> = held.map(|(name, _)| name.clone()).collect();
    for name in &names {
        objects.change_volume(name, None, |volume| {
            let finalizers = volume.metadata.finalizers.get_or_insert_default();
            finalizers.retain(|finalizer| finalizer != VOLUME_PROTECTION);
        });
    }
    objects.collect();
    !names.is_empty()
}
