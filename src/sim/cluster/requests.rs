//! What the operator asks the movers for, their answers, and the list of changes that follows a request to
//! ship. Requests go to the mover's core as they are.

use jiff::{SignedDuration, Timestamp};
use rand::Rng;

use crate::cluster::perform::Performed;
use crate::cluster::world::{PAIR, SITES, World};
use crate::extent_parts::parts_of;
use api::names;
use planner::decide::{ProbePlan, Report, ShipPlan, VerifyPlan};
use planner::observe::SnapshotFacts;
use protocol::units::SiteName;
use wire::control::{ChangeList, Request, Response, ShipRequest, VerifyRequest};

/// An answer that takes longer is not waited for.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// A request, and the list of changes that follows it.
#[derive(Clone)]
pub(crate) struct Given {
    /// The request.
    pub(crate) request: Request,
    /// The parts of the list.
    pub(crate) parts: Vec<Request>,
}

/// A request, what follows it, and what is reported of it once it is accepted.
pub(crate) struct Asking {
    given: Given,
    report: Option<Report>,
}

impl From<Request> for Asking {
    fn from(request: Request) -> Asking {
        Asking {
            given: Given {
                request,
                parts: Vec::new(),
            },
            report: None,
        }
    }
}

/// A request that a mover has not answered yet.
pub(crate) struct Asked {
    at: usize,
    pod_uid: String,
    id: u64,
    until: Timestamp,
    what: &'static str,
    parts: Vec<Request>,
    report: Option<Report>,
}

impl World {
    /// Makes a request, and hears the answer if it is there at once.
    ///
    /// # Errors
    /// When the mover can't be reached.
    pub(crate) fn request(&mut self, site: &SiteName, asking: Asking) -> Result<Performed, String> {
        let at = usize::from(site.as_str() == SITES[1]);
        let pair = self.server.pair.as_ref();
        self.oracle.requested(pair, at, &asking.given.request);
        self.resent.requested(at, &asking.given.request);
        let pod = self.server.pods.get(&names::mover(PAIR, site.as_str()));
        let up = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
        let reachable = !self.is_cut_off(at) && up;
        let now = self.millis();
        let Some(mover) = self.movers[at].as_mut().filter(|_| reachable) else {
            return Err(format!("the mover at {site} can't be reached"));
        };
        self.data.remember(at, asking.given.clone());
        let Given { request, parts } = asking.given;
        let what = name_of(&request);
        let id = mover.host.ask(request, &mut self.net, now);
        let asked = Asked {
            at,
            pod_uid: mover.pod_uid.clone(),
            id,
            until: self.server.now() + ANSWER_WITHIN,
            what,
            parts,
            report: asking.report,
        };
        Ok(self.hear(asked))
    }

    /// Hears the answer to a request, or goes on waiting for it.
    pub(crate) fn hear(&mut self, asked: Asked) -> Performed {
        let now = self.server.now();
        let (at, what, cut_off) = (asked.at, asked.what, self.is_cut_off(asked.at));
        let mover = self.movers[at].as_mut();
        let mover = mover.filter(|mover| mover.pod_uid == asked.pod_uid && !cut_off);
        let Some(mover) = mover else {
            return Performed::Failed(
                format!("the mover went away before it answered: {what}"),
                false,
            );
        };
        let Some(answer) = mover.host.answer_to(asked.id) else {
            return match now > asked.until {
                true => Performed::Failed(format!("the mover does not answer: {what}"), false),
                false => Performed::Waits(asked),
            };
        };
        let refusal = match answer {
            Response::Refused(refusal) => Some(refusal.message),
            _ => None,
        };
        if matches!(what, "Ship") && refusal.is_none() {
            mover.host.parts = asked.parts.into();
        }
        let millis = self.millis();
        self.story.tell(millis, at, || match &refusal {
            None => format!("takes the request to {what}"),
            Some(why) => format!("refuses to {what}: {why}"),
        });
        self.poll(at);
        match refusal {
            None => Performed::Done(asked.report),
            Some(why) => Performed::Failed(why, false),
        }
    }

    /// Tells a mover how fast it may send.
    ///
    /// # Errors
    /// When it can't be reached.
    pub(crate) fn pace(
        &mut self,
        site: &SiteName,
        limit: Option<u64>,
    ) -> Result<Performed, String> {
        let request = Request::SetBandwidth {
            bytes_per_second: limit,
        };
        let asking = Asking {
            report: Some(Report::Paced(limit)),
            ..request.into()
        };
        self.request(site, asking)
    }

