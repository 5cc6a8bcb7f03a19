//! The controllers of claims and volumes. Their rules are the planner's own model of them
//! (`rebind::binder`, `rebind::protection`); here they look at one object at a time, perhaps through a
//! cache that lags, and volumes that are released are really deleted where their policy says so.
//!
//! Deletion: Kubernetes 1.34 pv_controller.go `reclaimVolume`, and external-provisioner's
//! `syncVolume`: a volume that is Released and has the policy Delete goes with its storage.

use kube::ResourceExt as _;

use crate::cluster::provisioner::ASKED_FOR;
use crate::cluster::server::{Server, handle_of, is_going, node_of};
use planner::rebind::binder;
use planner::rebind::binder::Verdict;
use planner::rebind::object::{PROVISIONER_FINALIZER, SELECTED_NODE, VolumeExt as _};
use planner::rebind::protection;

impl Server {
    /// The volume controller looks at every claim and every volume once. Whether it has changed
    /// anything.
    pub(crate) fn bind(&mut self) -> bool {
        let seen = self.health.cache_lags.then(|| self.seen_volumes.clone());
        let mut changed = false;
        let claims: Vec<String> = self.objects.claims.keys().cloned().collect();
        for name in claims {
            let classes = self.storage_classes.clone();
            let mode_of = |class: &str| mode_of(&classes, class);
            match binder::sync_claim(&mut self.objects, seen.as_ref(), &name, &mode_of) {
                Verdict::Unchanged => {}
                Verdict::Changed => changed = true,
                Verdict::Provision => changed |= self.ask_for_volume(&name),
            }
        }
        let volumes: Vec<String> = self.objects.volumes.keys().cloned().collect();
        for name in volumes {
            changed |= binder::sync_volume(&mut self.objects, &name);
        }
        if changed {
            self.changed();
        }
        changed
    }

    /// The volume controller's cache catches up.
    pub(crate) fn catch_up(&mut self) {
        self.seen_volumes = self.objects.volumes.clone();
    }

    fn ask_for_volume(&mut self, claim: &str) -> bool {
        let found = self.objects.claims.get(claim);
        if found.is_none_or(|claim| claim.annotations().contains_key(ASKED_FOR)) {
            return false;
        }
        self.objects.change_claim(claim, None, |claim| {
            let annotations = claim.annotations_mut();
            annotations.insert(ASKED_FOR.into(), "yes".into());
        });
        true
    }

    /// The protection controllers let go of what nobody uses. A pod that was never given a node does
    /// not hold its claims (pvc_protection_controller.go: only scheduled pods count).
    pub(crate) fn unprotect(&mut self) -> bool {
        let placed = self.pods.values().filter(|pod| node_of(pod).is_some());
        let used: Vec<String> = placed
            .filter(|pod| !planner::observe::read::ended(pod))
            .flat_map(|pod| {
                planner::observe::read::claims_of(pod)
                    .map(|(_, claim)| claim.to_string())
                    .collect::<Vec<_>>()
            })
            .collect();
        let is_used = |claim: &str| used.iter().any(|name| name == claim);
        let changed = protection::release_claims(&mut self.objects, &is_used)
            | protection::release_volumes(&mut self.objects);
        if changed {
            self.changed();
        }
        changed
    }

    /// What is released and not retained goes, with its storage; what is deleted and retained only
    /// loses its object.
    pub(crate) fn reclaim(&mut self) -> bool {
        if self.health.provisioner_stopped {
            return false;
        }
        let released = |volume: &k8s_openapi::api::core::v1::PersistentVolume| {
            let status = volume.status.as_ref();
            status.and_then(|status| status.phase.as_deref()) == Some("Released")
        };
        let gone = self.objects.volumes.values();
        let gone: Vec<String> = gone
            .filter(|volume| released(volume) && volume.policy() == "Delete")
            .map(|volume| volume.name_any())
            .collect();
        for name in &gone {
            let handle = self.objects.volumes.get(name).and_then(handle_of);
            self.storage.destroy(&handle.unwrap_or_default());
            self.let_go(name);
            self.objects.delete_volume(name);
        }
        let kept = self.objects.volumes.values().filter(|volume| {
            let held = volume
                .finalizers()
                .iter()
                .any(|f| f == PROVISIONER_FINALIZER);
            is_going(&volume.metadata) && volume.is_retained() && held
        });
        let kept: Vec<String> = kept.map(|volume| volume.name_any()).collect();
        for name in &kept {
            self.let_go(name);
        }
        self.objects.collect();
        let changed = !gone.is_empty() || !kept.is_empty();
        if changed {
            self.changed();
        }
        changed
    }

    fn let_go(&mut self, volume: &str) {
        self.objects.change_volume(volume, None, |volume| {
            let finalizers = volume.metadata.finalizers.get_or_insert_default();
            finalizers.retain(|finalizer| finalizer != PROVISIONER_FINALIZER);
        });
    }

    /// A claim that waits for its first consumer learns which node that is on.
    pub(crate) fn select_node(&mut self, claim: &str, node: &str) -> bool {
        let found = self.objects.claims.get(claim);
        if found.is_none_or(|claim| claim.annotations().contains_key(SELECTED_NODE)) {
            return false;
        }
        self.objects.change_claim(claim, None, |claim| {
            let annotations = claim.annotations_mut();
            annotations.insert(SELECTED_NODE.into(), node.into());
        });
        true
    }
}

fn mode_of(
    classes: &[k8s_openapi::api::storage::v1::StorageClass],
    class: &str,
) -> Option<binder::BindingMode> {
    let class = classes.iter().find(|known| known.name_any() == class)?;
    Some(match class.volume_binding_mode.as_deref() {
        Some("WaitForFirstConsumer") => binder::BindingMode::WaitForFirstConsumer,
        _ => binder::BindingMode::Immediate,
    })
}
