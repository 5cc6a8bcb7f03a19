//! The effects of the movers' protocol, one at a time, on the storage and between the two.

use jiff::SignedDuration;
use kube::ResourceExt as _;

use crate::cluster::mover::{Changes, Mover};
use crate::cluster::server::phase;
use crate::cluster::world::{PAIR, SITES, World};
use api::names;
use planner::observe::read;
use protocol::pair::message::Message;
use protocol::pair::side::Event;
use protocol::pair::{Action, Cause, source, target};
use protocol::units::ChangeSource;

/// A peer that can't be reached is dialled for this long.
const DIAL: SignedDuration = SignedDuration::from_secs(20);

impl World {
    /// Starts the processes of pods that run, and ends those of pods that do not.
    pub(crate) fn sync_movers(&mut self) {
        for (at, site) in (0..).zip(SITES) {
            let pod = self.server.pods.get(&names::mover(PAIR, site));
            let running = pod.filter(|pod| phase(pod) == "Running").cloned();
            let uid = running.as_ref().and_then(|pod| pod.uid());
            let known = self.movers[at].as_ref().map(|mover| mover.pod_uid.clone());
            if uid == known {
                continue;
            }
            if known.is_some() {
                self.movers[at] = None;
                self.lose_link(1 - at);
            }
            let Some((pod, uid)) = running.zip(uid) else {
                continue;
            };
            let claims = |wanted: &str| {
                let mut claims = read::claims_of(&pod);
                let found = claims.find(|(volume, _)| *volume == wanted);
                found.map(|(_, claim)| claim.to_string())
            };
            let handle = |claim: Option<String>| self.server.handle_of_claim(&claim?);
            let Some(state) = handle(claims("meta")) else {
                continue;
            };
            let found = self.server.storage.volumes.get(&state);
            let found = found.and_then(|volume| volume.superblock.clone());
            let mut mover = Mover::start(&uid, &self.site(at), &state, found);
            mover.device = handle(claims("volume"));
            mover.writable = claims("volume") == Some(names::replica_claim(PAIR, site));
            if mover.device.is_none() {
                // A set that is fully staged waits for its volume.
                mover.todo.clear();
            }
            self.movers[at] = Some(mover);
        }
    }

    /// What a mover's device holds, in bytes.
    pub(crate) fn device_bytes(&self, at: usize) -> u64 {
        let device = self.movers[at]
            .as_ref()
            .and_then(|mover| mover.device.as_ref());
        let volume = device.and_then(|device| self.server.storage.volumes.get(device));
        volume.map_or(0, |volume| volume.bytes)
    }

    fn lose_link(&mut self, at: usize) {
        if let Some(mover) = self.movers[at].as_mut().filter(|mover| mover.linked) {
            mover.hung_up = true;
        }
    }

    /// One step of a mover. Whether there was one.
    pub(crate) fn mover_step(&mut self, at: usize) -> bool {
        let bytes = self.device_bytes(at);
        let now = self.server.now();
        let reachable = now >= self.net_down_until;
        let Some(mover) = self.movers[at].as_mut() else {
            return false;
        };
        if let Some(action) = mover.todo.pop_front() {
            self.perform_effect(at, action);
            self.server.changed();
            return true;
        }
        if let Some(message) = mover.inbox.pop_front() {
            let event = match mover.side.shipping() {
                Some(_) => Event::Source(source::Event::Peer(message)),
                None => Event::Target(target::Event::Peer(message)),
            };
            mover.feed(bytes, event);
            return true;
        }
        if mover.hung_up {
            (mover.hung_up, mover.linked) = (false, false);
            if mover.side.shipping().is_some() {
                mover.fail(bytes, Cause::PeerUnreachable, "the peer hung up");
            } else {
                let lost = target::Event::LinkLost("the peer hung up".into());
                mover.feed(bytes, Event::Target(lost));
            }
            return true;
        }
        let Some(since) = mover.dialing else {
            return false;
        };
        if reachable && self.movers[1 - at].is_some() {
            self.connect(at);
            return true;
        }
        if now.duration_since(since) > DIAL
            && let Some(mover) = self.movers[at].as_mut()
        {
            mover.dialing = None;
            mover.fail(bytes, Cause::PeerUnreachable, "nobody answers");
            return true;
        }
        false
    }

    fn connect(&mut self, at: usize) {
        let bytes = self.device_bytes(at);
        for mover in self.movers.iter_mut().flatten() {
            mover.linked = true;
            mover.hung_up = false;
            mover.inbox.clear();
        }
        if let Some(mover) = self.movers[at].as_mut() {
            mover.dialing = None;
            mover.feed(bytes, Event::Source(source::Event::Connected));
        }
    }

