//! What is there now.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::mutations::Rules;
use crate::rebind::ClaimRecord;
use crate::rebind::object::VolumeExt as _;
use protocol::units::VolumeId;

/// What is there now: the two volumes' objects, the claims, and who uses them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RebindView {
    /// The application's claim and the pair's replica claims, as far as they exist, by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    /// Every PersistentVolume of either volume, by name, and those that the claims are bound to.
    pub volumes: BTreeMap<String, PersistentVolume>,
    /// Pods that use a claim and have not ended, by claim.
    pub users: BTreeMap<String, Vec<String>>,
    /// What was kept of the application's claim.
    pub record: Option<ClaimRecord>,
    /// Which rule is broken; none in the product.
    pub rules: Rules,
}

impl RebindView {
    /// The PersistentVolumes that stand for `key`.
    pub fn volumes_of(&self, key: &VolumeId) -> impl Iterator<Item = &PersistentVolume> {
        self.volumes
            .values()
            .filter(move |volume| volume.volume_id().as_ref() == Some(key))
    }

    /// The pods that use `claim`.
    #[must_use]
    pub fn users_of(&self, claim: &str) -> &[String] {
        self.users.get(claim).map_or(&[], Vec::as_slice)
    }
}
