//! The steps of a re-binding.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::operator::rebind::ClaimRecord;
use crate::units::SiteName;

/// One write to the API. Each is idempotent, and conditional on what was observed.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Set a PersistentVolume's reclaim policy to Retain, and label it as the pair's.
    Retain {
        /// Its name.
        volume: String,
        /// The site that it belongs to.
        site: SiteName,
        /// The policy that it had.
        before: String,
    },
    /// Create another PersistentVolume object for a volume, reserved for a claim.
    CreateVolume(Box<PersistentVolume>),
    /// Reserve a PersistentVolume for a claim that does not exist now.
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
    },
    /// Take the provisioner's finalizer off a PersistentVolume object that is being deleted.
    LetGo {
        /// Its name.
        volume: String,
        /// The object's version that this was decided on.
        resource_version: String,
    },
    /// Delete the ConfigMap.
    Forget,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
