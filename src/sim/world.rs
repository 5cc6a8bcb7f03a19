//! A whole pair: two sites, a link, an operator, an application, and the clock that they live by.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::SimDisk;
use crate::faults::Faults;
use crate::fuse::{Death, Fuse, FusedDisk};
use crate::link::Net;
use crate::mover_host::{MoverHost, Setup};
use crate::operator::Operator;
use crate::oracle::Oracle;
use crate::rules::Wrong;
use crate::run::Options;
use crate::story::Story;
use crate::volume::Volume;
use mover_core::{Rules, Settings, translate};
use protocol::changes::{BLOCK_BYTES, Limits};
use protocol::pair::{Cause, Refused};
use protocol::units::{PairName, Point, SiteName};
use storage::seam::DiskError;
use wire::control::{MoverStatus, Request, Response, SuperblockReport};

/// Room on a state volume while it is not made to be full, in bytes.
pub(super) const META_BYTES: u64 = 32 << 20;

/// A peer that can't be reached is dialed for this long, in milliseconds.
const DIAL_MS: u64 = 20_000;

/// Requests that are remembered, to be made again.
const GIVEN_MAX: usize = 24;

/// What a mover is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// The state volume alone.
    None,
    /// The volume.
    Volume,
    /// A snapshot of this cut.
    Cut(Point),
}

/// A site.
pub(super) struct Site {
    pub(super) name: SiteName,
    pub(super) meta: SimDisk,
    pub(super) volume: Volume,
    pub(super) process: Option<(Device, MoverHost)>,
    pub(super) fuse: Fuse,
    /// Whether the application may write here.
    pub(super) open: bool,
    /// Something on the state volume was damaged since the last commit here.
    pub(super) damaged: bool,
    /// There was hardly any room on the state volume since the last commit here.
    pub(super) full: bool,
}

/// A request that was made, to be made again, and the list of changes that follows it.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) request: Request,
    pub(super) parts: Vec<Request>,
}

impl From<Request> for Given {
    fn from(request: Request) -> Given {
        Given {
            request,
            parts: Vec::new(),
        }
    }
}

/// Everything.
pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: StdRng,
    pub(super) pair: PairName,
    /// What the movers' pieces work by.
    pub(super) settings: Settings,
    pub(super) sites: [Site; 2],
    pub(super) net: Net,
    pub(super) operator: Operator,
    pub(super) oracle: Oracle,
    pub(super) faults: Faults,
    pub(super) story: Story,
    pub(super) wrong: Option<Wrong>,
    pub(super) given: VecDeque<(usize, Given)>,
    pub(super) next_tag: u64,
}