    /// Has a cut shipped, by the best list of changes that the driver gives.
    ///
    /// # Errors
    /// When the mover can't be reached.
    pub(crate) fn ship(&mut self, plan: &ShipPlan) -> Result<Performed, String> {
        let (changes, blocks) = self.best_list(plan);
        let breaks = self.faulty && self.random.random_range(0..4) == 0;
        // A driver may split its list differently each time.
        let part_blocks = self.random.random_range(1..24);
        let parts = blocks.map(|blocks| {
            let breaks_after = breaks.then(|| self.random.random_range(0..=blocks.len()));
            parts_of(part_blocks, plan.cycle, changes, &blocks, breaks_after)
        });
        let request = Request::Ship(ShipRequest {
            cycle: plan.cycle,
            peer: "peer:7400".into(),
            peer_site: plan.target.clone(),
            changes,
            changes_reason: String::new(),
            discard_consent: plan.consent,
            image: plan.image,
            transfer: plan.transfer,
        });
        let asking = Asking {
            given: Given {
                request,
                parts: parts.unwrap_or_default(),
            },
            report: Some(Report::Fed(plan.cycle)),
        };
        self.request(&plan.source, asking)
    }

    /// A driver answers what it can, and sometimes nothing.
    fn best_list(&mut self, plan: &ShipPlan) -> (ChangeList, Option<Vec<u64>>) {
        let answers = match self.lists_given {
            true => 4,
            false if self.rewrites => 0,
            false => self.random.random_range(0..5),
        };
        let Some(facts) = plan.facts.as_ref().filter(|_| answers > 0) else {
            return (ChangeList::Nothing, None);
        };
        if let Ok((point, base)) = &plan.base
            && answers > 1
            && let Some(blocks) = self.delta(base, facts)
        {
            return (ChangeList::Delta { base: *point }, Some(blocks));
        }
        let cut = self.server.storage.snapshots.get(&facts.handle);
        match (cut, &plan.allocated) {
            (Some(cut), Ok(())) => (ChangeList::Allocated, Some(cut.content.allocated())),
            _ => (ChangeList::Nothing, None),
        }
    }

    /// Has a range of the standby's image compared with a cut.
    ///
    /// # Errors
    /// When the mover can't be reached.
    pub(crate) fn verify(&mut self, plan: &VerifyPlan) -> Result<Performed, String> {
        let request = Request::Verify(VerifyRequest {
            cycle: plan.cycle,
            peer: "peer:7400".into(),
            peer_site: plan.target.clone(),
            range: plan.range,
            read_bytes_per_second: Some(plan.bytes_per_second),
            transfer: plan.transfer,
        });
        // What the one before has staged is of another run.
        let at = usize::from(plan.source.as_str() == SITES[1]);
        self.resent.begins_again(at);
        self.request(&plan.source, request.into())
    }

    /// The driver's list of the blocks that were written between two of its snapshots of one volume.
    fn delta(&self, base: &SnapshotFacts, cut: &SnapshotFacts) -> Option<Vec<u64>> {
        let snapshots = &self.server.storage.snapshots;
        let (before, after) = (snapshots.get(&base.handle)?, snapshots.get(&cut.handle)?);
        if before.volume != after.volume || base.created_ns >= cut.created_ns {
            return None;
        }
        let common = base.size_bytes.unwrap_or(u64::MAX);
        let (before, after) = (&before.content, &after.content);
        Some(after.changed_since(before, common, self.piece))
    }

    /// Whether the driver says that nothing was written since the base.
    pub(crate) fn look(&self, plan: &ProbePlan) -> bool {
        let list = self.delta(&plan.base, &plan.facts);
        list.is_some_and(|list| list.is_empty())
    }
}

fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Init(_) => "Init",
        Request::Ship(_) => "Ship",
        Request::Verify(_) => "Verify",
        Request::Receive(_) => "Receive",
        Request::Commit { .. } => "Commit",
        Request::Abort { .. } => "Abort",
        Request::Promote(_) => "Promote",
        Request::Demote(_) => "Demote",
        Request::SetBandwidth { .. } => "SetBandwidth",
        Request::Status { .. } => "Status",
        Request::Extents(_) | Request::ExtentsFailed { .. } => "Extents",
        Request::Shutdown => "Shutdown",
    }
}
