//! What is somebody else's, though its name is one that the pair would use (K-3).

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt as _;
use serde_json::json;

use crate::cluster::server::NAMESPACE;
use crate::cluster::world::{PAIR, SITES, World};
use api::names;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};
use storage::volume::is_zero;

/// Somebody else's claim.
pub(crate) struct Stranger {
    /// Its name.
    name: String,
    /// Those whose it is have deleted it.
    left: bool,
}

impl World {
    /// Somebody makes a claim of the name that a replica's would have, where there is none.
    pub(crate) fn stranger_comes(&mut self, at: usize) {
        let name = names::replica_claim(PAIR, SITES[at]);
        if self.server.objects.claims.contains_key(&name) {
            return;
        }
        let class = self.server.storage_classes[at].name_any();
        let claim: Result<PersistentVolumeClaim, _> = serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeMode": "Block",
                "resources": self.manifest.spec.as_ref().map(|spec| &spec.resources),
            },
        }));
        if let Ok(claim) = claim {
            drop(self.server.put_claim(&claim));
        }
        let made = self.server.objects.claims.get(&name);
        let made = made.and_then(|claim| claim.metadata.uid.clone());
        let stranger = |uid| (uid, Stranger { name, left: false });
        self.oracle.strangers.extend(made.map(stranger));
    }

    /// Whether the claim of a name is somebody else's.
    pub(crate) fn is_strangers(&self, name: &str) -> bool {
        let claim = self.server.objects.claims.get(name);
        let uid = claim.and_then(|claim| claim.metadata.uid.as_ref());
        uid.is_some_and(|uid| self.oracle.strangers.contains_key(uid))
    }

    /// Whether a volume is bound to, or was made for, somebody else's claim.
    pub(crate) fn is_of_stranger(&self, volume: &PersistentVolume) -> bool {
        let uid = volume.claim_ref().and_then(|claim| claim.uid.as_ref());
        uid.is_some_and(|uid| self.oracle.strangers.contains_key(uid))
    }

    /// Somebody else's claim is as it was made, and so is what its volume holds.
    ///
    /// # Errors
    /// What is not, as a sentence.
    pub(crate) fn strangers_are_safe(&self) -> Result<(), String> {
        let here = self.oracle.strangers.iter().filter(|(_, s)| !s.left);
        for (uid, Stranger { name, .. }) in here {
            let claim = self.server.objects.claims.get(name);
            let claim =
                claim.filter(|claim| claim.uid().as_ref() == Some(uid) && !claim.is_going());
            let Some(claim) = claim else {
                return Err(format!("claim {name} is somebody else's, and was deleted"));
            };
            if !claim.labels().is_empty() {
                return Err(format!("claim {name} is somebody else's, and was taken"));
            }
            // One that was reserved for the name is the pair's all the same.
            let handle = self.server.handle_of_claim(name);
            let handle = handle.filter(|handle| !self.volumes.contains(&Some(handle.clone())));
            let device = handle.and_then(|handle| self.server.storage.device(&handle));
            if device.is_some_and(|device| !is_zero(&device.bytes())) {
                return Err(format!("claim {name} is somebody else's, and was written"));
            }
        }
        Ok(())
    }

    /// Those whose claim it is delete it, once the status names it.
    pub(crate) fn strangers_go(&mut self) {
        let conditions = self.status().conditions.clone();
        for site in SITES {
            let name = names::replica_claim(PAIR, site);
            let taken = [
                format!("{name} exists but is not this pair's"),
                format!("claim {NAMESPACE}/{name}, which is not the pair's"),
            ];
            let named = |message: &String| taken.iter().any(|taken| message.contains(taken));
            if conditions.iter().any(|c| named(&c.message)) {
                self.stranger_goes(&name);
            }
        }
    }

    /// Whoever has made the claim of a name deletes it.
    pub(crate) fn stranger_goes(&mut self, name: &str) {
        if !self.is_strangers(name) {
            return;
        }
        let strangers = self.oracle.strangers.values_mut();
        for stranger in strangers.filter(|stranger| stranger.name == name) {
            stranger.left = true;
        }
        self.server.objects.delete_claim(name);
        self.server.changed();
    }
}
