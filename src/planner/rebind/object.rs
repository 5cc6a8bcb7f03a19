//! What PersistentVolumes and claims say, in the words of this module.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt as _;

use protocol::units::{PairName, VolumeId};

/// The finalizer by which external-provisioner keeps a PersistentVolume until its storage is
/// deleted, or kept on purpose.
pub const PROVISIONER_FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
/// The finalizer that keeps a claim while a pod uses it.
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// The finalizer by which the snapshot controller keeps a claim while a snapshot of it is not ready.
pub const SNAPSHOT_PROTECTION: &str = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
/// The finalizer that keeps a PersistentVolume while it is bound.
pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// The mark of a binding that the volume controller chose by itself, and may undo by itself.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// The mark of a claim whose binding is complete.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The mark of a volume that was made for a claim.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// The node that a pod was given that waits for a claim.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

const RETAIN: &str = "Retain";

/// Shorthands for a PersistentVolume.
pub trait VolumeExt {
    /// Which volume it stands for; `None` when that is not of a CSI driver.
    fn volume_id(&self) -> Option<VolumeId>;
    /// The reclaim policy; empty when there is none.
    fn policy(&self) -> &str;
    /// Whether the policy keeps the storage.
    fn is_retained(&self) -> bool;
    /// Whether it presents the storage as a raw block device.
    fn is_block(&self) -> bool;
    /// Whether it is being deleted.
    fn is_going(&self) -> bool;
    /// The claim that it is bound to or reserved for.
    fn claim_ref(&self) -> Option<&ObjectReference>;
    /// Whether it is bound to or reserved for `claim` in the pair's namespace.
    fn is_for(&self, pair: &PairName, claim: &str) -> bool;
    /// Whether it is reserved by name alone: the next claim of that name gets it.
    fn is_reserved(&self) -> bool;
    /// Whether it is bound to this very claim.
    fn is_bound_to(&self, claim: &PersistentVolumeClaim) -> bool;
}

impl VolumeExt for PersistentVolume {
    fn volume_id(&self) -> Option<VolumeId> {
        let csi = self.spec.as_ref()?.csi.as_ref()?;
        Some(VolumeId {
            driver: csi.driver.clone(),
            handle: csi.volume_handle.clone(),
        })
    }

    fn policy(&self) -> &str {
        let spec = self.spec.as_ref();
        spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref())
            .unwrap_or("")
    }

    fn is_retained(&self) -> bool {
        self.policy() == RETAIN
    }

    fn is_block(&self) -> bool {
        let spec = self.spec.as_ref();
        spec.and_then(|spec| spec.volume_mode.as_deref()) == Some("Block")
    }

    fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn claim_ref(&self) -> Option<&ObjectReference> {
        self.spec.as_ref()?.claim_ref.as_ref()
    }

    fn is_for(&self, pair: &PairName, claim: &str) -> bool {
        self.claim_ref().is_some_and(|reference| {
            reference.namespace.as_deref() == Some(pair.namespace())
                && reference.name.as_deref() == Some(claim)
        })
    }

    fn is_reserved(&self) -> bool {
        self.claim_ref()
            .is_some_and(|reference| reference.uid.as_deref().unwrap_or("").is_empty())
    }

    fn is_bound_to(&self, claim: &PersistentVolumeClaim) -> bool {
        self.claim_ref()
            .is_some_and(|reference| reference.uid.is_some() && reference.uid == claim.metadata.uid)
    }
}

/// Shorthands for a claim.
pub trait ClaimExt {
    /// The PersistentVolume that it names; empty when it names none.
    fn volume_name(&self) -> &str;
    /// Whether it presents the storage as a raw block device.
    fn is_block(&self) -> bool;
    /// Whether it is being deleted.
    fn is_going(&self) -> bool;
    /// Whether the volume controller says that it is bound.
    fn is_bound(&self) -> bool;
}

impl ClaimExt for PersistentVolumeClaim {
    fn volume_name(&self) -> &str {
        let spec = self.spec.as_ref();
        spec.and_then(|spec| spec.volume_name.as_deref())
            .unwrap_or("")
    }

    fn is_block(&self) -> bool {
        let spec = self.spec.as_ref();
        spec.and_then(|spec| spec.volume_mode.as_deref()) == Some("Block")
    }

    fn is_going(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    fn is_bound(&self) -> bool {
        let status = self.status.as_ref();
        status.and_then(|status| status.phase.as_deref()) == Some("Bound")
    }
}

/// The finalizers of a claim that somebody else than Kubernetes itself holds.
pub fn foreign_finalizers(claim: &PersistentVolumeClaim) -> Vec<String> {
    let all = claim.finalizers().iter();
    all.filter(|name| *name != CLAIM_PROTECTION)
        .cloned()
        .collect()
}
