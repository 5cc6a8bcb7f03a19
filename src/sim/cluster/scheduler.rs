//! The scheduler, the kubelets and the attach-detach controller, as far as claims are concerned.
//!
//! Rules: Kubernetes 1.34. A pod is given a node once its claims are there, not being deleted, and bound;
//! one that waits for its first consumer learns the node (scheduler/framework/plugins/volumebinding). It
//! runs once its volumes are attached to the node, each to one node at a time
//! (controller/volume/attachdetach). A pod that is deleted ends, unless its node is dead; its volumes are
//! detached later.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::cluster::server::{Server, is_going, node_of, phase};
use planner::observe::read;
use planner::rebind::object::ClaimExt as _;

/// The nodes.
pub(crate) const NODES: [&str; 2] = ["node-1", "node-2"];

impl Server {
    /// One step of one pod, on its way to a node, to running, or to its end. Whether there was one.
    pub(crate) fn pod_step(&mut self, name: &str, node: &str) -> bool {
        let Some(pod) = self.pods.get(name).cloned() else {
            return false;
        };
        if is_going(&pod.metadata) {
            return self.end(&pod);
        }
        if phase(&pod) != "Pending" {
            return false;
        }
        let changed = match node_of(&pod).map(String::from) {
            None => self.schedule(&pod, node),
            Some(node) => self.start(&pod, &node),
        };
        if changed {
            self.changed();
        }
        changed
    }

    fn end(&mut self, pod: &Pod) -> bool {
        if node_of(pod).is_some_and(|node| self.health.dead_nodes.contains(node)) {
            return false;
        }
        self.pods.remove(&pod.name_any());
        self.changed();
        true
    }

    fn schedule(&mut self, pod: &Pod, node: &str) -> bool {
        let mut ready = true;
        let mut asked = false;
        for (_, claim) in read::claims_of(pod) {
            let Some(found) = self.objects.claims.get(claim) else {
                return false;
            };
            if found.is_going() {
                return false;
            }
            if found.is_bound() {
                continue;
            }
            ready = false;
            // A claim that names its volume is no claim that waits for a consumer.
            if found.volume_name().is_empty() {
                asked |= self.select_node(claim, node);
            }
        }
        if ready && let Some(pod) = self.pods.get_mut(&pod.name_any()) {
            pod.spec.get_or_insert_default().node_name = Some(node.into());
        }
        ready || asked
    }

    fn start(&mut self, pod: &Pod, node: &str) -> bool {
        if self.health.dead_nodes.contains(node) {
            return false;
        }
        let mut handles = Vec::new();
        for (_, claim) in read::claims_of(pod) {
            let Some(handle) = self.handle_of_claim(claim) else {
                return false;
            };
            if self
                .attachments
                .get(&handle)
                .is_some_and(|held| held != node)
            {
                return false;
            }
            handles.push(handle);
        }
        for handle in handles {
            self.attachments.insert(handle, node.into());
        }
        if let Some(pod) = self.pods.get_mut(&pod.name_any()) {
            let status = pod.status.get_or_insert_default();
            status.phase = Some("Running".into());
            status.pod_ip = Some("10.0.0.1".into());
        }
        true
    }

    /// Detaches what nobody on its node uses. Whether anything was.
    pub(crate) fn detach(&mut self) -> bool {
        if self.health.detach_stopped {
            return false;
        }
        let mut used = std::collections::BTreeSet::new();
        for pod in self.pods.values() {
            let Some(node) = node_of(pod) else { continue };
            for (_, claim) in read::claims_of(pod) {
                if let Some(handle) = self.handle_of_claim(claim) {
                    used.insert((handle, node.to_string()));
                }
            }
        }
        let before = self.attachments.len();
        let dead = self.health.dead_nodes.clone();
        self.attachments.retain(|handle, node| {
            used.contains(&(handle.clone(), node.clone())) || dead.contains(node)
        });
        self.attachments.len() != before
    }
}
