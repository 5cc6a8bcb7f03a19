//! The workload that uses the application's claim: a StatefulSet of one pod that can be scaled.
//!
//! Rules: Kubernetes 1.34, controller/statefulset: as many pods as are wanted, each with its claim,
//! whatever that claim is bound to. With `whenScaled: Delete` a claim that is scaled away gets its pod as
//! an owner, and the garbage collector deletes it with the pod (stateful_set_utils.go).

use crate::cluster::server::{Server, pod_using};
use planner::observe::Application;

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// Its pod.
    pub(crate) pod: String,
    /// The claim that the pod uses.
    pub(crate) claim: String,
    /// Replicas wanted.
    pub(crate) replicas: i64,
    /// Whether the claim goes when it is scaled away.
    pub(crate) claims_go_when_scaled: bool,
    /// How often it was changed.
    version: u64,
    /// The field manager, other than Ferry, that scaled it last.
    pub(crate) scaled_by: Option<String>,
}

impl Workload {
    /// One pod that uses a claim.
    pub(crate) fn of(pod: &str, claim: &str) -> Workload {
        Workload {
            pod: pod.into(),
            claim: claim.into(),
            replicas: 1,
            version: 0,
            claims_go_when_scaled: false,
            scaled_by: None,
        }
    }
}

impl Server {
    /// What its scale says.
    pub(crate) fn scale(&self) -> Option<Application> {
        let workload = self.workload.as_ref()?;
        let present = i64::from(self.pods.contains_key(&workload.pod));
        Some(Application::Found {
            wanted: workload.replicas,
            present,
            scaled_by: workload.scaled_by.clone(),
            claims_go_when_scaled: workload.claims_go_when_scaled,
            version: Some(workload.version.to_string()),
        })
    }

    /// Sets the replicas.
    pub(crate) fn set_scale(&mut self, replicas: i64) {
        if let Some(workload) = &mut self.workload {
            workload.replicas = replicas;
            workload.version += 1;
            self.changed();
        }
    }

    /// Sets the replicas, unless it was changed since it was read.
    pub(crate) fn scale_as_read(&mut self, replicas: i64, version: Option<&str>) {
        let now = self
            .workload
            .as_ref()
            .map(|workload| workload.version.to_string());
        if version.is_none() || version == now.as_deref() {
            self.set_scale(replicas);
        }
    }

    /// Somebody else scales it up.
    pub(crate) fn scale_up(&mut self, manager: &str) {
        if let Some(workload) = &mut self.workload {
            workload.scaled_by = Some(manager.into());
        }
        self.set_scale(1);
    }

    /// One step of its controller. Whether there was one.
    pub(crate) fn workload_step(&mut self) -> bool {
        let Some(workload) = self.workload.clone() else {
            return false;
        };
        let pod = self.pods.get(&workload.pod);
        match (workload.replicas > 0, pod) {
            (true, None) => {
                let pod = pod_using(&workload.pod, &workload.claim);
                self.put_pod(pod).is_ok()
            }
            (false, Some(pod)) if pod.metadata.deletion_timestamp.is_none() => {
                self.delete_pod(&workload.pod, None);
                if workload.claims_go_when_scaled {
                    self.objects.delete_claim(&workload.claim);
                }
                true
            }
            _ => false,
        }
    }
}
