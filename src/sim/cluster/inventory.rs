//! What is there: the story of a run that does not come to rest ends with it.

use kube::ResourceExt as _;

use crate::cluster::server::{is_going, phase};
use crate::cluster::world::World;
use planner::rebind::object::{ClaimExt as _, VolumeExt as _};

impl World {
    /// Tells which objects there are, what is recorded of the sites, and what the operator reports.
    pub(crate) fn tell_what_is_there(&mut self) {
        let now = self.millis();
        let (objects, server) = (&self.server.objects, &self.server);
        for claim in objects.claims.values() {
            self.story.tell(now, 2, || {
                let state = (claim.is_bound(), claim.is_going());
                let name = claim.name_any();
                format!(
                    "claim {name} for {:?}: bound, going {state:?}",
                    claim.volume_name()
                )
            });
        }
        for volume in objects.volumes.values() {
            self.story.tell(now, 2, || {
                let claim = volume.claim_ref().and_then(|claim| claim.name.clone());
                let state = (volume.is_retained(), volume.is_reserved(), volume.is_going());
                format!(
                    "volume {} of {:?} for {claim:?}: retained, reserved, going {state:?}, labels {:?}",
                    volume.name_any(),
                    volume.volume_id().map(|id| id.handle),
                    volume.labels().values().collect::<Vec<_>>()
                )
            });
        }
        for pod in server.pods.values() {
            self.story.tell(now, 2, || {
                let going = is_going(&pod.metadata);
                format!("pod {} {}, going {going}", pod.name_any(), phase(pod))
            });
        }
        let status = self.status().clone();
        let replicas = server.workload.as_ref().map(|workload| workload.replicas);
        self.story.tell(now, 2, || format!("replicas {replicas:?}"));
        for site in &status.sites {
            self.story.tell(now, 2, || {
                let (handle, diverged) = (&site.handle, site.diverged);
                format!("site {} has {handle:?}, diverged {diverged}", site.name)
            });
        }
        for condition in &status.conditions {
            self.story.tell(now, 2, || {
                let (kind, status) = (&condition.type_, &condition.status);
                format!(
                    "{kind} {status}: {} {}",
                    condition.reason, condition.message
                )
            });
        }
        self.story.tell(now, 2, || {
            let (primary, epoch) = (&status.primary, status.epoch);
            format!(
                "primary {primary:?} of epoch {epoch:?}, {:?}",
                status.switch
            )
        });
        for at in 0..2 {
            let record = self.superblock(at);
            self.story
                .tell(now, at, || format!("superblock {record:?}"));
        }
    }
}
