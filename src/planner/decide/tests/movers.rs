//! The movers of the model: what an order does to a superblock, and a shipment to a volume.

use crate::decide::VerifyPlan;
use crate::decide::tests::world::{GIB, Side, World};
use crate::observe::{SiteView, SnapshotClasses, StorageClassView};
use protocol::units::{
    ChangeSource, ChangeSourceUse, Extent, ImageState, Lineage, Point, Role, SiteName,
};
use wire::control::{
    Activity, CycleOutcome, CycleReport, DemoteRequest, MoverStatus, PromoteRequest, Refusal,
    RefusalKind, Request, SuperblockReport, VerifyReport,
};

impl World {
    pub(super) fn order(&mut self, site: &SiteName, request: Request) {
        let side = self.side(site.as_str());
        side.version += 1;
        match request {
            Request::Init(order) => {
                assert!(order.over_damage || !side.damaged, "a refused order");
                side.damaged = false;
                side.disk.get_or_insert(SuperblockReport {
                    pair_id: order.pair_id,
                    role: order.role,
                    epoch: order.epoch,
                    lineage: Lineage::starting(order.epoch, order.generation, order.start),
                    committed: None,
                    applied: None,
                    image: ImageState::None,
                    diverged: false,
                    requested_primary: order.requested_primary,
                });
            }
            Request::Receive(order) => {
                let busy =
                    matches!(side.activity, Activity::Receiving(other) if other != order.cycle);
                if busy || side.disk.as_ref().unwrap().role == Role::Primary {
                    self.refused = true;
                } else {
                    side.activity = Activity::Receiving(order.cycle);
                }
            }
            Request::Commit { cycle } => {
                let disk = side.disk.as_mut().unwrap();
                disk.committed = Some(cycle);
                disk.diverged = false;
                if disk.role == Role::Standby {
                    assert_eq!(disk.applied, Some(cycle), "committed what was not applied");
                    disk.image = ImageState::Consistent(cycle);
                }
            }
            Request::Abort { .. } => side.activity = Activity::Idle,
            Request::Promote(order) => {
                self.refused = !promoted(side.disk.as_mut().unwrap(), order);
            }
            Request::Demote(order) => demoted(side.disk.as_mut().unwrap(), order),
            other => panic!("unexpected order {other:?}"),
        }
    }

    pub(super) fn ship(&mut self) {
        let shipping = self
            .sides
            .iter()
            .find_map(|(name, side)| match side.activity {
                Activity::Shipping(point) => Some((name.clone(), point)),
                _ => None,
            });
        let Some((from, point)) = shipping else {
            return;
        };
        let to = self
            .sides
            .keys()
            .find(|name| **name != from)
            .unwrap()
            .clone();
        if self.ship_held || self.sides[&to].activity != Activity::Receiving(point) {
            return;
        }
        let verifying = self.verifying.take().filter(|(cut, _)| *cut == point);
        let outcome = if self.ship_failures > 0 {
            self.ship_failures -= 1;
            CycleOutcome::Failed {
                cycle: point,
                cause: Refusal {
                    kind: RefusalKind::Stalled,
                    message: "nothing moved".into(),
                },
                retryable: true,
            }
        } else if let Some((_, slice)) = verifying {
            self.verified(point, slice)
        } else {
            self.side(&to).disk.as_mut().unwrap().applied = Some(point);
            CycleOutcome::Applied(report(point))
        };
        for name in [from, to] {
            let side = self.side(&name);
            (side.activity, side.last, side.version) =
                (Activity::Idle, Some(outcome.clone()), side.version + 1);
        }
    }
}

impl World {
    /// Begins to compare a slice.
    pub(super) fn compare(&mut self, plan: &VerifyPlan) {
        self.verifying = Some((plan.cycle, plan.range));
        let side = self.side(plan.source.as_str());
        side.activity = Activity::Shipping(plan.cycle);
        side.version += 1;
    }

