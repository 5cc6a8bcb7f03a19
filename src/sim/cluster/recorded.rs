//! What must be recorded before it is done, and what may be recorded: numbers of cuts, identities of epochs,
//! the committed point, changes of the role.

use crate::cluster::oracle::Oracle;
use crate::cluster::world::SITES;
use api::v1alpha1::{ReplicationPairStatus, SwitchKind, SwitchStatus, SwitchStep};
use api::{ReplicationPair, ReplicationPairSpec};
use planner::decide::SnapshotRequest;
use planner::decide::switch::{WITHDRAWN, unfinished};
use protocol::units::{Epoch, Role};
use wire::control::Request;

impl Oracle {
    /// A cut is asked for: its number is recorded first. A status that was wiped since has been recorded, too.
    pub(crate) fn cut_requested(&mut self, request: &SnapshotRequest) {
        if !self.numbered.contains(&request.point) {
            self.fail(format!("{} is cut and not recorded", request.point));
        }
    }

    /// A mover is asked for something: whatever it draws on is recorded first.
    pub(crate) fn requested(
        &mut self,
        pair: Option<&ReplicationPair>,
        at: usize,
        request: &Request,
    ) {
        let status = pair
            .and_then(|pair| pair.status.clone())
            .unwrap_or_default();
        match request {
            Request::Promote(request) => {
                let asked_to_lead = (request.epoch, at, request.generation);
                self.asked_to_lead.insert(asked_to_lead);
                let generation = request.generation.0.to_string();
                let switch = status.switch.as_ref();
                let recorded = switch.is_some_and(|switch| {
                    switch.generation == generation && switch.to == SITES[at]
                });
                // An operator that was overtaken may ask for what was recorded before.
                let over = status.epoch.is_some_and(|epoch| {
                    u64::try_from(epoch).is_ok_and(|epoch| epoch >= request.epoch.0)
                });
                if !recorded && !over && status.pair_id.is_some() {
                    self.fail(format!(
                        "epoch {} is given out and not recorded",
                        request.epoch
                    ));
                }
            }
            Request::Init(init) => {
                if init.role == Role::Primary {
                    self.asked_to_lead.insert((init.epoch, at, init.generation));
                }
                let recorded = status.pair_id == Some(init.pair_id.0.to_string());
                if !recorded && status.pair_id.is_some() {
                    self.fail("an identity is given out and not recorded".into());
                }
            }
            _ => {}
        }
    }

    /// The status was written.
    pub(crate) fn recorded(
        &mut self,
        spec: &ReplicationPairSpec,
        before: Option<&ReplicationPairStatus>,
        after: &ReplicationPairStatus,
    ) {
        let point = |status: &ReplicationPairStatus| {
            status.committed_point.as_ref().map(|point| point.point())
        };
        let last = |status: &ReplicationPairStatus| {
            status.last_cycle.as_ref().map(|cycle| cycle.point.clone())
        };
        let cycle = after.cycle.as_ref().map(|cycle| cycle.point.point());
        self.numbered.extend(cycle);
        self.commits += u64::from(last(after).is_some() && before.and_then(last) != last(after));
        let before_point = before.and_then(point);
        if let Some(point) = point(after).filter(|point| before_point != Some(*point)) {
            let known = self.seen.iter().flatten();
            let holds = known.map(|record| record.committed == Some(point));
            let holds: Vec<bool> = holds.collect();
            self.in_common |= holds.iter().all(|holds| *holds);
            if self.foreign.contains(&point) {
                self.fail(format!(
                    "{point} is committed, and it is of a foreign volume"
                ));
            }
            if !holds.contains(&true) {
                self.fail(format!(
                    "the status calls {point} committed, and no side does"
                ));
            }
        }
        self.is_rightly_held(before, after);
        if let Some(switch) = &after.switch {
            let epoch = Epoch(u64::try_from(switch.epoch).unwrap_or(0));
            if switch.kind == SwitchKind::Forced {
                self.forced.insert(epoch);
            }
            self.rebinding_begun |= switch.step == SwitchStep::Release;
            let done = |status: &ReplicationPairStatus| {
                let switch = status.switch.as_ref();
                switch.is_some_and(|switch| switch.step == SwitchStep::Done)
            };
            let ended = done(after) && !before.is_some_and(done);
            self.moves += u64::from(ended);
            self.primary_edited &= !ended || Some(&spec.primary) != after.primary.as_ref();
            // A status that was wiped does not make a change of the role a new one.
            let known = before.and_then(|before| before.switch.as_ref());
            let noted = self.moving.replace(switch.clone());
            let known = known.or(noted.as_ref());
            let begun = known.is_none_or(|known| {
                known.epoch != switch.epoch || unfinished(known) != unfinished(switch)
            });
            if begun && switch.step == SwitchStep::StopApplication {
                self.begins(spec, after, switch);
            }
            let was_withdrawn = |s: &SwitchStatus| s.cancelled.as_deref() == Some(WITHDRAWN);
            if was_withdrawn(switch) && !known.is_some_and(was_withdrawn) && !self.taken_back {
                self.fail("a role change is cancelled, and nobody has taken it back".into());
            }
        }
    }
}

impl Oracle {
    /// Nobody is asked to consent to the loss of writes that do not exist (D-10).
    fn is_rightly_held(
        &mut self,
        before: Option<&ReplicationPairStatus>,
        after: &ReplicationPairStatus,
    ) {
        let held = |status: &ReplicationPairStatus, name: &str| {
            let site = status.sites.iter().find(|site| site.name == name);
            site.is_some_and(|site| site.diverged)
        };
        for (at, name) in (0..).zip(SITES) {
            let newly = held(after, name) && !before.is_some_and(|before| held(before, name));
            if let (true, Some(ours), Some(theirs)) = (newly, &self.seen[at], &self.seen[1 - at])
                && theirs.role == Role::Primary
                && ours.follows(&theirs.lineage)
            {
                self.fail(format!(
                    "{name} is held for consent, though it only follows"
                ));
            }
        }
    }

    /// A change of the role begins: somebody has asked for it, and its site can take it.
    fn begins(
        &mut self,
        spec: &ReplicationPairSpec,
        status: &ReplicationPairStatus,
        switch: &SwitchStatus,
    ) {
        let to = switch.to.as_str();
        self.taken_back = false;
        let asked = match &switch.request {
            Some(request) => {
                let first = self.followed.insert(request.uid.clone());
                let asked = self.asked.get(&request.uid);
                first
                    && asked.is_some_and(|asked| {
                        asked.site == to && Some(asked.epoch) == status.epoch && !asked.cancel
                    })
            }
            None => spec.primary == to && self.primary_edited,
        };
        if !asked {
            self.fail(format!(
                "the role is to move to {to}, and nobody has asked for it"
            ));
        }
        let at = usize::from(to == SITES[1]);
        if self.seen[at].as_ref().is_some_and(|record| record.diverged) {
            self.fail(format!(
                "the role is to move to {to}, which has writes of its own"
            ));
        }
    }
}
