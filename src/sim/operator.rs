//! Requests as the operator makes them: cycles, commits with their snapshots, moves of the role, consent.
//! It reads what the movers show and does one thing at a time.

use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::extent_parts::{parts_of, transfer};
use crate::rules::Wrong;
use crate::verify::Verifying;
use crate::world::{Device, Given, Site, World};
use protocol::pair::Refused;
use protocol::units::{Epoch, Generation, PairId, Point, Role, Seq};
use wire::control::{
    Activity, ChangeList, InitRequest, ReceiveRequest, Request, ShipRequest, SuperblockReport,
};

/// How often one cut is tried.
pub(super) const ATTEMPTS_MAX: u32 = 5;

/// Where a cycle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Cutting,
    Starting,
    Shipping,
    Committing,
}

/// A cycle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cycle {
    pub(super) point: Point,
    pub(super) phase: Phase,
    pub(super) attempt: u32,
    pub(super) retry_at: u64,
    /// Whether this process of the operator has fed its list.
    pub(super) fed: bool,
}

/// Where a move of the role stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Gate,
    LastCut,
    Promote,
    Demote,
}

/// A move of the role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) forced: bool,
    pub(super) to: usize,
    pub(super) epoch: Epoch,
    pub(super) generation: Generation,
    pub(super) step: Move,
    pub(super) since: u64,
    pub(super) point: Option<Point>,
}

/// What the operator knows.
pub(super) struct Operator {
    seed: u128,
    pub(super) primary: usize,
    pub(super) epoch: Epoch,
    pub(super) committed: Option<Point>,
    pub(super) last_seq: u64,
    pub(super) cycle: Option<Cycle>,
    pub(super) switch: Option<Switch>,
    pub(super) consent: Option<Epoch>,
    pub(super) diverged: [bool; 2],
    pub(super) next_cycle: u64,
    /// The list that was last fed.
    list: Option<(Point, ChangeList)>,
    /// Blocks in a piece of which the driver notes changes.
    piece: u64,
    /// The last cycle came to nothing.
    pub(super) failed: bool,
    /// Nobody is primary in the newest epoch that is known.
    pub(super) leaderless: bool,
    /// The pair's status is lost: nothing is known before both movers have said what they know.
    pub(super) forgotten: bool,
    pub(super) verifying: Option<Verifying>,
    /// It ships to a side that it ought to hold: the mover has to refuse by itself.
    pub(super) careless: bool,
}

impl Operator {
    /// Of a pair that begins.
    pub(super) fn new(random: &mut StdRng) -> Operator {
        Operator {
            seed: u128::from(random.random::<u64>()) << 64,
            primary: 0,
            epoch: Epoch::FIRST,
            committed: None,
            last_seq: 0,
            cycle: None,
            switch: None,
            consent: None,
            diverged: [false; 2],
            next_cycle: 0,
            list: None,
            piece: [1, 1, 4][random.random_range(0..3)],
            failed: false,
            leaderless: false,
            forgotten: false,
            verifying: None,
            careless: false,
        }
    }

    /// The status is wiped. What people have written in the spec stays, and what the driver is like.
    pub(super) fn forget(&mut self) {
        *self = Operator {
            seed: self.seed,
            primary: self.primary,
            epoch: self.epoch,
            committed: None,
            last_seq: 0,
            cycle: None,
            switch: None,
            consent: self.consent,
            diverged: [false; 2],
            next_cycle: 0,
            piece: self.piece,
            list: None,
            failed: false,
            leaderless: false,
            forgotten: true,
            verifying: None,
            careless: false,
        };
    }

    /// The identity of an epoch.
    pub(super) fn generation(&self, epoch: Epoch, salt: u64) -> Generation {
        let n = self.seed | u128::from(salt) << 32 | u128::from(epoch.0);
        Generation(Uuid::from_u128(n))
    }
}

impl World {
    /// One reconcile.
    pub(super) fn operate(&mut self, faulty: bool) {
        if !self.begun() || !self.remember() || !self.adopt() {
            return;
        }
        if self.fence_old_primary() {
            return;
        }
        self.give_the_role_away(faulty);
        if let Some(switch) = self.operator.switch {
            self.move_on(switch, faulty);
        }
        self.cycle(faulty);
        self.sweep();
    }

    /// Whether both sides have their first superblock.
    fn begun(&mut self) -> bool {
        for at in 0..2 {
            if self.oracle.begun[at] {
                continue;
            }
            if self.want(at, Device::None) && self.report(at).is_none() {
                let role = if at == 0 {
                    Role::Primary
                } else {
                    Role::Standby
                };
                let generation = self.operator.generation(Epoch::FIRST, 0);
                let init = InitRequest {
                    pair_id: PairId(Uuid::from_u128(7)),
                    role,
                    epoch: Epoch::FIRST,
                    generation,
                    start: Seq(1),
                    never_writable: at == 1,
                    requested_primary: self.sites[0].name.clone(),
                    over_damage: false,
                };
                drop(self.give(at, Request::Init(init).into()));
            }
            self.oracle.begun[at] = self.report(at).is_some();
            return false;
        }
        true
    }

