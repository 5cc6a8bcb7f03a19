//! The movers' pods: the mover's real core in each, on the devices of the node, and what it can do next.

use std::sync::Arc;

use kube::ResourceExt as _;

use crate::cluster::server::phase;
use crate::cluster::world::{PAIR, SITES, World};
use crate::fuse::{Death, Fuse, FusedDisk};
use crate::link::Net;
use crate::mover_host::{MoverHost, Setup};
use api::names;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use planner::observe::read;
use protocol::pair::{Cause, Refused};
use protocol::units::{PairName, Point, VolumeId};
use wire::control::MoverStatus;

/// A peer that can't be reached is dialed for this long, in milliseconds.
const DIAL_MS: u64 = 20_000;

/// How long one attempt to reach a peer takes that does not answer.
const DIAL_ATTEMPT: SignedDuration = SignedDuration::from_millis(1_000);

/// A mover's process: it lives as long as its pod runs.
pub(crate) struct Mover {
    /// The pod that it runs in.
    pub(crate) pod_uid: String,
    /// The handle of its state volume.
    pub(crate) state: String,
    /// The handle of its device.
    pub(crate) device: Option<String>,
    /// What was completely on the volume when it started.
    pub(crate) began_at: Option<Point>,
    /// The process.
    pub(crate) host: MoverHost,
    /// The report that the operator has seen last.
    pub(crate) shown: Option<MoverStatus>,
}

/// One thing that a mover can do next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MoverTask {
    /// A frame goes on the wire of a connection.
    Wire(u64),
    /// What was sent on a connection arrives.
    Deliver(u64),
    /// The peer is dialed.
    Dial,
    /// The superblock is saved.
    Save,
    /// Work begins, or its end is noticed.
    Work,
    /// A step of the shipment.
    Ship,
    /// A step of the receiver.
    Receive,
    /// Digests are read that were asked for.
    Answer,
    /// The operator sends the next part of its list.
    Part,
}

impl World {
    /// Starts the processes of pods that run, and ends those of pods that do not.
    pub(crate) fn sync_movers(&mut self) {
        for (at, site) in (0..).zip(SITES) {
            self.bury(at);
            let pod = self.server.pods.get(&names::mover(PAIR, site));
            let running = pod.filter(|pod| phase(pod) == "Running");
            let uid = running.and_then(|pod| pod.metadata.uid.as_deref());
            let known = self.movers[at].as_ref().map(|mover| mover.pod_uid.as_str());
            if uid == known {
                continue;
            }
            let running = running.cloned();
            self.end_mover(at, None);
            if let Some(pod) = running {
                self.start_mover(at, &pod);
                self.bury(at);
            }
        }
        let held = [0, 1].map(|at| self.movers[at].as_ref()?.host.link());
        self.net.forget(held);
    }

    fn start_mover(&mut self, at: usize, pod: &Pod) {
        let claims = |wanted: &str| {
            let mut claims = read::claims_of(pod);
            let found = claims.find(|(volume, _)| *volume == wanted);
            found.map(|(_, claim)| claim.to_string())
        };
        let handle = |claim: Option<String>| self.server.handle_of_claim(&claim?);
        let (Some(state), Ok(pair)) = (handle(claims("meta")), PairName::new("shop", PAIR)) else {
            return;
        };
        let device = handle(claims("volume"));
        if let (Some(claim), Some(device)) = (claims("volume"), &device) {
            self.rot_clone(at, &claim, device);
        }
        let writable = claims("volume") == Some(names::replica_claim(PAIR, SITES[at]));
        let storage = &self.server.storage;
        let fuse = Fuse::default();
        let Some(files) = storage.files(&state).cloned() else {
            return;
        };
        let opened = device.as_ref().and_then(|device| storage.device(device));
        let opened = opened.and_then(|device| match writable {
            true => device.open(fuse.clone()),
            false => Some(device.open_read_only()),
        });
        let setup = Setup {
            site: at,
            name: self.site(at),
            pair,
            disk: Arc::new(FusedDisk {
                disk: files,
                fuse: fuse.clone(),
            }),
            device: opened,
            read_only: !writable,
            volume: device.as_ref().map(|handle| VolumeId {
                driver: format!("{}.csi", SITES[at]),
                handle: handle.clone(),
            }),
            fuse,
            wrong: self.wrong,
            settings: self.settings,
            seed: rand::Rng::random(&mut self.random),
        };
        let now = self.millis();
        let what = match (&device, writable) {
            (None, _) => "no device",
            (Some(_), true) => "its volume",
            (Some(_), false) => "a cut",
        };
        self.story
            .tell(now, at, || format!("a mover starts with {what}"));
        let began_at = self.superblock(at).and_then(|record| record.applied);
        self.movers[at] = Some(Mover {
            pod_uid: pod.uid().unwrap_or_default(),
            state,
            device,
            began_at,
            host: MoverHost::start(setup, now, &mut self.net),
            shown: None,
        });
        let host = self.movers[at].as_ref().map(|mover| &mover.host);
        let error = host.and_then(|host| host.status().superblock_error.clone());
        if let Some(why) = error {
            let line = || format!("its superblock can't be used: {}", why.message);
            self.story.tell(now, at, line);
        }
        self.server.changed();
    }

