//! Kubernetes Events about pairs.

use kube::Client;

use crate::api::ReplicationPair;

/// Writes Events; repeats of one are counted by the API, not written again.
#[derive(Clone)]
pub struct Events {}

impl Events {
    /// Events by the operator instance `instance` (its pod's name).
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Events {
        todo!("{} {instance}", client.default_namespace())
    }

    /// Something went as it should. Failing to write it is logged, never an error.
    pub async fn normal(&self, pair: &ReplicationPair, reason: &str, action: &str, note: &str) {
        todo!("{pair:?} {reason} {action} {note}")
    }

    /// Something needs attention.
    pub async fn warning(&self, pair: &ReplicationPair, reason: &str, action: &str, note: &str) {
        todo!("{pair:?} {reason} {action} {note}")
    }
}