    /// Whether the status is there. One that was wiped is made again from what both movers say, and the
    /// highest number that was ever used from the snapshots too.
    fn remember(&mut self) -> bool {
        if !self.operator.forgotten {
            return true;
        }
        for at in 0..2 {
            let running = self.sites[at].process.as_ref().map(|(device, _)| *device);
            if !self.want(at, running.unwrap_or(Device::None)) {
                self.renew_stuck(at);
            }
        }
        if self.report(0).is_none() || self.report(1).is_none() {
            return false;
        }
        self.operator.last_seq = self.highest_known();
        self.operator.forgotten = false;
        true
    }

    /// The highest number that snapshots, devices and movers know of.
    fn highest_known(&self) -> u64 {
        let cuts = self.sites.iter().flat_map(|site| {
            let read = match site.process {
                Some((Device::Cut(point), _)) => Some(point),
                _ => None,
            };
            site.volume.snapshots.keys().copied().chain(read)
        });
        let reported = (0..2).filter_map(|at| self.report(at)).flat_map(|report| {
            [
                report.committed,
                report.applied,
                report.image.promotable_point(),
            ]
            .into_iter()
            .flatten()
        });
        cuts.chain(reported)
            .map(|point| point.seq.0)
            .max()
            .unwrap_or(0)
    }

    /// Whether anything is under way.
    pub(super) fn busy(&self) -> bool {
        self.operator.cycle.is_some()
            || self.operator.switch.is_some()
            || self.operator.verifying.is_some()
            || self.sites.iter().any(Site::has_work)
    }

    /// Takes over what the superblocks of the movers that run now say; whether it makes sense.
    fn adopt(&mut self) -> bool {
        let reports: Vec<(usize, SuperblockReport)> = (0..2)
            .filter_map(|at| Some((at, self.report(at)?.clone())))
            .collect();
        let Some(newest) = reports.iter().map(|(_, r)| r.epoch).max() else {
            return true;
        };
        let o = &mut self.operator;
        if newest < o.epoch && reports.len() < 2 {
            return true;
        }
        let leads = |r: &SuperblockReport| r.role == Role::Primary && r.epoch == newest;
        let mut leaders = reports.iter().filter(|(_, r)| leads(r));
        let early = |s: Switch| !s.forced && matches!(s.step, Move::Gate | Move::LastCut);
        o.leaderless = reports.len() == 2 && o.switch.is_none_or(early);
        match (leaders.next(), leaders.next()) {
            (Some(_), Some(_)) => return false,
            (Some((at, _)), None) => {
                (o.primary, o.leaderless) = (*at, false);
                o.diverged[*at] = false;
            }
            (None, _) if o.switch.is_some() => {}
            (None, _) => {
                // One that knows the epoch only as a standby is not the primary: the other one was.
                let standby = reports.iter().find(|(_, r)| r.epoch == newest);
                o.primary = standby.map_or(o.primary, |(at, _)| 1 - at);
            }
        }
        o.epoch = newest;
        if let Some((at, standby)) = reports.iter().find(|(at, _)| *at != o.primary) {
            // One that has missed the move of the role may hold writes of its own.
            o.diverged[*at] = standby.diverged || standby.role == Role::Primary;
            o.committed = standby.committed.filter(|_| !o.diverged[*at]);
        }
        true
    }

    fn cycle(&mut self, faulty: bool) {
        let epoch = self.operator.epoch;
        if self.operator.cycle.is_some_and(|c| c.point.epoch != epoch) {
            self.fail_cycle("it is of another epoch");
        }
        let Some(cycle) = self.operator.cycle else {
            return self.begin_if_due(faulty);
        };
        match cycle.phase {
            Phase::Cutting => {
                let at = self.operator.primary;
                self.cut(at, cycle.point);
                self.enter(Phase::Starting);
            }
            Phase::Starting => self.start(cycle, faulty),
            Phase::Shipping => self.watch_cycle(cycle),
            Phase::Committing => self.commit(cycle.point),
        }
    }

    fn begin_if_due(&mut self, faulty: bool) {
        let o = &self.operator;
        let last_cut = o.switch.is_some_and(|s| s.step == Move::LastCut);
        let moving = o.switch.is_some() && !last_cut;
        let held = o.diverged[1 - o.primary] && o.consent != Some(o.epoch) && !o.careless;
        if held || moving {
            return;
        }
        let early = self.now < o.next_cycle || self.verification_holds();
        if early && !last_cut {
            return self.verify(faulty);
        }
        self.operator.verifying = None;
        self.begin();
        if let Some(switch) = self.operator.switch.as_mut().filter(|_| last_cut) {
            switch.point = self.operator.cycle.map(|cycle| cycle.point);
        }
    }

