//! Every action of the planner, performed on the simulated API server and the movers. What is made is
//! rendered by the operator's own functions.

use std::collections::BTreeMap;

use crate::cluster::admission::ApiRefusal;
use crate::cluster::requests::Asked;
use crate::cluster::server::{NAMESPACE, Server};
use crate::cluster::world::{PAIR, World};
use api::snapshots::ALLOW_MODE_CHANGE;
use api::{ReplicationPair, names};
use planner::decide::{Action, Report};
use planner::observe::{HookReport, Replica};
use planner::rebind::{DesiredBinding, Next};
use planner::render;
use planner::render::{MoverSettings, PairRef};
use protocol::units::{PairName, SiteName};

/// How far an action has come.
pub(crate) enum Performed {
    /// It is done, with what is to be reported of it.
    Done(Option<Report>),
    /// There is more of it.
    More,
    /// A mover has not answered yet.
    Waits(Asked),
    /// It failed, and what comes after it is not tried.
    Failed(String),
}

impl World {
    /// One step of an action.
    pub(crate) fn perform(&mut self, pair: &ReplicationPair, action: &Action) -> Performed {
        let Some(owner) = PairRef::of(pair) else {
            return Performed::Failed("the pair has no UID".into());
        };
        match self.one(&owner, action) {
            Ok(performed) => performed,
            Err(why) => Performed::Failed(why),
        }
    }

    fn one(&mut self, pair: &PairRef, action: &Action) -> Result<Performed, String> {
        let report = match action {
            Action::Command { site, request } => {
                return self.request(site, request.clone().into());
            }
            Action::Pace {
                site,
                bytes_per_second,
            } => return self.pace(site, *bytes_per_second),
            Action::Probe(plan) => Some(Report::Probed(plan.cycle, self.look(plan))),
            Action::Ship(plan) => return self.ship(plan),
            Action::Verify(plan) => return self.verify(plan),
            Action::SelectPods => Some(Report::Selected(self.hook_targets())),
            Action::Hold(targets) => {
                self.hook(targets, true);
                Some(Report::Held(HookReport::default(), self.server.now()))
            }
            Action::Release(targets) => {
                self.hook(targets, false);
                Some(Report::Released(HookReport::default(), self.server.now()))
            }
            Action::Rebind(desired) => return self.rebind(desired),
            write => {
                if let Action::Cut(request) = write {
                    self.oracle
                        .cut_requested(self.server.pair.as_ref(), request);
                }
                write_object(&mut self.server, pair, write)
                    .map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))?;
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
            change_object(server, other);
            Ok(())
        }
    }
}

/// Those that are never refused.
fn change_object(server: &mut Server, action: Action) {
    match action {
        Action::AllowModeChange { content } => {
            if let Some(content) = server.contents.get_mut(&content) {
                content["metadata"]["annotations"][ALLOW_MODE_CHANGE] = "true".into();
            }
        }
        Action::StopMover { site, uid } => {
            server.delete_pod(&names::mover(PAIR, site.as_str()), Some(&uid));
        }
        Action::Retain {
            site,
            volume,
            before,
        } => retain(server, &site, &volume, before),
        Action::DropCut { name, version } => server.delete_snapshot(&name, version.as_deref()),
        Action::DropSourceClaim { name } => server.objects.delete_claim(&name),
        Action::Scale { replicas } => server.set_scale(replicas),
        _ => {}
    }
    server.changed();
}

fn retain(server: &mut Server, site: &SiteName, volume: &str, before: Option<String>) {
    let Ok(pair) = PairName::new(NAMESPACE, PAIR) else {
        return;
    };
    server
        .objects
        .retain(&pair, volume, site, before.as_deref());
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
