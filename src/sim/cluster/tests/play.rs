//! What tests of whole lives need: a pair at rest, going on until something holds, and what the operator
//! has begun to do.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::cluster::ClusterOptions;
use crate::cluster::asked::promotion;
use crate::cluster::reconcile::Operator;
use crate::cluster::world::{PAIR, SITES, World};
use crate::fuse::Death;
use crate::story::Story;
use api::v1alpha1::{CyclePhase, PromotionKind, ReplicationPairSpec};
use api::{Reason, conditions, names};
use k8s_openapi::api::core::v1::Pod;
use planner::decide::{Action, Decision, ShipPlan, decide};
use planner::observe::Observed;
use planner::validate::validate;
use protocol::units::{PairName, Point};
use wire::control::Request;

/// The first primary.
pub(super) const EAST: usize = 0;
/// The first standby.
pub(super) const WEST: usize = 1;

/// More steps than any part of a life takes.
const STEPS_MAX: u32 = 6_000;

/// Steps without anything to do in which a pair counts as at rest.
const IDLE_STEPS: u32 = 20;

impl World {
    /// A pair that was just applied, with cycles only when they are asked for, and drivers that answer.
    pub(super) fn applied(seed: u64, change: impl FnOnce(&mut ReplicationPairSpec)) -> World {
        let story = Story::new(false);
        let mut world = World::new(seed, &ClusterOptions::default(), story).unwrap();
        world.lists_given = true;
        world.edit(|spec| {
            spec.snapshot.interval = "1h".into();
            spec.quiesce.hooks.clear();
            change(spec);
        });
        world
    }

    /// A pair that has its first copy and is at rest.
    pub(super) fn at_rest(seed: u64, change: impl FnOnce(&mut ReplicationPairSpec)) -> World {
        let mut world = World::applied(seed, change);
        world.until("the first copy", |world| {
            world.committed().is_some() && world.app_runs()
        });
        world.rests();
        world
    }

    /// Goes on without faults until `done`.
    pub(super) fn until(&mut self, what: &str, done: impl Fn(&World) -> bool) {
        for _ in 0..STEPS_MAX {
            if done(self) {
                return;
            }
            self.step(false).unwrap();
        }
        let status = self.status().clone();
        panic!(
            "{what} does not come: {:?} {:?} {:?}",
            status.cycle, status.switch, status.waiting
        );
    }