/// Limits so small that every split happens within a few blocks.
pub(super) fn tiny(random: &mut StdRng) -> Limits {
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

fn pair() -> Result<PairName, DiskError> {
    "shop/orders".parse().map_err(|_| {
        let error = std::io::Error::from(std::io::ErrorKind::InvalidInput);
        DiskError::new("name", "the pair", error)
    })
}

/// One thing that can happen next.
#[derive(Clone, Copy, Debug)]
enum Task {
    Operate,
    Write,
    Wire(u64, usize),
    Deliver(u64, usize),
    Dial(usize),
    Save(usize),
    Work(usize),
    Ship(usize),
    Receive(usize),
    Answer(usize),
    Part(usize),
    Tick(usize),
}

impl World {
    /// The world that a seed makes.
    pub(super) fn new(options: &Options) -> Result<World, DiskError> {
        let (wrong, story) = (options.wrong, Story::new(options.recorded));
        let mut random = StdRng::seed_from_u64(options.seed);
        let blocks = random.random_range(24..72);
        let odd = [0, 0, 512, 3584][random.random_range(0..4)];
        let size = blocks * BLOCK_BYTES - odd;
        let mut site = |name: &str| -> Result<Site, DiskError> {
            let name = name.parse().map_err(|_| {
                let error = std::io::Error::from(std::io::ErrorKind::InvalidInput);
                DiskError::new("name", name, error)
            })?;
            Ok(Site {
                name,
                meta: SimDisk::new(META_BYTES, random.random()),
                volume: Volume::new(size, random.random())?,
                process: None,
                fuse: Fuse::default(),
                open: false,
                damaged: false,
                full: false,
            })
        };
        let sites = [site("east")?, site("west")?];
        let faults = Faults::drawn(&mut random, &options.without, &options.later);
        let settings = Settings {
            limits: tiny(&mut random),
            rules: Rules::breaking(wrong.and_then(Wrong::rule)),
        };
        let mut world = World {
            now: 1_000,
            pair: pair()?,
            settings,
            sites,
            net: Net::default(),
            operator: Operator::new(&mut random),
            oracle: Oracle::new(size),
            faults,
            story,
            wrong,
            given: VecDeque::new(),
            next_tag: 0,
            random,
        };
        world.sites[0].open = true;
        Ok(world)
    }

    /// Whether something happens by chance.
    pub(super) fn chance(&mut self, one_in: u32) -> bool {
        one_in > 0 && self.random.random_range(0..one_in) == 0
    }

    /// One step: one thing happens, chosen by chance from all that can.
    pub(super) fn step(&mut self, faulty: bool) -> Result<(), String> {
        if faulty {
            self.fault();
        }
        let tasks = self.tasks();
        let task = tasks[self.random.random_range(0..tasks.len())];
        self.now += self.random.random_range(0..25);
        self.perform(task, faulty);
        self.note_astray();
        for site in 0..2 {
            self.bury(site);
        }
        let held = [0, 1].map(|site| {
            self.sites[site]
                .process
                .as_ref()
                .and_then(|(_, p)| p.link())
        });
        self.net.forget(held);
        self.check()
    }

    fn tasks(&self) -> Vec<Task> {
        let mut tasks = vec![Task::Operate, Task::Write];
        for (link, side) in self.net.writers() {
            tasks.extend([Task::Wire(link, side); 4]);
        }
        for (at, site) in (0..).zip(&self.sites) {
            let Some((_, process)) = &site.process else {
                continue;
            };
            let mut add = |wanted: bool, task: Task| {
                if wanted {
                    tasks.extend([task; 3]);
                }
            };
            if let Some(link) = process.link() {
                let due = self.net.due(link, at);
                add(
                    due.is_some_and(|due| due <= self.now),
                    Task::Deliver(link, at),
                );
            }
            add(process.dialing.is_some(), Task::Dial(at));
            add(process.can_save(), Task::Save(at));
            add(process.can_work(self.now), Task::Work(at));
            add(process.can_ship(&self.net, self.now), Task::Ship(at));
            add(process.can_receive(self.now), Task::Receive(at));
            add(process.can_answer(self.now), Task::Answer(at));
            add(!process.parts.is_empty(), Task::Part(at));
            tasks.push(Task::Tick(at));
        }
        tasks
    }

    fn perform(&mut self, task: Task, faulty: bool) {
        let now = self.now;
        let mut with = |at: usize, work: &mut dyn FnMut(&mut MoverHost, &mut Net)| {
            if let Some((_, process)) = &mut self.sites[at].process {
                work(process, &mut self.net);
            }
        };
        match task {
            Task::Operate => {
                self.now += self.random.random_range(0..1_000);
                self.operate(faulty);
            }
            Task::Write => self.application(faulty),
            Task::Wire(link, side) => self.net.write(link, side, now, &mut self.random),
            Task::Deliver(link, at) => {
                if let Some(arrival) = self.net.take(link, at)
                    && let Some((_, process)) = &mut self.sites[at].process
                {
                    process.arrived(link, arrival, &mut self.net, now);
                }
            }
            Task::Dial(at) => self.dial(at),
            Task::Save(at) => with(at, &mut |p, net| p.save(net, now)),
            Task::Work(at) => with(at, &mut |p, net| p.work(net, now)),
            Task::Ship(at) => with(at, &mut |p, net| p.ship_step(net, now)),
            Task::Receive(at) => with(at, &mut |p, net| p.receive_step(net, now)),
            Task::Answer(at) => with(at, &mut |p, net| p.answer(net, now)),
            Task::Part(at) => with(at, &mut |p, _| p.next_part()),
            Task::Tick(at) => with(at, &mut |p, net| p.tick(net, now)),
        }
    }

    fn dial(&mut self, at: usize) {
        let now = self.now;
        let there = self.sites[1 - at].process.is_some() && now >= self.net.down_until;
        let Some((_, process)) = &self.sites[at].process else {
            return;
        };
        let waited = process
            .dialing
            .map_or(0, |(_, since)| now.saturating_sub(since));
        let result = if there {
            let (link, from) = (self.net.connect(), self.sites[at].name.clone());
            if let Some((_, peer)) = &mut self.sites[1 - at].process {
                peer.accepted(link, from, &mut self.net, now);
            }
            Ok(link)
        } else if waited >= DIAL_MS {
            Err(Refused::new(Cause::PeerUnreachable, "nobody answers"))
        } else {
            self.now += 250;
            return;
        };
        if let Some((_, process)) = &mut self.sites[at].process {
            process.dialed(result, &mut self.net, now);
        }
    }

    /// Sees to it that a mover with this device runs at a site; whether it does.
    pub(super) fn want(&mut self, at: usize, device: Device) -> bool {
        let site = &mut self.sites[at];
        match &site.process {
            Some((has, process)) if *has == device => {
                return process.status().superblock_error.is_none();
            }
            Some(_) => self.stop(at, None),
            None => {}
        }
        self.rot_primary(at, device);
        let site = &mut self.sites[at];
        site.fuse = Fuse::default();
        let fuse = site.fuse.clone();
        let file = match device {
            Device::None => None,
            Device::Volume => site.volume.open(fuse.clone()),
            Device::Cut(point) => {
                let short = std::mem::take(&mut self.faults.short_cut);
                site.volume.open_cut(point, short)
            }
        };
        let setup = Setup {
            site: at,
            name: site.name.clone(),
            pair: self.pair.clone(),
            disk: Arc::new(FusedDisk {
                disk: site.meta.clone(),
                fuse: fuse.clone(),
            }),
            device: file,
            read_only: matches!(device, Device::Cut(_)),
            volume: None,
            fuse,
            wrong: self.wrong,
            settings: self.settings,
            seed: self.random.random(),
        };
        let process = MoverHost::start(setup, self.now, &mut self.net);
        self.story
            .tell(self.now, at, || format!("a mover starts with {device:?}"));
        self.sites[at].process = Some((device, process));
        self.bury(at);
        false
    }

    /// Ends a process: by itself (`None`), or by a death that it did not choose.
    pub(super) fn stop(&mut self, at: usize, death: Option<Death>) {
        let site = &mut self.sites[at];
        if site.process.take().is_none() {
            return;
        }
        let power = death == Some(Death::Power);
        if power {
            site.meta.crash();
            site.volume.disk.crash();
        } else {
            site.meta.kill();
            site.volume.disk.kill();
        }
        self.net.died(at, power, self.now);
        let how = match death {
            None => "ends",
            Some(Death::Kill) => "is killed",
            Some(Death::Power) => "loses power",
        };
        self.story.tell(self.now, at, || format!("the mover {how}"));
    }

    /// Takes away a process that has died.
    fn bury(&mut self, at: usize) {
        let Some((_, process)) = &self.sites[at].process else {
            return;
        };
        if let Some(death) = process.setup.fuse.blown() {
            self.stop(at, Some(death));
        } else if process.exited {
            self.stop(at, None);
        }
    }

    /// Gives an order to a site's mover, and remembers it.
    pub(super) fn give(&mut self, at: usize, given: Given) -> Result<(), Refused> {
        self.given.push_back((at, given.clone()));
        if self.given.len() > GIVEN_MAX {
            // Moves of the role stay: what an old one does much later has to be known.
            let plain = |(_, given): &(usize, Given)| !given.moves();
            let oldest = self.given.iter().position(plain).unwrap_or(0);
            self.given.remove(oldest);
        }
        self.deliver(at, given)
    }

    /// Makes a request, perhaps once more. What is not answered at once counts as not heard.
    pub(super) fn deliver(&mut self, at: usize, given: Given) -> Result<(), Refused> {
        let now = self.now;
        let Some((_, process)) = &mut self.sites[at].process else {
            return Err(Refused::new(Cause::PeerUnreachable, "there is no mover"));
        };
        let what = brief(&given.request);
        let ships = matches!(given.request, Request::Ship(_));
        let result = match process.request(given.request, &mut self.net, now) {
            Some(Response::Refused(why)) => {
                Err(Refused::new(translate::cause_of(why.kind), why.message))
            }
            Some(_) => Ok(()),
            None => Err(Refused::new(
                Cause::PeerUnreachable,
                "there is no answer yet",
            )),
        };
        if ships && result.is_ok() {
            process.parts = given.parts.into();
        }
        let answer = result.as_ref().err().map(ToString::to_string);
        self.story.tell(now, at, || match answer {
            None => format!("does: {what}"),
            Some(why) => format!("does not: {what}: {why}"),
        });
        self.bury(at);
        result
    }

    /// Where everything stands, in a line: what a run that does not end is stuck at.
    pub(super) fn brief(&self) -> String {
        let o = &self.operator;
        let sides: Vec<String> = (0..2)
            .map(|at| {
                let device = self.sites[at].process.as_ref().map(|(device, _)| *device);
                let report = self.report(at).map(|r| {
                    format!(
                        "{:?} in {}, {:?}, diverged {}",
                        r.role, r.epoch, r.image, r.diverged
                    )
                });
                format!("{} with {device:?}: {report:?}", self.sites[at].name)
            })
            .collect();
        format!(
            "{}; epoch {}, primary {}, switch {:?}, cycle {:?}, forgotten {}, leaderless {}",
            sides.join("; "),
            o.epoch,
            o.primary,
            o.switch,
            o.cycle,
            o.forgotten,
            o.leaderless
        )
    }

    /// What the mover at a site shows of itself, if it runs.
    pub(super) fn status(&self, at: usize) -> Option<&MoverStatus> {
        let (_, process) = self.sites[at].process.as_ref()?;
        Some(process.status())
    }

    /// What the mover at a site says of its superblock, if it runs and can be reached.
    pub(super) fn report(&self, at: usize) -> Option<&SuperblockReport> {
        let status = self.status(at)?;
        let usable = status.superblock_error.is_none();
        status.superblock.as_ref().filter(|_| usable)
    }
}

impl Site {
    /// Whether the mover here still does something to the state volume or the volume.
    pub(super) fn has_work(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|(_, process)| process.has_work() || process.can_save())
    }
}

impl Given {
    /// Whether it moves the role.
    pub(super) fn moves(&self) -> bool {
        matches!(self.request, Request::Promote(_))
    }
}

fn brief(request: &Request) -> String {
    match request {
        Request::Init(init) => format!("Init as {:?}", init.role),
        Request::Ship(ship) => format!(
            "Ship {} by {:?}, consent {:?}",
            ship.cycle, ship.changes, ship.discard_consent
        ),
        Request::Verify(verify) => format!("Verify {:?} of {}", verify.range, verify.cycle),
        Request::Receive(receive) => format!("Receive {}", receive.cycle),
        Request::Commit { cycle } => format!("Commit {cycle}"),
        Request::Abort { reason } => format!("Abort: {reason}"),
        Request::Promote(promote) => format!("Promote to epoch {}", promote.epoch),
        Request::Demote(demote) => format!(
            "Demote in epoch {}, clean at {:?}",
            demote.epoch, demote.clean_at
        ),
        other => format!("{other:?}"),
    }
}