    /// Begins a cycle with a number that was never used.
    fn begin(&mut self) {
        let known = (0..2).filter_map(|at| self.report(at));
        let reported = known.flat_map(|r| {
            let start = r
                .lineage
                .last()
                .map(|entry| entry.start.0.saturating_sub(1));
            [r.committed, r.applied]
                .into_iter()
                .flatten()
                .map(|p| p.seq.0)
                .chain(start)
        });
        let o = &self.operator;
        let mut seq = reported.chain([o.last_seq]).max().unwrap_or(0) + 1;
        if self.wrong == Some(Wrong::NumbersReused)
            && let Some(own) = self.report(o.primary).and_then(|r| r.committed)
        {
            seq = own.seq.0 + 1;
        }
        let point = Point {
            epoch: o.epoch,
            seq: Seq(seq),
        };
        self.operator.last_seq = seq;
        self.operator.cycle = Some(Cycle {
            point,
            phase: Phase::Cutting,
            attempt: 1,
            retry_at: 0,
            fed: false,
        });
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        if let Some(cycle) = &mut self.operator.cycle {
            cycle.phase = phase;
        }
    }

    pub(super) fn holds(&self, at: usize, point: Point) -> bool {
        self.report(at).is_some_and(|r| {
            r.role == Role::Standby && (r.applied == Some(point) || r.committed == Some(point))
        })
    }

    pub(super) fn start(&mut self, cycle: Cycle, faulty: bool) {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        if !self.sites[primary]
            .volume
            .snapshots
            .contains_key(&cycle.point)
        {
            return self.fail_cycle("the snapshot was deleted");
        }
        if self.holds(standby, cycle.point) {
            return self.enter(Phase::Committing);
        }
        if self.now < cycle.retry_at {
            return;
        }
        let ready = [
            self.want(primary, Device::Cut(cycle.point)),
            self.want(standby, Device::Volume),
        ];
        if ready != [true, true] {
            self.renew_stuck(primary);
            return self.renew_stuck(standby);
        }
        let need = self.sites[primary].volume.snapshots.get(&cycle.point);
        let need = need.map_or(0, |cut| cut.bytes.len() as u64);
        if self.sites[standby].volume.size() < need {
            self.sites[standby].volume.grow(need);
            return self.stop(standby, None);
        }
        // Whether the orders got through is seen in the movers' reports, never assumed.
        self.enter(Phase::Shipping);
        // Like a reconcile, this ends at the first order that is refused.
        drop(self.order_cycle(cycle, faulty));
    }

    fn order_cycle(&mut self, cycle: Cycle, faulty: bool) -> Result<(), Refused> {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        let activity = |at: usize| self.status(at).map(|status| status.activity);
        let shipping = match activity(primary) {
            Some(Activity::Shipping(point)) => Some(point),
            _ => None,
        };
        let receiving = match activity(standby) {
            Some(Activity::Receiving(point)) => Some(point),
            _ => None,
        };
        let again = || {
            let reason = "begins again".to_string();
            Given::from(Request::Abort { reason })
        };
        if shipping.is_some_and(|point| point != cycle.point || !cycle.fed) {
            self.give(primary, again())?;
        }
        if receiving.is_some_and(|point| point != cycle.point) {
            self.give(standby, again())?;
        }
        if receiving != Some(cycle.point) {
            let receive = ReceiveRequest {
                cycle: cycle.point,
                peer_site: self.sites[primary].name.clone(),
            };
            self.give(standby, Request::Receive(receive).into())?;
        }
        let order = self.ship_order(cycle.point, faulty);
        self.give(primary, order)?;
        self.oracle.attempts += 1;
        if let Some(cycle) = &mut self.operator.cycle {
            cycle.fed = true;
        }
        Ok(())
    }

    fn ship_order(&mut self, cycle: Point, faulty: bool) -> Given {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        let report = self.report(standby).cloned();
        let diverged = report.as_ref().is_some_and(|r| r.diverged);
        let base = report.and_then(|r| r.committed).filter(|_| !diverged);
        let piece = self.operator.piece;
        let volume = &self.sites[primary].volume;
        let mut list = (ChangeList::Nothing, None);
        match self.random.random_range(0..5) {
            0 => {}
            1 if !diverged => list = (ChangeList::Allocated, volume.allocated(cycle)),
            _ => {
                let peer = base.and_then(|base| self.sites[standby].volume.snapshots.get(&base));
                let common = peer.map_or(u64::MAX, |peer| peer.bytes.len() as u64);
                if let Some(base) = base
                    && let Some(blocks) = volume.delta(base, cycle, common, piece)
                {
                    list = (ChangeList::Delta { base }, Some(blocks));
                }
            }
        }
        let (kind, blocks) = list;
        let breaks = faulty && self.chance(4);
        if self.operator.list != Some((cycle, kind)) {
            // What comes by another list is another set.
            self.oracle.sent = None;
        }
        self.operator.list = Some((cycle, kind));
        let parts = blocks.map(|blocks| {
            let breaks_after = breaks.then(|| self.random.random_range(0..=blocks.len()));
            let size = self.random.random_range(1..24);
            parts_of(size, cycle, kind, &blocks, breaks_after)
        });
        let ship = ShipRequest {
            cycle,
            peer: String::new(),
            peer_site: self.sites[standby].name.clone(),
            changes: kind,
            changes_reason: String::new(),
            discard_consent: self.operator.consent,
            image: None,
            transfer: transfer(),
        };
        Given {
            request: Request::Ship(ship),
            parts: parts.unwrap_or_default(),
        }
    }
}