    fn perform_effect(&mut self, at: usize, action: Action) {
        let bytes = self.device_bytes(at);
        let now = self.server.now();
        match action {
            Action::Persist(record) => {
                let Some(mover) = &mut self.movers[at] else {
                    return;
                };
                mover.version += 1;
                mover.durable = Some((*record).clone());
                if let Some(state) = self.server.storage.volumes.get_mut(&mover.state) {
                    state.superblock = Some(*record);
                }
            }
            Action::Send(message) => self.send(at, message),
            Action::Dial => self.with(at, |mover| mover.dialing = Some(now)),
            Action::Hangup => {
                self.with(at, |mover| (mover.linked, mover.hung_up) = (false, false));
                self.lose_link(1 - at);
            }
            Action::Ship { plan, .. } => {
                let changes = self.changes(at, plan.change_source.source == ChangeSource::Delta);
                self.with(1 - at, |peer| peer.received = changes);
                self.with(at, |mover| {
                    mover.feed(bytes, Event::Source(source::Event::Drained));
                });
            }
            Action::StopShipping => self.with(at, |mover| mover.dialing = None),
            Action::OpenStaging(_) | Action::OpenInPlace(_) => {
                let in_place = matches!(action, Action::OpenInPlace(_));
                self.with(at, |mover| {
                    mover.in_place = in_place;
                    mover.feed(bytes, Event::Target(target::Event::Opened { from: 0 }));
                });
            }
            Action::StopReceiving => self.with(at, |mover| mover.received.clear()),
            Action::Seal => self.seal(at),
            Action::Apply(cycle) => self.apply(at, cycle),
            Action::DropStaging { report } => {
                let state = self.movers[at].as_ref().map(|mover| mover.state.clone());
                let volumes = &mut self.server.storage.volumes;
                if let Some(state) = volumes.get_mut(&state.unwrap_or_default()) {
                    state.staged = None;
                }
                if report {
                    self.with(at, |mover| {
                        mover.feed(bytes, Event::Target(target::Event::Dropped));
                    });
                }
            }
            Action::Finish(outcome) => self.with(at, |mover| {
                mover.finish(outcome);
                mover.version += 1;
            }),
            Action::Decided(_)
            | Action::Phase(_)
            | Action::Fall(_)
            | Action::KeepDigests(_)
            | Action::Promoted(_) => {}
        }
    }

    fn with(&mut self, at: usize, work: impl FnOnce(&mut Mover)) {
        if let Some(mover) = &mut self.movers[at] {
            work(mover);
        }
    }

    fn send(&mut self, at: usize, message: Message) {
        let linked = self.movers[at].as_ref().is_some_and(|mover| mover.linked);
        if let Some(peer) = self.movers[1 - at]
            .as_mut()
            .filter(|peer| linked && peer.linked)
        {
            peer.inbox.push_back(message);
        }
    }

    /// What is shipped: the blocks of the list, or all of them.
    fn changes(&self, at: usize, delta: bool) -> Changes {
        let Some(mover) = &self.movers[at] else {
            return Changes::new();
        };
        let device = mover.device.clone().unwrap_or_default();
        let Some(blocks) = self.server.storage.blocks(&device) else {
            return Changes::new();
        };
        match (&mover.list, delta) {
            (Some(list), true) => {
                let named = list
                    .keys()
                    .filter_map(|block| Some((*block, *blocks.get(*block)?)));
                named.collect()
            }
            _ => (0..).zip(blocks.iter().copied()).collect(),
        }
    }

    fn seal(&mut self, at: usize) {
        let bytes = self.device_bytes(at);
        let Some(mover) = &mut self.movers[at] else {
            return;
        };
        let received = std::mem::take(&mut mover.received);
        if mover.in_place {
            let device = mover.device.clone().unwrap_or_default();
            write(&mut self.server, &device, &received);
        } else if let (Some(cycle), Some(state)) = (
            mover.side.receiving(),
            self.server.storage.volumes.get_mut(&mover.state),
        ) {
            state.staged = Some((cycle, received));
        }
        self.with(at, |mover| {
            mover.feed(bytes, Event::Target(target::Event::Sealed));
        });
    }

    fn apply(&mut self, at: usize, cycle: protocol::units::Point) {
        let bytes = self.device_bytes(at);
        let Some(mover) = &self.movers[at] else {
            return;
        };
        let device = mover.device.clone().filter(|_| mover.writable);
        let state = self.server.storage.volumes.get(&mover.state);
        let staged = state.and_then(|state| state.staged.clone());
        let staged = staged.filter(|(staged, _)| *staged == cycle);
        match (device, staged) {
            (Some(device), Some((_, changes))) => {
                write(&mut self.server, &device, &changes);
                self.with(at, |mover| {
                    mover.feed(bytes, Event::Target(target::Event::Written));
                });
            }
            _ => self.with(at, |mover| {
                mover.fail(
                    bytes,
                    Cause::TargetWriteError,
                    "there is no volume to write to",
                );
            }),
        }
    }
}

fn write(server: &mut crate::cluster::server::Server, device: &str, changes: &Changes) {
    for (block, tag) in changes {
        server.storage.write(device, *block, *tag);
    }
}
