//! The cluster, who acts on it, and what happens next.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::app::App;
use crate::cluster::data_faults::DataFaults;
use crate::cluster::faults::Faults;
use crate::cluster::manifests::Manifests;
use crate::cluster::mover::{Mover, MoverTask};
use crate::cluster::oracle::Oracle;
use crate::cluster::reconcile::Operator;
use crate::cluster::resent::Resent;
use crate::cluster::rot::Rot;
use crate::cluster::run::{ClusterOptions, Focus};
use crate::cluster::scheduler::NODES;
use crate::cluster::server::{Server, is_going};
use crate::cluster::workload::Workload;
use crate::link::Net;
use crate::rules::Wrong;
use crate::story::Story;
use api::snapshots::VolumeSnapshotClass;
use mover_core::Settings;
use planner::mutations::Rules;
use planner::observe::Classes;
use planner::rebind::object::VolumeExt as _;
use protocol::changes::{BLOCK_BYTES, Limits};
use protocol::units::SiteName;

/// The pair's name.
pub(crate) const PAIR: &str = "orders";
/// The sites; the first is primary at first.
pub(crate) const SITES: [&str; 2] = ["east", "west"];
/// The application's claim.
pub(crate) const APP_CLAIM: &str = "data";
/// The application's pod.
pub(crate) const APP_POD: &str = "db-0";

/// The longest time that passes at once while nobody is at anything.
const WAIT_MAX: SignedDuration = SignedDuration::from_secs(20);

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
    pub(crate) data: DataFaults,
    pub(crate) resent: Resent,
    pub(crate) rot: Rot,
    pub(crate) story: Story,
    /// The connections between the movers.
    pub(crate) net: Net,
    /// What the movers' pieces work by.
    pub(crate) settings: Settings,
    /// The rule of the mover, or of what is below it, that is broken.
    pub(crate) wrong: Option<Wrong>,
    /// Whether anything goes wrong now.
    pub(crate) faulty: bool,
    /// Pages of digests that a volume has.
    pub(crate) pages: u32,
    /// Blocks in a piece of which the driver notes changes.
    pub(crate) piece: u64,
    /// The handle of each site's volume, once it is known.
    pub(crate) volumes: [Option<String>; 2],
    /// The application's claim as its people apply it.
    pub(crate) manifest: PersistentVolumeClaim,
    /// What the story has said of the change of the role.
    pub(crate) recorded: Option<String>,
    /// What the story has said of the primary and its epoch.
    pub(crate) roles: (Option<String>, Option<i64>),
    /// No time is skipped: somebody waits until nothing is under way.
    pub(crate) time_creeps: bool,
    /// Sites whose movers nobody reaches.
    pub(crate) away: [bool; 2],
    /// The pods whose movers' processes are stopped.
    pub(crate) hung: [Option<String>; 2],
    /// The drivers answer all that they are asked, instead of what chance has them answer.
    pub(crate) lists_given: bool,
    /// The application writes little, over and over, on storage that lists no changes.
    pub(crate) rewrites: bool,
    /// What the operators have begun to do, for tests to look at.
    #[cfg(test)]
    pub(crate) begun: Vec<planner::decide::Action>,
    /// Their names.
    pub(crate) sites: [SiteName; 2],
}

/// Limits so small that every split happens within a few blocks.
fn tiny(random: &mut StdRng) -> Limits {
    let blocks = random.random_range(2..6);
    Limits {
        batch_bytes: blocks * BLOCK_BYTES as usize,
        batch_regions: random.random_range(2..8),
        join_bytes: random.random_range(1..3) * BLOCK_BYTES as usize,
        job_reads: random.random_range(1..4),
        job_zero_bytes: random.random_range(8..24) * BLOCK_BYTES,
        request_blocks: [4, 16][random.random_range(0..2)],
        window_bytes: (blocks as u64 + random.random_range(1..6)) * BLOCK_BYTES,
        windows_in_flight: 2,
    }
}

/// K-17: every fourth cluster has snapshot classes that were made for backups, and retain.
fn retaining(mut classes: Vec<VolumeSnapshotClass>, seed: u64) -> Vec<VolumeSnapshotClass> {
    for class in classes.iter_mut().filter(|_| seed % 4 == 1) {
        class.deletion_policy = "Retain".into();
    }
    classes
}

/// What people have applied.
fn manifests(random: &mut StdRng, blocks: u64) -> Result<Manifests, String> {
    let mode = ["Immediate", "WaitForFirstConsumer"][random.random_range(0..2)];
    let interval = ["10s", "30s", "5m"][random.random_range(0..3)];
    let odd = [0, 0, 512, 3584][random.random_range(0..4)];
    let held = random.random_range(0..3) == 0;
    let manifests = Manifests::new(mode, interval, blocks * BLOCK_BYTES - odd, held);
    manifests.map_err(|error| error.to_string())
}

/// Blocks of a volume: some have many pages of digests.
fn volume_blocks(random: &mut StdRng) -> u64 {
    match random.random_range(0..16) {
        0 => random.random_range(256..1_100),
        _ => random.random_range(24..72),
    }
}