    /// Ends a process: with its pod (`None`), or by a death that it did not choose.
    pub(crate) fn end_mover(&mut self, at: usize, death: Option<Death>) {
        let Some(mover) = self.movers[at].take() else {
            return;
        };
        let storage = &self.server.storage;
        let device = mover.device.and_then(|device| storage.device(&device));
        let disks = device.map(|device| &device.disk);
        let power = death == Some(Death::Power);
        for disk in disks.into_iter().chain(storage.files(&mover.state)) {
            match power {
                true => disk.crash(),
                false => disk.kill(),
            }
        }
        let now = self.millis();
        self.net.died(at, power, now);
        let how = match death {
            None => "ends",
            Some(Death::Kill) => "is killed",
            Some(Death::Power) => "loses power",
        };
        self.story.tell(now, at, || format!("the mover {how}"));
        self.server.changed();
    }

    /// A mover's process is stopped: it does nothing any more, and its pod runs.
    pub(crate) fn hang_mover(&mut self, at: usize) {
        self.hung[at] = self.movers[at].as_ref().map(|mover| mover.pod_uid.clone());
    }

    /// Whether a mover's process is stopped.
    pub(crate) fn is_hung(&self, at: usize) -> bool {
        let mover = self.movers[at].as_ref();
        mover.is_some_and(|mover| self.hung[at].as_ref() == Some(&mover.pod_uid))
    }

    /// Takes away a process that has died. Its pod is not started again: that is for its operator to do.
    pub(crate) fn bury(&mut self, at: usize) {
        let Some(mover) = &self.movers[at] else {
            return;
        };
        let death = mover.host.setup.fuse.blown();
        if death.is_some() || mover.host.exited {
            self.end_mover(at, death);
            self.server.fail_pod(&names::mover(PAIR, SITES[at]));
        }
    }

    /// What the mover of a site can do now; empty where it waits for something.
    pub(crate) fn mover_tasks(&self, at: usize) -> Vec<MoverTask> {
        let now = self.millis();
        let writers = self.net.writers().into_iter();
        let ours = writers.filter(|(_, side)| *side == at);
        let mut tasks: Vec<MoverTask> = ours.map(|(link, _)| MoverTask::Wire(link)).collect();
        let Some(mover) = &self.movers[at] else {
            return tasks;
        };
        let host = &mover.host;
        let due = host.link().filter(|link| {
            let due = self.net.due(*link, at);
            due.is_some_and(|due| due <= now)
        });
        tasks.extend(due.map(MoverTask::Deliver));
        let can = [
            (host.dialing.is_some(), MoverTask::Dial),
            (host.can_save(), MoverTask::Save),
            (host.can_work(now), MoverTask::Work),
            (host.can_ship(&self.net, now), MoverTask::Ship),
            (host.can_receive(now), MoverTask::Receive),
            (host.can_answer(now), MoverTask::Answer),
            (
                !host.parts.is_empty() && !self.is_cut_off(at),
                MoverTask::Part,
            ),
        ];
        tasks.extend(
            can.into_iter()
                .filter_map(|(can, task)| can.then_some(task)),
        );
        tasks
    }

    /// One step of a mover.
    pub(crate) fn mover_step(&mut self, at: usize, task: MoverTask) {
        let now = self.millis();
        match task {
            MoverTask::Wire(link) => self.net.write(link, at, now, &mut self.random),
            MoverTask::Deliver(link) => {
                if let Some(arrival) = self.net.take(link, at) {
                    self.with(at, |host, net| host.arrived(link, arrival, net, now));
                }
            }
            MoverTask::Dial => self.dial(at),
            MoverTask::Save => self.with(at, |host, net| host.save(net, now)),
            MoverTask::Work => self.with(at, |host, net| host.work(net, now)),
            MoverTask::Ship => self.with(at, |host, net| host.ship_step(net, now)),
            MoverTask::Receive => self.with(at, |host, net| host.receive_step(net, now)),
            MoverTask::Answer => self.with(at, |host, net| host.answer(net, now)),
            MoverTask::Part => self.with(at, |host, _| host.next_part()),
        }
    }

    /// Time has passed for a mover.
    pub(crate) fn mover_ticks(&mut self, at: usize) {
        let now = self.millis();
        self.with(at, |host, net| host.tick(net, now));
    }

    fn with(&mut self, at: usize, work: impl FnOnce(&mut MoverHost, &mut Net)) {
        if let Some(mover) = &mut self.movers[at] {
            work(&mut mover.host, &mut self.net);
        }
    }

    fn dial(&mut self, at: usize) {
        let now = self.millis();
        let cut_off = [0, 1].iter().any(|at| self.is_cut_off(*at));
        let there = self.movers[1 - at].is_some() && !cut_off;
        let since = self.movers[at]
            .as_ref()
            .and_then(|mover| mover.host.dialing);
        let Some((_, since)) = since else {
            return;
        };
        let result = if there {
            let (link, from) = (self.net.connect(), self.site(at));
            self.with(1 - at, |host, net| host.accepted(link, from, net, now));
            Ok(link)
        } else if now.saturating_sub(since) >= DIAL_MS {
            Err(Refused::new(Cause::PeerUnreachable, "nobody answers"))
        } else {
            return self.pass(DIAL_ATTEMPT);
        };
        self.with(at, |host, net| host.dialed(result, net, now));
    }

    /// Whether nobody reaches the mover of a site.
    pub(crate) fn is_cut_off(&self, at: usize) -> bool {
        self.away[at] || self.is_hung(at) || self.millis() < self.net.down_until
    }
}
