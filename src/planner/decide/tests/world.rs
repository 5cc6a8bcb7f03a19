//! A small model of a cluster with two movers, so that whole lives of a pair can be decided on
//! without either. It does at once what a real one does in seconds.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use uuid::Uuid;

use crate::decide::tests::movers::view;
use crate::decide::{Action, Decision, Device, Report, absorb, decide};
use crate::observe::SnapshotFacts;
use crate::observe::{
    Application, Claim, Cut, Fresh, MoverPod, Observed, PodUse, SiteView, SourceClaim, Timeline,
    Volume, VolumeMode, remembered,
};
use crate::observe::{HookReport, HookTarget};
use crate::rebind::DesiredBinding;
use crate::validate::validate;
use api::ReplicationPair;
use protocol::units::{Epoch, Extent, Point, SiteName};
use wire::control::{Activity, CycleOutcome, SuperblockReport};

pub(super) const GIB: u64 = 1 << 30;

/// One site's side of the model.
#[derive(Clone, Debug)]
pub struct Side {
    pub replica: Option<Claim>,
    pub metadata: Option<Claim>,
    pub cuts: Vec<Cut>,
    pub sources: Vec<SourceClaim>,
    pub pod: Option<MoverPod>,
    pub disk: Option<SuperblockReport>,
    /// The superblock can't be read.
    pub damaged: bool,
    pub labelled: Option<Volume>,
    pub activity: Activity,
    pub last: Option<CycleOutcome>,
    pub version: u64,
    /// Its mover runs, but nobody can reach it.
    pub away: bool,
    /// Its mover could not read the superblock when it started.
    pub unreadable: bool,
}

/// The model.
#[derive(Clone, Debug)]
pub struct World {
    pub pair: ReplicationPair,
    pub app: Option<Claim>,
    pub users: Vec<PodUse>,
    pub replicas: Option<i64>,
    /// Whether the standby's new claim is not bound when the application's is.
    pub standby_claim_late: bool,
    pub sides: BTreeMap<String, Side>,
    pub now: Timestamp,
    pub timeline: Timeline,
    /// Snapshots are refused with this.
    pub snapshot_error: Option<String>,
    /// Sites whose snapshotter is stopped: bound, never cut.
    pub snapshotter_stopped: Option<String>,
    /// The next shipments fail with this many retryable failures.
    pub ship_failures: u32,
    /// Shipments go on and on.
    pub ship_held: bool,
    /// The slice that is being verified.
    pub verifying: Option<(Point, Extent)>,
    /// Where the standby's image is not what it should be.
    pub damage: Vec<Extent>,
    /// Nothing changes at the primary.
    pub quiet: bool,
    /// Everything that was done, for the test to look at.
    pub log: Vec<Action>,
    /// `pre` and `post` as they ran.
    pub hooks: Vec<&'static str>,
    pub pods: u32,
    /// A mover has refused an order of this round.
    pub refused: bool,
}

pub fn pair(yaml_spec: &str) -> ReplicationPair {
    let mut pair: ReplicationPair = serde_yaml::from_str(&format!(
        "apiVersion: ferry.dev/v1alpha1\nkind: ReplicationPair\nmetadata: {{name: orders, namespace: shop, generation: 1}}\nspec:\n{yaml_spec}"
    ))
    .unwrap();
    pair.metadata.creation_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    pair
}

pub const SPEC: &str = "  claimName: data
  primary: east
  sites: [{name: east, storageClassName: fast}, {name: west, storageClassName: fast-west}]
  snapshot: {interval: 1m}
";

fn claim(name: &str, volume: &str, mode: VolumeMode) -> Claim {
    Claim {
        name: name.into(),
        uid: format!("uid-{name}"),
        deleting: false,
        requested_bytes: GIB,
        capacity_bytes: GIB,
        bound: true,
        mode,
        storage_class: Some("fast".into()),
        volume: Some(Volume {
            name: format!("pv-{volume}"),
            driver: Some("d".into()),
            handle: Some(volume.into()),
        }),
        parked: false,
    }
}

