//! Verifications as the operator orders them: a range of the standby's image is compared with the
//! committed cut, and what has rotted there is fixed. A cycle that is due waits a while for it.

use rand::Rng;

use crate::extent_parts::transfer;
use crate::world::{Device, World};
use protocol::changes::BLOCK_BYTES;
use protocol::pair::Refused;
use protocol::units::{Extent, ImageState, Point, Role};
use wire::control::{Activity, CycleOutcome, ReceiveRequest, Request, VerifyRequest};

/// A cycle that is due waits so long at most, in milliseconds.
const WAIT_MAX_MS: u64 = 30_000;

/// A verification of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verifying {
    point: Point,
    range: Extent,
    /// The movers that run now were ordered.
    ordered: bool,
    until: u64,
}

impl World {
    /// A bit of a standby's image turns round, and nobody notices.
    pub(super) fn rot(&mut self, at: usize) {
        let whole = self.oracle.record(at).is_some_and(|record| {
            let consistent = matches!(record.image, ImageState::Consistent(_));
            record.role == Role::Standby && !record.diverged && consistent
        });
        if !whole || self.operator.verifying.is_some() {
            return;
        }
        let byte = self.random.random_range(0..self.sites[at].volume.size());
        let bit = self.random.random_range(0..8);
        self.sites[at].volume.flip(byte, bit);
        self.oracle.rotted(at, byte / BLOCK_BYTES);
    }

    /// Whether a cycle that is due waits.
    pub(super) fn verification_holds(&self) -> bool {
        let verifying = self.operator.verifying;
        verifying.is_some_and(|verifying| self.now < verifying.until)
    }

    /// Goes on with a verification, or begins one.
    pub(super) fn verify(&mut self, faulty: bool) {
        let Some(point) = self.comparable() else {
            self.operator.verifying = None;
            return;
        };
        match self.operator.verifying {
            None => self.begin_verification(point, faulty),
            Some(v) if v.point != point || self.now >= v.until => self.operator.verifying = None,
            Some(v) if !v.ordered => self.order_verification(v),
            Some(v) => self.watch_verification(v),
        }
    }

    /// The committed cut, where both sides are at it.
    fn comparable(&self) -> Option<Point> {
        let o = &self.operator;
        let (primary, standby) = (&self.sites[o.primary], 1 - o.primary);
        let idle = o.switch.is_none() && !o.diverged[standby];
        let point = o.committed.filter(|point| idle && point.epoch == o.epoch)?;
        primary
            .volume
            .snapshots
            .contains_key(&point)
            .then_some(point)
    }

    fn begin_verification(&mut self, point: Point, faulty: bool) {
        let snapshots = &self.sites[self.operator.primary].volume.snapshots;
        let size = snapshots
            .get(&point)
            .map_or(0, |cut| cut.bytes.len() as u64);
        let range = if !faulty {
            Extent::new(0, size)
        } else if self.chance(6) {
            let first = self.random.random_range(0..size / BLOCK_BYTES) * BLOCK_BYTES;
            let len = self.random.random_range(1..=size - first);
            Extent::new(first, len.next_multiple_of(BLOCK_BYTES).min(size - first))
        } else {
            return;
        };
        self.operator.verifying = Some(Verifying {
            point,
            range,
            ordered: false,
            until: self.now + WAIT_MAX_MS,
        });
    }

    fn order_verification(&mut self, verifying: Verifying) {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        let ready = [
            self.want(primary, Device::Cut(verifying.point)),
            self.want(standby, Device::Volume),
        ];
        if ready != [true, true] {
            self.renew_stuck(primary);
            return self.renew_stuck(standby);
        }
        // Where it is refused it is over, and another begins some time.
        let ordered = self.give_verification(verifying);
        self.operator.verifying = ordered.ok().map(|()| Verifying {
            ordered: true,
            ..verifying
        });
    }

    fn give_verification(&mut self, verifying: Verifying) -> Result<(), Refused> {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        // What the one before has staged is of another run.
        self.oracle.sent = None;
        for at in [primary, standby] {
            let reason = "it is verified".to_string();
            self.give(at, Request::Abort { reason }.into())?;
        }
        let receive = ReceiveRequest {
            cycle: verifying.point,
            peer_site: self.sites[primary].name.clone(),
        };
        self.give(standby, Request::Receive(receive).into())?;
        let verify = VerifyRequest {
            cycle: verifying.point,
            peer: String::new(),
            peer_site: self.sites[standby].name.clone(),
            range: verifying.range,
            read_bytes_per_second: None,
            transfer: transfer(),
        };
        self.give(primary, Request::Verify(verify).into())
    }

    fn watch_verification(&mut self, verifying: Verifying) {
        let (primary, standby) = (self.operator.primary, 1 - self.operator.primary);
        let Some(source) = self.status(primary) else {
            self.operator.verifying = None;
            return;
        };
        if matches!(source.activity, Activity::Shipping(_)) {
            return;
        }
        // What an earlier one has found is of another run: movers that are asked to verify have done
        // nothing since.
        let verified = match &source.last {
            Some(CycleOutcome::Verified(report)) => {
                report.cycle.cycle == verifying.point && report.range == verifying.range
            }
            _ => false,
        };
        self.operator.verifying = None;
        if verified {
            let range = verifying.range;
            self.story
                .tell(self.now, standby, || format!("{range:?} is verified"));
            self.oracle.verified(standby, range);
        }
    }
}
