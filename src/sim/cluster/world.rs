//! The cluster, who acts on it, and what happens next.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::app::App;
use crate::cluster::faults::Faults;
use crate::cluster::manifests::Manifests;
use crate::cluster::mover::Mover;
use crate::cluster::oracle::Oracle;
use crate::cluster::reconcile::Operator;
use crate::cluster::run::ClusterOptions;
use crate::cluster::scheduler::NODES;
use crate::cluster::server::{Server, is_going};
use crate::cluster::workload::Workload;
use crate::story::Story;
use kube::ResourceExt as _;
use planner::mutations::Rules;
use planner::observe::Classes;
use planner::rebind::object::VolumeExt as _;
use protocol::units::SiteName;

/// The pair's name.
pub(crate) const PAIR: &str = "orders";
/// The sites; the first is primary at first.
pub(crate) const SITES: [&str; 2] = ["east", "west"];
/// The application's claim.
pub(crate) const APP_CLAIM: &str = "data";
/// The application's pod.
pub(crate) const APP_POD: &str = "db-0";

/// Everything.
pub(crate) struct World {
    pub(crate) random: StdRng,
    pub(crate) server: Server,
    pub(crate) classes: Classes,
    pub(crate) operators: Vec<Operator>,
    pub(crate) movers: [Option<Mover>; 2],
    pub(crate) app: App,
    pub(crate) oracle: Oracle,
    pub(crate) faults: Faults,
    pub(crate) story: Story,
    /// Nobody reaches a mover before this.
    pub(crate) net_down_until: Timestamp,
    /// The handle of each site's volume, once it is known.
    pub(crate) volumes: [Option<String>; 2],
    /// The application's claim as its people apply it.
    pub(crate) manifest: PersistentVolumeClaim,
    /// What the story has said of the change of the role.
    pub(crate) recorded: Option<String>,
    sites: [SiteName; 2],
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug)]
enum Task {
    Operate(usize),
    Mover(usize),
    Poll(usize),
    Bind,
    CatchUp,
    Unprotect,
    Reclaim,
    Provision,
    Snapshot,
    Pod,
    Detach,
    Workload,
    Write,
    Wait,
}

