//! What a re-binding sees of the cluster, and its requests.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt as _;

use crate::cluster::server::Server;
use api::names;
use planner::rebind::object::ClaimExt as _;
use planner::rebind::object::VolumeExt as _;
use planner::rebind::{DesiredBinding, Next, RebindError, RebindView, Step, next};

impl Server {
    /// The claims, the volumes that have the pair's labels or that the claims name, any object of a
    /// volume of which there is none else, and the pods that use the claims.
    pub(crate) fn rebind_view(&self, desired: &DesiredBinding) -> RebindView {
        let mut wanted = vec![desired.app_claim.clone()];
        wanted.extend(
            desired
                .sites()
                .map(|site| desired.replica_claim(&site.site)),
        );
        let found = |name: &String| Some((name.clone(), self.objects.claims.get(name)?.clone()));
        let claims: BTreeMap<_, _> = wanted.iter().filter_map(found).collect();
        let named = |volume: &PersistentVolume| {
            let name = volume.name_any();
            claims.values().any(|claim| claim.volume_name() == name)
        };
        let known = |volume: &&PersistentVolume| is_of(volume, desired) || named(volume);
        let all = self.objects.volumes.values();
        let mut volumes: BTreeMap<String, PersistentVolume> = all
            .filter(known)
            .map(|volume| (volume.name_any(), volume.clone()))
            .collect();
        for site in desired.sites() {
            let key = Some(&site.volume);
            if !volumes.values().any(|v| v.volume_id().as_ref() == key) {
                let all = self.objects.volumes.values();
                let found = all.filter(|v| v.volume_id().as_ref() == key);
                volumes.extend(found.map(|volume| (volume.name_any(), volume.clone())));
            }
        }
        let users = claims
            .keys()
            .map(|name| (name.clone(), self.users_of(name)));
        RebindView {
            users: users.filter(|(_, pods)| !pods.is_empty()).collect(),
            record: self.objects.record.clone(),
            rules: self.rules,
            claims,
            volumes,
        }
    }

    /// Looks, and performs the next request if there is one.
    ///
    /// # Errors
    /// When a person has to act first.
    pub(crate) fn rebind_once(&mut self, desired: &DesiredBinding) -> Result<Next, RebindError> {
        let step = next(&self.rebind_view(desired), desired)?;
        if let Next::Do(step) = &step {
            self.rebind_request(desired, step)?;
        }
        Ok(step)
    }

    /// Performs a request of a re-binding.
    ///
    /// # Errors
    /// When an object of the name belongs to somebody else.
    pub(crate) fn rebind_request(
        &mut self,
        desired: &DesiredBinding,
        step: &Step,
    ) -> Result<(), RebindError> {
        self.objects.perform(desired, step)?;
        self.changed();
        Ok(())
    }
}

fn is_of(volume: &PersistentVolume, desired: &DesiredBinding) -> bool {
    let label = |key: &str| volume.labels().get(key).map(String::as_str);
    label(names::PAIR_LABEL) == Some(desired.pair.name())
        && label(names::PAIR_NAMESPACE_LABEL) == Some(desired.pair.namespace())
}
