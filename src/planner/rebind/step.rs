//! The steps of a re-binding.

use std::fmt;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::rebind::ClaimRecord;
use crate::rebind::object::{ClaimExt as _, VolumeExt as _};
use protocol::units::SiteName;

/// One write to the API. Each is idempotent, and conditional on what was observed.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Set a PersistentVolume's reclaim policy to Retain, and label it as the pair's.
    Retain {
        /// Its name.
        volume: String,
        /// The site that it belongs to.
        site: SiteName,
        /// The policy that it had, when that was another one.
        before: Option<String>,
    },
    /// Create another PersistentVolume object for a volume, reserved for a claim.
    CreateVolume(Box<PersistentVolume>),
    /// Reserve a PersistentVolume for a claim, by name alone.
    Reserve {
        /// Its name.
        volume: String,
        /// The claim.
        claim: String,
        /// The object's version that this was decided on.
        resource_version: String,
    },
    /// Keep the application's claim in a ConfigMap.
    Record(Box<ClaimRecord>),
    /// Delete a claim. Its volume stays: it is retained.
    DeleteClaim {
        /// Its name.
        claim: String,
        /// Its UID: another claim of that name is left alone.
        uid: String,
        /// The object's version that this was decided on.
        resource_version: String,
    },
    /// Create a claim, bound to its volume.
    CreateClaim(Box<PersistentVolumeClaim>),
    /// Delete a PersistentVolume object that another one has superseded. The storage stays.
    DeleteVolume {
        /// Its name.
        volume: String,
        /// Its UID.
        uid: String,
        /// The object's version that this was decided on.
        resource_version: String,
    },
    /// Take the provisioner's finalizer off a PersistentVolume object that is being deleted.
    LetGo {
        /// Its name.
        volume: String,
        /// The finalizers that stay.
        keep: Vec<String>,
        /// The object's version that this was decided on.
        resource_version: String,
    },
    /// Take the snapshot controller's finalizer off a claim that is being deleted.
    Unprotect {
        /// Its name.
        claim: String,
        /// The finalizers that stay.
        keep: Vec<String>,
        /// The claim's version that this was decided on.
        resource_version: String,
    },
    /// Delete the ConfigMap.
    Forget,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Retain {
                volume,
                site,
                before: Some(before),
            } => write!(
                f,
                "set PersistentVolume {volume} of site {site} from {before} to Retain, so that nothing \
                 deletes its data"
            ),
            Step::Retain { volume, site, .. } => {
                write!(f, "label PersistentVolume {volume} as that of site {site}")
            }
            Step::CreateVolume(volume) => create_volume(f, volume),
            Step::Reserve { volume, claim, .. } => {
                write!(f, "reserve PersistentVolume {volume} for claim {claim}")
            }
            Step::Record(record) => write!(
                f,
                "keep a copy of claim {}",
                record.claim.metadata.name.as_deref().unwrap_or_default()
            ),
            Step::DeleteClaim { claim, .. } => {
                write!(f, "delete claim {claim}; its volume is retained")
            }
            Step::CreateClaim(claim) => write!(
                f,
                "create claim {} for PersistentVolume {}",
                claim.metadata.name.as_deref().unwrap_or_default(),
                claim.volume_name()
            ),
            Step::DeleteVolume { volume, .. } => write!(
                f,
                "delete the superseded object PersistentVolume {volume}; its storage is retained"
            ),
            Step::LetGo { volume, .. } => write!(
                f,
                "take the provisioner's finalizer off the superseded object PersistentVolume {volume}"
            ),
            Step::Unprotect { claim, .. } => write!(
                f,
                "take the snapshot controller's finalizer off claim {claim}; its volume is retained"
            ),
            Step::Forget => f.write_str("delete the copy of the application's claim"),
        }
    }
}

fn create_volume(f: &mut fmt::Formatter<'_>, volume: &PersistentVolume) -> fmt::Result {
    let claim = volume.claim_ref().and_then(|claim| claim.name.as_deref());
    write!(
        f,
        "create PersistentVolume {} ({}) for volume {}, reserved for claim {}",
        volume.metadata.name.as_deref().unwrap_or_default(),
        if volume.is_block() {
            "Block"
        } else {
            "Filesystem"
        },
        volume
            .volume_id()
            .map_or_else(String::new, |key| key.handle),
        claim.unwrap_or_default(),
    )
}
