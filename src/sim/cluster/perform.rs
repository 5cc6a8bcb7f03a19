//! Every action of the planner, performed on the simulated API server and the movers. What is made is
//! rendered by the operator's own functions.

use std::collections::BTreeMap;

use crate::cluster::admission::ApiRefusal;
use crate::cluster::mover::Changes;
use crate::cluster::server::{NAMESPACE, Server};
use crate::cluster::world::{PAIR, SITES, World};
use api::snapshots::ALLOW_MODE_CHANGE;
use api::{ReplicationPair, names};
use planner::decide::{Action, ProbePlan, Report, ShipPlan, VerifyPlan};
use planner::observe::HookReport;
use planner::observe::SnapshotFacts;
use planner::rebind::{DesiredBinding, Next};
use planner::render;
use planner::render::{MoverSettings, PairRef};
use protocol::units::{PairName, SiteName};
use wire::control::{ChangeList, Request, ShipRequest, VerifyRequest};

/// How far an action has come.
pub(crate) enum Performed {
    /// It is done, with what is to be reported of it.
    Done(Option<Report>),
    /// There is more of it.
    More,
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
                self.request(site, request.clone())?;
                None
            }
            Action::Pace {
                bytes_per_second, ..
            } => Some(Report::Paced(*bytes_per_second)),
            Action::Probe(plan) => Some(Report::Probed(plan.cycle, self.look(plan))),
            Action::Ship(plan) => {
                self.ship(plan)?;
                Some(Report::Fed(plan.cycle))
            }
            Action::Verify(plan) => {
                self.verify(plan)?;
                None
            }
            Action::SelectPods => Some(Report::Selected(Vec::new())),
            Action::Hold(_) => Some(Report::Held(HookReport::default(), self.server.now())),
            Action::Release(_) => Some(Report::Released(HookReport::default(), self.server.now())),
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

    /// Gives a mover a request, and sees its report afterwards.
    fn request(&mut self, site: &SiteName, request: Request) -> Result<(), String> {
        let at = usize::from(site.as_str() == SITES[1]);
        self.oracle
            .requested(self.server.pair.as_ref(), at, &request);
        let bytes = self.device_bytes(at);
        let pod = self.server.pods.get(&names::mover(PAIR, site.as_str()));
        let up = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
        let reachable = self.server.now() >= self.net_down_until && up;
        let now = self.millis();
        let Some(mover) = self.movers[at].as_mut().filter(|_| reachable) else {
            return Err(format!("the mover at {site} can't be reached"));
        };
        let what = format!("{request:?}");
        let what = what
            .split(['(', '{'])
            .next()
            .unwrap_or_default()
            .to_string();
        let taken = mover.take(request, bytes);
        let answer = taken.as_ref().err().map(ToString::to_string);
        self.story.tell(now, at, || match answer {
            None => format!("takes the request to {what}"),
            Some(why) => format!("refuses to {what}: {why}"),
        });
        taken.map_err(|refused| refused.to_string())?;
        self.poll(at);
        Ok(())
    }

    fn ship(&mut self, plan: &ShipPlan) -> Result<(), String> {
        let list = match (&plan.base, &plan.facts) {
            (Ok((point, base)), Some(facts)) => self.delta(base, facts).map(|list| (*point, list)),
            _ => None,
        };
        let order = ShipRequest {
            cycle: plan.cycle,
            peer: "peer:7400".into(),
            peer_site: plan.target.clone(),
            changes: match &list {
                Some((base, _)) => ChangeList::Delta { base: *base },
                None => ChangeList::Nothing,
            },
            changes_reason: String::new(),
            discard_consent: plan.consent,
            transfer: plan.transfer,
        };
        self.request(&plan.source, Request::Ship(order))?;
        let at = usize::from(plan.source.as_str() == SITES[1]);
        if let Some(mover) = &mut self.movers[at] {
            mover.list = list.map(|(_, list)| list);
        }
        Ok(())
    }

    fn verify(&mut self, plan: &VerifyPlan) -> Result<(), String> {
        let order = VerifyRequest {
            cycle: plan.cycle,
            peer: "peer:7400".into(),
            peer_site: plan.target.clone(),
            range: plan.range,
            read_bytes_per_second: Some(plan.bytes_per_second),
            transfer: plan.transfer,
        };
        self.request(&plan.source, Request::Verify(order))
    }

    /// The driver's list of what changed between two of its snapshots of one volume.
    fn delta(&self, base: &SnapshotFacts, cut: &SnapshotFacts) -> Option<Changes> {
        let snapshots = &self.server.storage.snapshots;
        let (before, after) = (snapshots.get(&base.handle)?, snapshots.get(&cut.handle)?);
        if before.volume != after.volume || base.created_ns >= cut.created_ns {
            return None;
        }
        let pairs = (0..).zip(before.blocks.iter().zip(&after.blocks));
        let changed = pairs.filter(|(_, (before, after))| before != after);
        Some(changed.map(|(block, (_, after))| (block, *after)).collect())
    }

    fn look(&self, plan: &ProbePlan) -> bool {
        let list = self.delta(&plan.base, &plan.facts);
        list.is_some_and(|list| list.is_empty())
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
            server.put_pod(render::mover_pod(pair, &site, &device, &mover_settings()))
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
        Action::DropCut { name } => server.delete_snapshot(&name),
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
    }
}