impl World {
    /// The world that a seed makes.
    ///
    /// # Errors
    /// When its objects can't be made, which is a defect of ours.
    pub(crate) fn new(seed: u64, options: ClusterOptions, story: Story) -> Result<World, String> {
        let mut random = StdRng::seed_from_u64(seed);
        let mode = ["Immediate", "WaitForFirstConsumer"][random.random_range(0..2)];
        let interval = ["10s", "30s", "5m"][random.random_range(0..3)];
        let faults = Faults::drawn(&mut random, options.later);
        let manifests = Manifests::new(mode, interval).map_err(|error| error.to_string())?;
        let mut server = Server {
            storage_classes: manifests.storage_classes,
            snapshot_classes: manifests.snapshot_classes,
            pair: Some(manifests.pair),
            rules: Rules::breaking(options.broken),
            workload: Some(Workload {
                pod: APP_POD.into(),
                claim: APP_CLAIM.into(),
                replicas: 1,
                claims_go_when_scaled: false,
                scaled_by: None,
            }),
            ..Server::default()
        };
        server.objects.now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24);
        let stamp = server.objects.stamp();
        if let Some(pair) = &mut server.pair {
            pair.metadata.resource_version = Some(stamp);
        }
        drop(server.put_claim(&manifests.claim));
        let site = |name: &str| name.parse().map_err(|_| "no site".to_string());
        Ok(World {
            random,
            classes: Classes::of(
                server.storage_classes.clone(),
                Some(server.snapshot_classes.clone()),
            ),
            server,
            operators: vec![Operator::default()],
            movers: [None, None],
            app: App::default(),
            oracle: Oracle::default(),
            faults,
            story,
            net_down_until: Timestamp::UNIX_EPOCH,
            volumes: [None, None],
            manifest: manifests.claim,
            recorded: None,
            sites: [site(SITES[0])?, site(SITES[1])?],
        })
    }

    /// A site's name.
    pub(crate) fn site(&self, at: usize) -> SiteName {
        self.sites[at].clone()
    }

    /// Now, in milliseconds, as the story tells it.
    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.server.now().as_millisecond()).unwrap_or(0)
    }

    /// One step: one thing happens, chosen by chance from all that can.
    ///
    /// # Errors
    /// What must not be.
    pub(crate) fn step(&mut self, faulty: bool) -> Result<(), String> {
        if faulty {
            self.fault();
        }
        let tasks = self.tasks(faulty);
        let task = tasks[self.random.random_range(0..tasks.len())];
        let ms = self.random.random_range(0..60);
        self.pass(SignedDuration::from_millis(ms));
        self.happens(task)?;
        self.sync_movers();
        self.check()
    }

    fn tasks(&self, faulty: bool) -> Vec<Task> {
        let mut tasks = vec![
            Task::Bind,
            Task::Unprotect,
            Task::Reclaim,
            Task::Provision,
            Task::Snapshot,
            Task::Snapshot,
            Task::Pod,
            Task::Pod,
            Task::Detach,
            Task::Workload,
            Task::Wait,
        ];
        if self.server.health.cache_lags {
            tasks.push(Task::CatchUp);
        }
        if faulty && self.app_runs() {
            tasks.extend([Task::Write; 2]);
        }
        for (number, operator) in (0..).zip(&self.operators) {
            if operator.is_due(self.server.now(), self.server.changes) {
                tasks.extend([Task::Operate(number); 8]);
            }
        }
        for at in 0..2 {
            if self.movers[at].is_some() {
                tasks.extend([Task::Mover(at); 5]);
                tasks.extend([Task::Poll(at); 2]);
            }
        }
        tasks
    }

    fn happens(&mut self, task: Task) -> Result<(), String> {
        match task {
            Task::Operate(number) => return self.operate(number),
            Task::Mover(at) => {
                self.mover_step(at);
            }
            Task::Poll(at) => self.poll(at),
            Task::Bind => {
                self.server.bind();
            }
            Task::CatchUp => self.server.catch_up(),
            Task::Unprotect => {
                self.server.unprotect();
            }
            Task::Reclaim => {
                self.server.reclaim();
            }
            Task::Provision => {
                self.server.provision();
            }
            Task::Snapshot => {
                let name = self.any(&self.server.snapshots.keys().cloned().collect::<Vec<_>>());
                self.server.snapshot_step(&name);
            }
            Task::Pod => {
                let name = self.any(&self.server.pods.keys().cloned().collect::<Vec<_>>());
                let node = NODES[self.random.random_range(0..NODES.len())];
                self.server.pod_step(&name, node);
            }
            Task::Detach => {
                self.server.detach();
            }
            Task::Workload => {
                self.server.workload_step();
            }
            Task::Write => {
                self.app_writes();
            }
            Task::Wait => self.wait(),
        }
        Ok(())
    }

    fn any(&mut self, names: &[String]) -> String {
        match names.len() {
            0 => String::new(),
            len => names[self.random.random_range(0..len)].clone(),
        }
    }

    /// Where no operator is at anything, time passes until one is.
    fn wait(&mut self) {
        let (now, changes) = (self.server.now(), self.server.changes);
        if self
            .operators
            .iter()
            .any(|operator| operator.is_due(now, changes))
        {
            return;
        }
        let due = self.operators.iter().map(|operator| operator.due).min();
        let longest = SignedDuration::from_secs(20);
        let until = due.unwrap_or(now).duration_since(now).min(longest);
        self.pass(until.max(SignedDuration::ZERO));
    }

    /// Whether anything is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.business().is_some()
    }

    /// What is under way.
    pub(crate) fn business(&self) -> Option<String> {
        let (now, changes) = (self.server.now(), self.server.changes);
        let due = |operator: &Operator| operator.is_due(now, changes);
        let status = self.status();
        let server = &self.server;
        let mut claims = server.objects.claims.values();
        let claim = claims.find(|claim| is_going(&claim.metadata));
        let mut pods = server.pods.values();
        let pod = pods.find(|pod| is_going(&pod.metadata));
        let mut snapshots = server.snapshots.values();
        let snapshot = snapshots.find(|snapshot| is_going(&snapshot.metadata));
        let going = [
            claim.map(|claim| claim.name_any()),
            pod.map(|pod| pod.name_any()),
            snapshot.map(|snapshot| snapshot.name_any()),
            self.leaving_volume(),
        ];
        let going = going.into_iter().flatten().next();
        let here = |what: &str, is: bool| is.then(|| what.to_string());
        going
            .map(|name| format!("{name} is going"))
            .or_else(|| here("the role moves", self.is_moving()))
            .or_else(|| here("a cycle runs", status.cycle.is_some()))
            .or_else(|| here("the application does not run", !self.app_runs()))
            .or_else(|| here("an operator is at work", self.operators.iter().any(due)))
    }

    /// A volume that is being deleted, or will be.
    fn leaving_volume(&self) -> Option<String> {
        let server = &self.server;
        let mut volumes = server.objects.volumes.values();
        let leaving = volumes.find(|volume| {
            let status = volume.status.as_ref();
            let phase = status.and_then(|status| status.phase.as_deref());
            let claim = volume.claim_ref().and_then(|claim| claim.name.as_ref());
            let gone = claim.is_some_and(|claim| !server.objects.claims.contains_key(claim));
            let released = phase == Some("Released") || gone;
            is_going(&volume.metadata) || (released && !volume.is_retained())
        });
        leaving.map(|volume| volume.name_any())
    }
}
