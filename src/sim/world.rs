//! A whole pair: two sites, a link, an operator, an application, and the clock that they live by.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::SimDisk;
use crate::faults::Faults;
use crate::fuse::{Death, Fuse, FusedDisk};
use crate::hear::DIAL_MS;
use crate::link::Net;
use crate::mutations;
use crate::operator::Operator;
use crate::oracle::Oracle;
use crate::process::{Process, Setup, ShipRequest};
use crate::rules::Wrong;
use crate::story::Story;
use crate::volume::Volume;
use protocol::changes::BLOCK_BYTES;
use protocol::pair::side::Command;
use protocol::pair::{Cause, Record, Refused};
use protocol::units::{Point, SiteName};
use storage::seam::DiskError;

/// Room on a state volume while it is not made to be full, in bytes.
pub(super) const META_BYTES: u64 = 32 << 20;

/// Orders that are remembered, to be given again.
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
    pub(super) process: Option<(Device, Process)>,
    pub(super) fuse: Fuse,
    /// Whether the application may write here.
    pub(super) open: bool,
    /// Something on the state volume was damaged since the last commit here.
    pub(super) damaged: bool,
    /// There was hardly any room on the state volume since the last commit here.
    pub(super) full: bool,
}

/// An order that was given, to be given again.
#[derive(Clone)]
pub(super) enum Given {
    Plain(Command),
    Ship(Box<ShipRequest>),
}

/// Everything.
pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: StdRng,
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

/// One thing that can happen next.
#[derive(Clone, Copy, Debug)]
enum Task {
    Operate,
    Write,
    Wire(u64, usize),
    Deliver(u64, usize),
    Dial(usize),
    Open(usize),
    Ship(usize),
    Receive(usize),
    Apply(usize),
    Answer(usize),
    Watch(usize),
}

impl World {
    /// The world that a seed makes.
    pub(super) fn new(seed: u64, wrong: Option<Wrong>, story: Story) -> Result<World, DiskError> {
        let mut random = StdRng::seed_from_u64(seed);
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
        let faults = Faults::drawn(&mut random);
        let mut world = World {
            now: 1_000,
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
        for site in 0..2 {
            self.bury(site);
        }
        let held = [0, 1].map(|site| self.sites[site].process.as_ref().and_then(|(_, p)| p.link));
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
            if let Some(link) = process.link {
                let due = self.net.due(link, at);
                add(
                    due.is_some_and(|due| due <= self.now),
                    Task::Deliver(link, at),
                );
            }
            add(process.dialing.is_some(), Task::Dial(at));
            add(process.opening.is_some(), Task::Open(at));
            add(process.can_ship(&self.net), Task::Ship(at));
            let receiving = process.receiving.as_ref();
            add(
                receiving.is_some_and(|r| !r.items.is_empty() || r.is_late(self.now)),
                Task::Receive(at),
            );
            add(process.applying.is_some(), Task::Apply(at));
            add(!process.asks.is_empty(), Task::Answer(at));
            tasks.push(Task::Watch(at));
        }
        tasks
    }

    fn perform(&mut self, task: Task, faulty: bool) {
        let now = self.now;
        let mut with = |at: usize, work: &mut dyn FnMut(&mut Process, &mut Net)| {
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
                    process.hear(arrival, &mut self.net, now);
                }
            }
            Task::Dial(at) => self.dial(at),
            Task::Open(at) => with(at, &mut |p, net| p.open(net, now)),
            Task::Ship(at) => with(at, &mut |p, net| p.ship_piece(net, now)),
            Task::Receive(at) => with(at, &mut |p, net| p.receive_piece(net, now)),
            Task::Apply(at) => with(at, &mut |p, net| p.apply(net, now)),
            Task::Answer(at) => with(at, &mut |p, net| p.answer(net)),
            Task::Watch(at) => with(at, &mut |p, net| p.watch(net, now)),
        }
    }

    fn dial(&mut self, at: usize) {
        let now = self.now;
        let there = self.sites[1 - at].process.is_some() && now >= self.net.down_until;
        let Some((_, process)) = &self.sites[at].process else {
            return;
        };
        let waited = process.dialing.map_or(0, |since| now.saturating_sub(since));
        let result = if there {
            let link = self.net.connect();
            if let Some((_, peer)) = &mut self.sites[1 - at].process {
                peer.accepted(link, &mut self.net, now);
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
            Some((has, process)) if *has == device => return process.unreadable.is_none(),
            Some(_) => self.stop(at, None),
            None => {}
        }
        let site = &mut self.sites[at];
        site.fuse = Fuse::default();
        let fuse = site.fuse.clone();
        let file = match device {
            Device::None => None,
            Device::Volume => site.volume.open(fuse.clone()),
            Device::Cut(point) => site.volume.open_cut(point),
        };
        let setup = Setup {
            site: at,
            name: site.name.clone(),
            disk: Arc::new(FusedDisk {
                disk: site.meta.clone(),
                fuse: fuse.clone(),
            }),
            device: file,
            fuse,
            wrong: self.wrong,
        };
        let process = Process::start(setup, self.now, &mut self.net);
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
            // Moves of the role stay: what an old one does much later is worth knowing.
            let plain =
                |(_, given): &(usize, Given)| !matches!(given, Given::Plain(Command::Promote(_)));
            let oldest = self.given.iter().position(plain).unwrap_or(0);
            self.given.remove(oldest);
        }
        self.deliver(at, given)
    }

    /// Gives an order, perhaps once more.
    pub(super) fn deliver(&mut self, at: usize, given: Given) -> Result<(), Refused> {
        let now = self.now;
        let Some((_, process)) = &mut self.sites[at].process else {
            return Err(Refused::new(Cause::PeerUnreachable, "there is no mover"));
        };
        let what = match &given {
            Given::Plain(order) => brief(order),
            Given::Ship(order) => format!(
                "Ship {} by {:?}, consent {:?}",
                order.ship.cycle, order.ship.list, order.ship.consent
            ),
        };
        let result = match given {
            Given::Plain(mut order) => {
                mutations::order(self.wrong, process.record(), &mut order);
                process.take(order, &mut self.net, now)
            }
            Given::Ship(order) => process.ship(*order, &mut self.net, now),
        };
        let answer = result.as_ref().err().map(ToString::to_string);
        self.story.tell(now, at, || match answer {
            None => format!("ordered: {what}"),
            Some(why) => format!("refused: {what}: {why}"),
        });
        self.bury(at);
        result
    }

    /// What the mover at a site says of its superblock, if it runs and can be reached.
    pub(super) fn report(&self, at: usize) -> Option<&Record> {
        let (_, process) = self.sites[at].process.as_ref()?;
        process.record().filter(|_| process.unreadable.is_none())
    }
}

fn brief(order: &Command) -> String {
    match order {
        Command::Init(init) => format!("Init as {:?}", init.role),
        Command::Ship(ship) => format!("Ship {}", ship.cycle),
        Command::Receive(cycle) => format!("Receive {cycle}"),
        Command::Commit(cycle) => format!("Commit {cycle}"),
        Command::Abort(why) => format!("Abort: {why}"),
        Command::Promote(promote) => format!("Promote to epoch {}", promote.epoch),
        Command::Demote(demote) => {
            format!(
                "Demote in epoch {}, clean at {:?}",
                demote.epoch, demote.clean_at
            )
        }
    }
}