/// By how much the clocks of the drivers' storage are off.
fn clocks_off(random: &mut StdRng) -> BTreeMap<String, SignedDuration> {
    let hours = [0, 0, 0, -24, 24, 24 * 365];
    let mut off = || SignedDuration::from_hours(hours[random.random_range(0..hours.len())]);
    SITES
        .iter()
        .map(|site| (format!("{site}.csi"), off()))
        .collect()
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug)]
enum Task {
    Operate(usize),
    Mover(usize, MoverTask),
    Tick(usize),
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
    pub(crate) fn new(seed: u64, options: &ClusterOptions, story: Story) -> Result<World, String> {
        let mut random = StdRng::seed_from_u64(seed);
        let blocks = volume_blocks(&mut random);
        let manifests = manifests(&mut random, blocks)?;
        let faults = Faults::drawn(&mut random, options);
        let data = match options.focus {
            Focus::Cluster | Focus::Roles => DataFaults::only(&options.often_data),
            _ => DataFaults::drawn(&mut random, options),
        };
        let settings = Settings {
            limits: tiny(&mut random),
            rules: mover_core::Rules::breaking(options.wrong.and_then(Wrong::of_mover)),
        };
        let piece = [1, 1, 4][random.random_range(0..3)];
        let rewrites = options.rewrites || random.random_range(0..8) == 0;
        let mut server = Server {
            storage_classes: manifests.storage_classes,
            snapshot_classes: retaining(manifests.snapshot_classes, seed),
            pair: Some(manifests.pair),
            rules: Rules::breaking(options.wrong.and_then(Wrong::of_planner)),
            workload: Some(Workload::of(APP_POD, APP_CLAIM)),
            ..Server::default()
        };
        server.storage.seed = random.random();
        server.clocks_off = clocks_off(&mut random);
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
            data,
            resent: Resent::default(),
            rot: Rot::default(),
            story,
            net: Net::default(),
            settings,
            wrong: options.wrong,
            faulty: true,
            pages: u32::try_from(blocks / storage::journal::BLOCKS_PER_PAGE).unwrap_or(u32::MAX)
                + 1,
            piece,
            volumes: [None, None],
            manifest: manifests.claim,
            recorded: None,
            roles: (None, None),
            time_creeps: false,
            away: [false; 2],
            hung: [None, None],
            lists_given: false,
            rewrites,
            #[cfg(test)]
            begun: Vec::new(),
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
        self.faulty = faulty;
        if faulty {
            self.fault();
            self.data_fault();
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
        ];
        if !self.time_creeps {
            tasks.push(Task::Wait);
        }
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
        for at in (0..2).filter(|at| !self.is_hung(*at)) {
            for task in self.mover_tasks(at) {
                tasks.extend([Task::Mover(at, task); 4]);
            }
            if self.movers[at].is_some() {
                tasks.extend([Task::Poll(at), Task::Poll(at), Task::Tick(at)]);
            }
        }
        tasks
    }

    fn happens(&mut self, task: Task) -> Result<(), String> {
        match task {
            Task::Operate(number) => return self.operate(number),
            Task::Mover(at, task) => self.mover_step(at, task),
            Task::Tick(at) => self.mover_ticks(at),
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

    /// Where neither an operator nor a mover is at anything, time passes until one is.
    fn wait(&mut self) {
        let (now, changes) = (self.server.now(), self.server.changes);
        let mut operators = self.operators.iter();
        if operators.any(|operator| operator.is_due(now, changes))
            || (0..2).any(|at| !self.is_hung(at) && !self.mover_tasks(at).is_empty())
        {
            return;
        }
        let due = self.operators.iter().map(Operator::wakes).min();
        let until = due.unwrap_or(now).duration_since(now).min(WAIT_MAX);
        let arrives = self.arrives_in().unwrap_or(WAIT_MAX);
        self.pass(until.min(arrives).max(SignedDuration::ZERO));
    }

    /// In what time the next thing comes over a connection.
    fn arrives_in(&self) -> Option<SignedDuration> {
        let due = (0..2).filter_map(|at| {
            let link = self.movers[at].as_ref()?.host.link()?;
            self.net.due(link, at)
        });
        let in_ms = due.min()?.saturating_sub(self.millis());
        Some(SignedDuration::from_millis(i64::try_from(in_ms).ok()?))
    }

    /// Whether anything is under way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.under_way().is_empty()
    }

    /// What is under way, for whoever waits for its end.
    pub(crate) fn under_way(&self) -> Vec<&'static str> {
        let (now, changes) = (self.server.now(), self.server.changes);
        let due = |operator: &Operator| operator.is_due(now, changes);
        let server = &self.server;
        let mut claims = server.objects.claims.values().map(|claim| &claim.metadata);
        let mut pods = server.pods.values().map(|pod| &pod.metadata);
        let mut snapshots = server.snapshots.values().map(|snapshot| &snapshot.metadata);
        let released = server.objects.volumes.values().any(|volume| {
            let status = volume.status.as_ref();
            let phase = status.and_then(|status| status.phase.as_deref());
            let claim = volume.claim_ref().and_then(|claim| claim.name.as_ref());
            let gone = claim.is_some_and(|claim| !server.objects.claims.contains_key(claim));
            let released = phase == Some("Released") || gone;
            is_going(&volume.metadata) || (released && !volume.is_retained())
        });
        let all = [
            (released, "a volume goes"),
            (self.operators.iter().any(due), "an operator is at it"),
            (self.is_moving(), "the role moves"),
            (self.status().cycle.is_some(), "a cycle runs"),
            (!self.app_runs(), "the application does not run"),
            (self.app_is_held(), "the application is held"),
            (claims.any(is_going), "a claim goes"),
            (pods.any(is_going), "a pod goes"),
            (snapshots.any(is_going), "a snapshot goes"),
        ];
        let under_way = all.into_iter().filter(|(is, _)| *is);
        under_way.map(|(_, what)| what).collect()
    }
}