    /// Goes on while whoever reaches its peer loses it at once, until a cycle is abandoned.
    pub(super) fn lose_the_peer_until_a_cycle_fails(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.status().last_failure.is_some() {
                return;
            }
            let now = self.millis();
            self.net.cut(now);
            self.step(false).unwrap();
        }
    }

    /// The application writes, and that is committed.
    pub(super) fn commit_something(&mut self) {
        let before = self.committed();
        self.app_writes();
        self.ask_for_cycle();
        self.until("a commit", |world| world.committed() > before);
    }

    /// Goes on for some steps, in which no time is skipped.
    pub(super) fn steps(&mut self, count: u32) {
        let before = std::mem::replace(&mut self.time_creeps, true);
        for _ in 0..count {
            self.step(false).unwrap();
        }
        self.time_creeps = before;
    }

    /// Goes on until nothing has been done for a while.
    pub(super) fn rests(&mut self) {
        let before = std::mem::replace(&mut self.time_creeps, true);
        let mut idle = 0;
        for _ in 0..STEPS_MAX {
            let begun = self.begun.len();
            self.step(false).unwrap();
            let moves = self.begun.len() > begun
                || self.is_busy()
                || (0..2).any(|at| !self.mover_tasks(at).is_empty());
            idle = if moves { 0 } else { idle + 1 };
            if idle == IDLE_STEPS {
                self.time_creeps = before;
                return;
            }
        }
        panic!("does not come to rest: {:?}", self.under_way());
    }

    /// A cycle now, to its end.
    pub(super) fn cycle_now(&mut self) {
        self.ask_for_cycle();
        let token = self.server.pair.as_ref().unwrap().spec.sync_trigger.clone();
        self.until("the cycle", |world| {
            let status = world.status().clone();
            status.cycle.is_none() && status.last_sync_trigger == token
        });
        self.rests();
    }

    /// Somebody asks for a cycle now.
    pub(super) fn ask_for_cycle(&mut self) {
        let token = format!("at {}", self.server.now());
        self.edit(|spec| spec.sync_trigger = Some(token));
    }

    /// Goes on until the cycle has come to a phase.
    pub(super) fn until_phase(&mut self, phase: &CyclePhase) {
        self.until(&format!("phase {phase}"), |world| world.is_in(phase));
    }

    /// Whether the cycle is in a phase.
    pub(super) fn is_in(&self, phase: &CyclePhase) -> bool {
        let cycle = self.status().clone().cycle;
        cycle.is_some_and(|cycle| cycle.phase == *phase)
    }

    /// The committed point.
    pub(super) fn committed(&self) -> Option<Point> {
        let committed = self.status().clone().committed_point;
        committed.map(|point| point.point())
    }

    /// The primary's index.
    pub(super) fn leads(&self) -> usize {
        usize::from(self.status().primary.as_deref() == Some(SITES[1]))
    }

    /// Whether the status calls a site diverged.
    pub(super) fn is_diverged(&self, at: usize) -> bool {
        let sites = self.status().clone().sites;
        sites
            .iter()
            .any(|site| site.name == SITES[at] && site.diverged)
    }

    /// Whether a condition holds, and its reason.
    pub(super) fn condition(&self, kind: &str) -> (String, String) {
        let conditions = self.status().clone().conditions;
        let found = conditions::get(&conditions, kind).unwrap();
        (found.status.clone(), found.reason.clone())
    }

    /// Whether any condition has this reason.
    pub(super) fn says(&self, reason: &api::Reason) -> bool {
        let conditions = self.status().clone().conditions;
        conditions.iter().any(|c| c.reason == reason.as_str())
    }

    /// What would be decided now, of what is seen.
    pub(super) fn think(&mut self) -> Decision {
        let observed = self.observed();
        decide(&observed, &validate(&observed))
    }

    /// What the operator sees now.
    pub(super) fn observed(&mut self) -> Observed {
        let pair = self.server.pair.clone().unwrap();
        let name = PairName::new("shop", PAIR).unwrap();
        let timeline = self.operators[0].timeline.clone();
        self.observe(&pair, &name, timeline)
    }

    /// The operator ends, and another begins.
    pub(super) fn restart(&mut self) {
        self.operators[0] = Operator::default();
    }

    /// The status is lost, and the operator with it.
    pub(super) fn wipe(&mut self) {
        self.wipe_status();
        self.restart();
        self.server.changed();
    }

    /// A mover's pod.
    pub(super) fn mover_pod(&self, at: usize) -> Option<&Pod> {
        self.server.pods.get(&names::mover(PAIR, SITES[at]))
    }

    /// A forced promotion is asked for.
    pub(super) fn force(&mut self, at: usize) {
        self.promote(at, PromotionKind::Forced);
    }

    /// A promotion is asked for in the present epoch.
    pub(super) fn promote(&mut self, at: usize, kind: PromotionKind) {
        let epoch = self.status().epoch.unwrap();
        self.promote_in(at, kind, epoch);
    }

    /// A promotion is asked for in some epoch.
    pub(super) fn promote_in(&mut self, at: usize, kind: PromotionKind, epoch: i64) {
        self.ask(promotion(SITES[at], epoch, kind));
    }

    /// Somebody consents to discard a site's own writes.
    pub(super) fn discard(&mut self, at: usize, epoch: i64) {
        self.consent_to(at, epoch);
    }

    /// Whether the newest request for a move has succeeded, and the reason.
    pub(super) fn answer_to_newest(&self) -> Option<(String, String)> {
        let (_, newest) = self.server.asked.promotions.last_key_value()?;
        let conditions = &newest.status.as_ref()?.conditions;
        let end = conditions::get(conditions, conditions::SUCCEEDED)?;
        Some((end.status.clone(), end.reason.clone()))
    }

    /// Goes on until the newest request for a move is refused for a reason.
    pub(super) fn until_refused(&mut self, reason: &Reason) {
        let refused = Some(("False".to_string(), reason.as_str().to_string()));
        self.until(&format!("{reason}"), |world| {
            world.answer_to_newest() == refused
        });
    }

    /// Goes on until a site is primary, the application runs there, and the change has ended.
    pub(super) fn until_led_by(&mut self, at: usize) {
        self.until(&format!("{} to lead", SITES[at]), |world| {
            world.leads() == at && !world.is_moving() && world.app_runs()
        });
    }

    /// Which site's volume is behind the application's claim.
    pub(super) fn app_is_at(&self) -> Option<usize> {
        let handle = self
            .server
            .handle_of_claim(crate::cluster::world::APP_CLAIM)?;
        self.volumes
            .iter()
            .position(|volume| volume.as_ref() == Some(&handle))
    }

    /// Shipments that were begun.
    pub(super) fn ships(&self) -> Vec<ShipPlan> {
        let ships = self.begun.iter().filter_map(|action| match action {
            Action::Ship(plan) => Some(plan.as_ref().clone()),
            _ => None,
        });
        ships.collect()
    }

    /// Points that a site's snapshot was asked for, again for each time.
    pub(super) fn cuts_asked(&self, at: usize) -> Vec<Point> {
        let cuts = self.begun.iter().filter_map(|action| match action {
            Action::Cut(request) if request.site.as_str() == SITES[at] => Some(request.point),
            _ => None,
        });
        cuts.collect()
    }

    /// Points that a site has a snapshot of.
    pub(super) fn cuts_at(&self, at: usize) -> BTreeSet<Point> {
        self.storage_cuts(at).into_keys().collect()
    }

    /// Requests that the movers were sent.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&str, &Request)> {
        self.begun.iter().filter_map(|action| match action {
            Action::Command { site, request } => Some((site.as_str(), request)),
            _ => None,
        })
    }

    /// A site's state volume is put back to an older copy, or to nothing, and its mover ends.
    pub(super) fn put_state_back(&mut self, at: usize, copy: Option<&crate::SimDisk>) {
        self.end_mover(at, Some(Death::Kill));
        self.server.delete_pod(&names::mover(PAIR, SITES[at]), None);
        let claim = names::state_claim(PAIR, SITES[at]);
        let handle = self.server.handle_of_claim(&claim).unwrap();
        self.server.storage.put_files_back(&handle, copy);
        self.forget_site(at);
    }

    /// A copy of a site's state volume.
    pub(super) fn copy_of_state(&self, at: usize) -> crate::SimDisk {
        let claim = names::state_claim(PAIR, SITES[at]);
        let handle = self.server.handle_of_claim(&claim).unwrap();
        self.server.storage.files(&handle).unwrap().clone_durable(1)
    }

    /// A copy of all that a site has.
    pub(super) fn copy_of_site(&self, at: usize) -> [crate::SimDisk; 2] {
        let volume = self.volumes[at].as_ref().unwrap();
        let device = self.server.storage.device(volume).unwrap();
        [self.copy_of_state(at), device.backup(1)]
    }

    /// All that a site has is put back to an older copy.
    pub(super) fn put_site_back(&mut self, at: usize, [state, device]: &[crate::SimDisk; 2]) {
        self.put_state_back(at, Some(state));
        let volume = self.volumes[at].clone().unwrap();
        self.server.storage.put_device_back(&volume, device);
    }

    /// The movers' devices do not answer for an hour: what is shipped is under way.
    pub(super) fn hang(&mut self, hangs: bool) {
        let until = match hangs {
            true => self.millis() + 3_600_000,
            false => 0,
        };
        for mover in self.movers.iter_mut().flatten() {
            mover.host.slow_until(until, 0);
        }
    }

    /// Hours, minutes, seconds go by at once.
    pub(super) fn pass_seconds(&mut self, seconds: i64) {
        self.pass(SignedDuration::from_secs(seconds));
    }
}