impl Side {
    fn begin_shipping(&mut self, cycle: Point) {
        self.activity = Activity::Shipping(cycle);
        // The number of the cut is recorded before any of it is shipped.
        self.disk.as_mut().unwrap().applied = Some(cycle);
    }
}

impl World {
    pub fn new(spec: &str) -> World {
        let side = Side {
            replica: None,
            metadata: None,
            damaged: false,
            cuts: vec![],
            sources: vec![],
            pod: None,
            disk: None,
            labelled: None,
            activity: Activity::Idle,
            last: None,
            version: 1,
            away: false,
            unreadable: false,
        };
        World {
            pair: pair(spec),
            app: Some(claim("data", "east-volume", VolumeMode::Filesystem)),
            users: vec![],
            replicas: None,
            standby_claim_late: false,
            sides: BTreeMap::from([("east".into(), side.clone()), ("west".into(), side)]),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            timeline: Timeline::default(),
            snapshot_error: None,
            snapshotter_stopped: None,
            ship_failures: 0,
            ship_held: false,
            verifying: None,
            damage: vec![],
            quiet: false,
            log: vec![],
            hooks: vec![],
            pods: 0,
            refused: false,
        }
    }

    pub fn side(&mut self, site: &str) -> &mut Side {
        self.sides.get_mut(site).unwrap()
    }

    pub fn status(&self) -> api::ReplicationPairStatus {
        self.pair.status.clone().unwrap_or_default()
    }

    pub fn committed(&self) -> Option<Point> {
        self.status().committed_point.map(|point| point.point())
    }

    pub fn observed(&self) -> Observed {
        Observed {
            now: self.now,
            fresh: Fresh {
                pair_id: Uuid::new_v4(),
                generation: Uuid::new_v4(),
            },
            pair: self.pair.clone(),
            sites: self
                .sides
                .iter()
                .map(|(name, side)| SiteView {
                    app_claim: self.app.clone(),
                    app_users: self.users.clone(),
                    application: self.replicas.map(|n| Application::Found {
                        wanted: n,
                        present: n,
                        scaled_by: None,
                        claims_go_when_scaled: false,
                    }),
                    attached: Some(vec![]),
                    remembered: remembered(&self.pair, &name.parse().unwrap()),
                    ..view(name, side)
                })
                .collect(),
            rival: None,
            slot: true,
            verify_slot: true,
            timeline: self.timeline.clone(),
        }
    }

    /// Decides once and records the status, without doing anything.
    pub fn think(&mut self) -> Decision {
        let observed = self.observed();
        let decision = decide(&observed, &validate(&observed));
        self.pair.status = Some(decision.status.clone());
        self.timeline = decision.timeline.clone();
        decision
    }

    /// One round: decide, record, act; then the cluster does its part. Returns whether anything was
    /// done.
    pub fn round(&mut self) -> bool {
        let decision = self.think();
        let busy = !decision.actions.is_empty();
        self.refused = false;
        for action in decision.actions {
            // Like a reconcile, a round ends with the first order that is refused.
            if !self.refused {
                self.act(action);
            }
        }
        self.check();
        self.cluster();
        self.now += SignedDuration::from_millis(100);
        busy || decision.due.is_some_and(|due| due <= self.now)
    }

    /// Rounds until nothing happens for three in a row.
    pub fn settle(&mut self) {
        let mut idle = 0;
        for _ in 0..400 {
            idle = if self.round() { 0 } else { idle + 1 };
            if idle == 3 {
                return;
            }
        }
        panic!(
            "does not come to rest: {:#?}",
            self.log.iter().rev().take(12).collect::<Vec<_>>()
        );
    }

