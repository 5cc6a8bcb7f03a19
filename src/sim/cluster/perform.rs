//! Every action of the planner, performed on the simulated API server and the movers. What is made is
//! rendered by the operator's own functions.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;

use crate::cluster::admission::ApiRefusal;
use crate::cluster::requests::Asked;
use crate::cluster::server::{NAMESPACE, Server};
use crate::cluster::world::{PAIR, World};
use api::snapshots::ALLOW_MODE_CHANGE;
use api::{ReplicationPair, names};
use planner::decide::{Action, Report};
use planner::observe::{HookReport, Replica};
use planner::rebind::{DesiredBinding, Next, labels};
use planner::render;
use planner::render::{MoverSettings, PairRef};
use protocol::units::PairName;

/// How far an action has come.
pub(crate) enum Performed {
    /// It is done, with what is to be reported of it.
    Done(Option<Report>),
    /// There is more of it.
    More,
    /// A mover has not answered yet.
    Waits(Asked),
    /// It failed: why, and whether it was refused.
    Failed(String, bool),
}

impl World {
    /// One step of an action.
    pub(crate) fn perform(&mut self, pair: &ReplicationPair, action: &Action) -> Performed {
        let Some(owner) = PairRef::of(pair) else {
            return Performed::Failed("the pair has no UID".into(), true);
        };
        match self.one(&owner, action) {
            Ok(performed) => performed,
            Err((why, refused)) => Performed::Failed(why, refused),
        }
    }

    fn one(&mut self, pair: &PairRef, action: &Action) -> Result<Performed, (String, bool)> {
        self.server
            .admission
            .allows(action)
            .map_err(|refusal| (refusal.message, true))?;
        let unreachable = |why: String| (why, false);
        let report = match action {
            Action::Command { site, request } => {
                return self
                    .request(site, request.clone().into())
                    .map_err(unreachable);
            }
            Action::Pace {
                site,
                bytes_per_second,
            } => return self.pace(site, *bytes_per_second).map_err(unreachable),
            Action::Probe(plan) => Some(Report::Probed(plan.cycle, self.look(plan))),
            Action::Ship(plan) => return self.ship(plan).map_err(unreachable),
            Action::Verify(plan) => return self.verify(plan).map_err(unreachable),
            Action::SelectPods => Some(Report::Selected(self.hook_targets())),
            Action::Hold(targets) => {
                self.hook(targets, true);
                Some(Report::Held(HookReport::default(), self.server.now()))
            }
            Action::Release(targets) => {
                self.hook(targets, false);
                Some(Report::Released(HookReport::default(), self.server.now()))
            }
            Action::Rebind(desired) => return self.rebind(desired).map_err(|why| (why, true)),
            write => {
                if let Action::Cut(request) = write {
                    self.oracle.cut_requested(request);
                }
                write_object(&mut self.server, pair, write)
                    .map_err(|refusal| (refusal.message, true))?;
                None
            }
        };
        Ok(Performed::Done(report))
    }

    fn rebind(&mut self, desired: &DesiredBinding) -> Result<Performed, String> {
        let next = self
            .server
            .rebind_once(desired)
            .map_err(|e| e.to_string())?;
        Ok(match next {
            Next::Do(step) => {
                let now = self.millis();
                self.story.tell(now, 2, || step.to_string());
                Performed::More
            }
            Next::Wait(wait) => Performed::Done(Some(Report::RebindWaits(wait.to_string()))),
            Next::Done => Performed::Done(Some(Report::Rebound)),
        })
    }
}

/// The actions that are one write to the API server.
fn write_object(server: &mut Server, pair: &PairRef, action: &Action) -> Result<(), ApiRefusal> {
    match action.clone() {
        Action::MakeStateClaim { site, class, bytes } => {
            server.put_claim(&render::state_claim(pair, &site, class, bytes))
        }
        Action::MakeReplicaClaim { site, class, bytes } => {
            server.put_claim(&render::replica_claim(pair, &site, class, bytes))
        }
        Action::MakeSourceClaim {
            site,
            point,
            class,
            bytes,
        } => server.put_claim(&render::source_claim(pair, &site, point, class, bytes)),
        Action::Grow { claim, bytes } => server.grow_claim(&claim, bytes),
        Action::Cut(request) => server.put_snapshot(render::snapshot(pair, &request)),
        Action::StartMover { site, device } => {
            // Which volume it is on the simulated mover sees for itself.
            server.put_pod(render::mover_pod(
                pair,
                &site,
                &device,
                &Replica::default(),
                &mover_settings(),
            ))
        }
        other => {
            change_object(server, pair, other);
            Ok(())
        }
    }
}

/// Those that are never refused.
fn change_object(server: &mut Server, pair: &PairRef, action: Action) {
    match action {
        Action::AllowModeChange { content } => {
            if let Some(content) = server.contents.get_mut(&content) {
                content["metadata"]["annotations"][ALLOW_MODE_CHANGE] = "true".into();
            }
        }
        Action::DropWithSnapshot { content } => {
            if let Some(content) = server.contents.get_mut(&content) {
                content["spec"]["deletionPolicy"] = "Delete".into();
            }
        }
        Action::TakeOver { site, claim, .. } => {
            let labels = render::replica_labels(pair, &site);
            let change = |claim: &mut PersistentVolumeClaim| claim.labels_mut().extend(labels);
            server.objects.change_claim(&claim, None, change);
        }
        Action::StopMover { site, uid } => {
            server.delete_pod(&names::mover(PAIR, site.as_str()), Some(&uid));
        }
        Action::Note { claim, text } => server.note(&claim, text),
        Action::Retain {
            site,
            volume,
            before,
        } => {
            let name = PairName::new(NAMESPACE, PAIR);
            if let Ok(name) = name {
                let labels = labels(&name, &pair.owner.uid, &site);
                server.objects.retain(labels, &volume, before.as_deref());
            }
        }
        Action::DropCut { name, version } => server.delete_snapshot(&name, version.as_deref()),
        Action::DropSourceClaim { name } => server.objects.delete_claim(&name),
        Action::Scale { replicas, version } => server.scale_as_read(replicas, version.as_deref()),
        _ => {}
    }
    server.changed();
}

fn mover_settings() -> MoverSettings {
    MoverSettings {
        image: "ferry:sim".into(),
        image_pull_policy: "IfNotPresent".into(),
        image_pull_secrets: Vec::new(),
        memory_bytes: 256 << 20,
        cpu_request: "50m".into(),
        priority_class: None,
        node_selector: BTreeMap::new(),
        log: "info".into(),
        template: planner::render::MoverTemplate::default(),
    }
}