    /// Compares a slice, and repairs it.
    fn verified(&mut self, cycle: Point, slice: Extent) -> CycleOutcome {
        let range = Extent::new(slice.offset, slice.len.min(GIB - slice.offset));
        let (differing, rest): (Vec<Extent>, Vec<Extent>) = self
            .damage
            .iter()
            .copied()
            .partition(|at| (range.offset..range.end()).contains(&at.offset));
        self.damage = rest;
        let data_bytes = differing.iter().map(|at| at.len).sum();
        CycleOutcome::Verified(Box::new(VerifyReport {
            range,
            differing,
            cycle: CycleReport {
                change_source: ChangeSource::Verify,
                data_bytes,
                ..report(cycle)
            },
        }))
    }
}

/// Whether a side takes the order to become primary.
fn promoted(disk: &mut SuperblockReport, order: PromoteRequest) -> bool {
    if disk.role == Role::Primary || order.epoch != disk.epoch.next() {
        return false;
    }
    let point = disk.image.promotable_point();
    let point = point.expect("an image that is not complete was promoted");
    disk.role = Role::Primary;
    disk.epoch = order.epoch;
    disk.lineage = disk.lineage.promoted(point, order.epoch, order.generation);
    disk.image = ImageState::Consistent(point);
    disk.requested_primary = order.requested_primary;
    true
}

fn demoted(disk: &mut SuperblockReport, order: DemoteRequest) {
    disk.epoch = order.epoch;
    disk.requested_primary = order.requested_primary;
    if disk.role == Role::Standby {
        // Its image stays what it is.
        return;
    }
    disk.role = Role::Standby;
    disk.diverged = order.clean_at.is_none();
    disk.committed = order.clean_at;
    disk.applied = order.clean_at;
    if order.clean_at.is_some() {
        disk.lineage = order.lineage;
    }
}

fn report(cycle: Point) -> CycleReport {
    CycleReport {
        cycle,
        change_source: ChangeSource::Delta,
        read_bytes: 1,
        data_bytes: 1,
        zero_bytes: 0,
        wire_bytes: 1,
        digest: "d".into(),
        handshake_ms: 1,
        ship_ms: 1,
        apply_ms: 1,
    }
}

pub(super) fn view(name: &str, side: &Side) -> SiteView {
    let running = side.pod.as_ref().is_some_and(|pod| pod.ip.is_some()) && !side.away;
    SiteView {
        name: name.parse().unwrap(),
        rules: Default::default(),
        known: true,
        storage_class: Some(StorageClassView {
            name: "fast".into(),
            driver: "d".into(),
            expandable: true,
        }),
        snapshot_classes: SnapshotClasses {
            all: vec![("snap".into(), "d".into(), false)],
            ..Default::default()
        },
        immediate_classes: ["fast".to_string()].into(),
        snapshots_served: true,
        app_claim: None,
        app_users: vec![],
        application: None,
        replica_claim: side.replica.clone(),
        state_claim: side.metadata.clone(),
        labelled_volume: side.labelled.clone(),
        volumes: vec![],
        attached: None,
        replica_users: vec![],
        cuts: side.cuts.clone(),
        source_claims: side.sources.clone(),
        pod: side.pod.clone(),
        mover: running.then(|| MoverStatus {
            version: side.version,
            site: name.parse().unwrap(),
            superblock: side.disk.clone().filter(|_| !side.unreadable),
            superblock_error: (side.damaged || side.unreadable).then(|| Refusal {
                kind: RefusalKind::SuperblockUnreadable,
                message: "it can't be read".into(),
            }),
            device_bytes: side
                .pod
                .as_ref()
                .and_then(|pod| pod.device_claim.as_ref())
                .map(|_| GIB),
            activity: side.activity,
            progress: None,
            decision: None,
            change_source: Some(ChangeSourceUse {
                source: ChangeSource::Delta,
                reason: "the driver names what has changed".into(),
            }),
            last: side.last.clone(),
        }),
        remembered: None,
    }
}