    /// An operator that was restarted: all that it kept in memory is gone.
    pub fn restart(&mut self) {
        self.timeline = Timeline::default();
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub fn act(&mut self, action: Action) {
        self.log.push(action.clone());
        match action {
            Action::MakeStateClaim { site, .. } => {
                let name = format!("orders-{site}-meta");
                self.side(site.as_str()).metadata =
                    Some(claim(&name, &name, VolumeMode::Filesystem));
            }
            Action::MakeReplicaClaim { site, bytes, .. } => {
                let names = [format!("orders-{site}-replica"), format!("{site}-volume")];
                let mut made = claim(&names[0], &names[1], VolumeMode::Block);
                made.requested_bytes = bytes;
                made.capacity_bytes = bytes;
                self.side(site.as_str()).replica = Some(made);
            }
            Action::Grow { claim, bytes } => self.grow(&claim, bytes),
            Action::Cut(request) => self.cut(&request.site, request.point),
            Action::AllowModeChange { content } => {
                for cut in self.sides.values_mut().flat_map(|side| &mut side.cuts) {
                    cut.mode_change_allowed |= cut.content.as_ref() == Some(&content);
                }
            }
            Action::MakeSourceClaim { site, point, .. } => {
                let name = format!("orders-{site}-{}-{}-read", point.epoch, point.seq);
                self.side(site.as_str()).sources.push(SourceClaim {
                    name,
                    point,
                    storage_class: Some("fast".into()),
                    bound: true,
                    deleting: false,
                });
            }
            Action::StartMover { site, device } => self.start(site.as_str(), &device),
            Action::StopMover { site, .. } => {
                let side = self.side(site.as_str());
                (side.pod, side.activity, side.last) = (None, Activity::Idle, None);
            }
            Action::DropCut { name, .. } => self.drop_cut(&name),
            Action::DropSourceClaim { name } => {
                let sides = self.sides.values_mut();
                sides.for_each(|s| s.sources.retain(|c| c.name != name));
            }
            Action::Command { site, request } => self.order(&site, request),
            Action::Probe(plan) => self.report(Report::Probed(plan.cycle, self.quiet)),
            Action::Ship(plan) => {
                self.side(plan.source.as_str()).begin_shipping(plan.cycle);
                self.report(Report::Fed(plan.cycle));
            }
            Action::Verify(plan) => self.compare(&plan),
            Action::Scale { replicas } => {
                self.replicas = Some(replicas);
                self.users.clear();
            }
            Action::SelectPods => self.select(),
            Action::Hold(_) => {
                self.hooks.push("pre");
                self.report(Report::Held(HookReport::default(), self.now));
            }
            Action::Release(_) => {
                self.hooks.push("post");
                self.report(Report::Released(HookReport::default(), self.now));
            }
            Action::Pace {
                bytes_per_second, ..
            } => self.report(Report::Paced(bytes_per_second)),
            Action::Rebind(desired) => self.rebind(&desired),
            Action::Retain { .. } => {}
        }
    }

    fn drop_cut(&mut self, name: &str) {
        for side in self.sides.values_mut() {
            let dropped = side.cuts.iter().find(|cut| cut.name == name);
            assert!(
                dropped.is_none_or(|cut| !cut.being_created),
                "{name} was deleted while the driver makes it, and stays for ever"
            );
            side.cuts.retain(|cut| cut.name != name);
        }
    }

    fn grow(&mut self, claim: &str, bytes: u64) {
        let sides = self.sides.values_mut();
        let claims = sides.flat_map(|side| [&mut side.replica, &mut side.metadata]);
        for grown in claims.flatten().filter(|own| own.name == claim) {
            grown.requested_bytes = bytes;
            grown.capacity_bytes = bytes;
        }
    }

    fn select(&mut self) {
        let target = HookTarget {
            hook: 0,
            pod: "app-0".into(),
            container: "app".into(),
        };
        self.report(Report::Selected(vec![target]));
    }

    fn report(&mut self, report: Report) {
        let status = self.pair.status.as_mut().unwrap();
        absorb(status, &mut self.timeline, report, self.now);
    }

    fn cut(&mut self, site: &SiteName, point: Point) {
        let cut = Cut {
            name: format!("orders-{site}-{}-{}", point.epoch, point.seq),
            version: None,
            point,
            created: None,
            ready: false,
            error: None,
            content: None,
            facts: None,
            being_created: false,
            mode_change_allowed: false,
            restore_bytes: Some(GIB),
            deleting: false,
        };
        self.side(site.as_str()).cuts.push(cut);
    }

    pub fn start(&mut self, site: &str, device: &Device) {
        self.pods += 1;
        let uid = format!("pod-{}", self.pods);
        self.side(site).unreadable = false;
        self.side(site).pod = Some(MoverPod {
            name: format!("orders-{site}-mover"),
            uid,
            ip: None,
            device_claim: device.claim().map(Into::into),
            deleting: false,
            ended: false,
            problem: None,
        });
    }

    fn rebind(&mut self, desired: &DesiredBinding) {
        let Some(primary) = desired.primary.clone() else {
            let closed = desired.closed.clone().unwrap().site;
            let volume = self.app.as_ref().and_then(|app| app.volume.clone());
            let side = self.side(closed.as_str());
            side.labelled = volume.or(side.labelled.clone());
            if let Some(app) = self.app.as_mut() {
                (app.bound, app.volume, app.parked) = (false, None, true);
            }
            self.report(Report::Rebound);
            return;
        };
        let standby = desired.standby.clone().unwrap();
        if self.sides.values().any(|side| side.pod.is_some()) {
            self.report(Report::RebindWaits("pods to end".into()));
            return;
        }
        assert!(
            self.users.is_empty(),
            "the application's claim was taken away from a pod"
        );
        self.app = Some(claim(
            "data",
            &primary.volume.handle,
            VolumeMode::Filesystem,
        ));
        if self.standby_claim_late {
            self.report(Report::RebindWaits("the standby's claim".into()));
            return;
        }
        let replica = claim(
            &format!("orders-{}-replica", standby.site),
            &standby.volume.handle,
            VolumeMode::Block,
        );
        self.side(primary.site.as_str()).labelled = self.app.as_ref().unwrap().volume.clone();
        self.side(standby.site.as_str())
            .labelled
            .clone_from(&replica.volume);
        self.side(primary.site.as_str()).replica = None;
        self.side(standby.site.as_str()).replica = Some(replica);
        self.report(Report::Rebound);
    }

    /// What the cluster and the movers do by themselves.
    fn cluster(&mut self) {
        let (now, error, stopped) = (
            self.now,
            self.snapshot_error.clone(),
            self.snapshotter_stopped.clone(),
        );
        for (name, side) in &mut self.sides {
            if let Some(pod) = side.pod.as_mut() {
                pod.ip.get_or_insert("10.0.0.1".into());
            }
            for cut in side.cuts.iter_mut().filter(|cut| !cut.ready) {
                cut.error.clone_from(&error);
                cut.being_created = stopped.as_ref() == Some(name);
                if error.is_none() && !cut.being_created {
                    cut.created = Some(now);
                    cut.ready = true;
                    cut.content = Some(format!("content-{}", cut.name));
                    cut.facts = Some(SnapshotFacts {
                        driver: "d".into(),
                        handle: cut.name.clone(),
                        volume_handle: Some(format!("{name}-volume")),
                        created_ns: i64::try_from(now.as_nanosecond()).ok(),
                        size_bytes: Some(GIB),
                    });
                }
            }
        }
        self.ship();
    }

    /// What must hold after every reconcile: two snapshots a side, and a third only while the site's
    /// superblock has not recorded the last commit. Those that the driver does not answer for can't be
    /// deleted yet, and a side with writes of its own keeps all until it has followed.
    fn check(&self) {
        let (sites, committed) = (self.status().sites, self.committed());
        for (name, side) in &self.sides {
            let diverged = sites.iter().any(|site| site.name == *name && site.diverged);
            let recorded = side.disk.as_ref().and_then(|disk| disk.committed);
            let cuts = side.cuts.iter().filter(|cut| !cut.being_created).count();
            let most = if diverged || recorded != committed {
                3
            } else {
                2
            };
            assert!(cuts <= most, "{name} has {cuts} snapshots");
        }
    }
}

pub fn epoch(world: &World) -> Epoch {
    Epoch(u64::try_from(world.status().epoch.unwrap()).unwrap())
}
