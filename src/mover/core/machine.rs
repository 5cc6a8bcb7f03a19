//! The machine: takes one input, follows it through the protocol, and hands out the effects.
//!
//! The core owns the side's state. What has to be done waits in one queue, in order. A superblock is
//! a barrier in it: what comes after one is handed out once that one is durable. Work on the volumes
//! has a queue of its own ([`Lane`]), because a device may take as long as it likes, and nothing that
//! is said to the operator or the peer may wait for it.

use std::collections::{BTreeMap, VecDeque};

use crate::effect::{Effect, Work};
use crate::input::{FoundSuperblock, Input, LinkId, Moment, RequestId, Unusable};
use crate::lane::Lane;
use crate::mutations::{Rule, Rules};
use crate::progress::CycleTrack;
use crate::status::blank_status;
use crate::translate;
use crate::unwritten::Unwritten;
use crate::watchdog::Watch;
use protocol::changes::{CycleId, CycleSum};
use protocol::pair::message::Hello;
use protocol::pair::side::Event;
use protocol::pair::{Action, Refused, Side};
use protocol::units::{Decision, Epoch, Extent, ImageState, PairName, Point, SiteName, VolumeId};
use storage::journal::Superblock;
use wire::control::{CycleOutcome, MoverStatus, Response, ShipRequest};

/// What a core is made for.
#[derive(Clone, Debug)]
pub struct Config {
    /// The site that it works for.
    pub site: SiteName,
    /// The pair that it works for.
    pub pair: PairName,
    /// The size of the volume in bytes; `None` without a volume.
    pub device_bytes: Option<u64>,
    /// Whether the volume is only ever read.
    pub read_only: bool,
    /// Whether the volume begins with the signature of a file system.
    pub file_system: bool,
    /// Which volume it is, where its storage has said so.
    pub volume: Option<VolumeId>,
    /// Which rule is broken; none in the product.
    pub rules: Rules,
}

/// What was found on the state volume at the start.
#[derive(Clone, Debug)]
pub struct Found {
    /// The superblock.
    pub superblock: FoundSuperblock,
    /// The cut that the kept digests are of, where there are any that can be used.
    pub kept: Option<Point>,
    /// Why the volume can't hold what the superblock says, where that was seen.
    pub doubt: Option<String>,
}

/// The mover's core.
#[derive(Debug)]
pub struct Core {
    pub(super) config: Config,
    pub(super) side: Side,
    pub(super) superblock: Option<Superblock>,
    pub(super) unusable: Option<Unusable>,
    /// When it was opened, in milliseconds.
    opened_ms: u64,
    /// The next superblock that is saved takes the place of a damaged one.
    pub(super) over_damage: bool,
    pub(super) kept: Option<Point>,
    pub(super) at: Moment,
    pub(super) last: Option<CycleOutcome>,
    pub(super) track: Option<CycleTrack>,
    pub(super) lane: Lane,
    pub(super) link: LinkState,
    pub(super) source: SourceState,
    pub(super) target: TargetState,
    pub(super) watch: Watch,
    pub(super) shown: MoverStatus,
    /// The process ends once what was asked is answered.
    pub(super) ending: bool,
    /// The newest commit of digests that was asked for.
    pub(super) committing: Option<u64>,
    /// Answers that wait for a commit of digests, by its number.
    pub(super) replies: BTreeMap<u64, (RequestId, Response)>,
    number: u64,
    queue: VecDeque<Effect>,
    /// The superblock that is being saved.
    persisting: Option<u64>,
    exited: bool,
}

/// The connection to the peer, and what was said on it.
#[derive(Debug, Default)]
pub(super) struct LinkState {
    pub(super) link: Option<LinkId>,
    /// What the source said first.
    pub(super) hello: Option<Hello>,
    /// What the source decided.
    pub(super) decision: Option<Decision>,
    /// The change set under way.
    pub(super) id: Option<CycleId>,
    /// The link on which digests are read, and how many requests are under way.
    pub(super) digesting: Option<(LinkId, usize)>,
}

/// What a source works with.
#[derive(Debug, Default)]
pub(super) struct SourceState {
    pub(super) request: Option<ShipRequest>,
    /// The most bytes a second that each side reads of what is verified.
    pub(super) read_rate: Option<u64>,
    /// The cut that the digests kept here were of when shipping was asked for.
    pub(super) kept: Option<Point>,
    pub(super) dialing: u64,
    pub(super) sum: Option<CycleSum>,
    /// What a verification has found to differ.
    pub(super) differing: Option<Vec<Extent>>,
    pub(super) target_image: Option<ImageState>,
}

/// What a target works with.
#[derive(Debug, Default)]
pub(super) struct TargetState {
    pub(super) peer: Option<SiteName>,
    pub(super) claimed: Option<CycleSum>,
    /// The discarding that a promotion waits for.
    pub(super) discarding: Option<u64>,
    /// The complete set that could not be written.
    pub(super) unwritten: Option<Unwritten>,
    /// Promotions that are answered once a set is on the volume, with their epochs.
    pub(super) promotions: Vec<(RequestId, Epoch)>,
}

/// A mover whose state volume failed when it was opened shows that for so long, and ends: the next one opens
/// it again.
const REOPEN_MS: u64 = 30_000;

impl Core {
    /// A core that was started at this moment, and what it does first: what was interrupted is
    /// resumed, where there is a volume to resume it on.
    #[must_use]
    pub fn open(config: Config, found: Found, at: Moment) -> (Core, Vec<Effect>) {
        let (superblock, unusable) = match found.superblock {
            Ok(superblock) => (superblock, None),
            Err(unusable) => (None, Some(unusable)),
        };
        let (side, first, superblock) = match superblock {
            None => (Side::default(), Vec::new(), None),
            Some(superblock) => {
                let (side, first, superblock) = opened_side(&config, superblock, found.doubt);
                (side, first, Some(superblock))
            }
        };
        let shown = blank_status(config.site.clone());
        let mut core = Core {
            side,
            superblock,
            unusable,
            over_damage: false,
            kept: found.kept,
            opened_ms: at.now_ms,
            at,
            last: None,
            track: None,
            lane: Lane::default(),
            link: LinkState::default(),
            source: SourceState::default(),
            target: TargetState::default(),
            watch: Watch::new(at.now_ms),
            shown,
            ending: false,
            committing: None,
            replies: BTreeMap::new(),
            number: 0,
            queue: VecDeque::new(),
            persisting: None,
            exited: false,
            config,
        };
        // What is made durable first must not make this side pass for a blank one meanwhile.
        core.show();
        if core.config.device_bytes.is_some() && !core.config.read_only {
            core.follow(first);
        }
        let effects = core.hand_out();
        (core, effects)
    }

    /// Takes what has happened at this moment; what has to be done now, in order.
    #[must_use]
    pub fn take(&mut self, at: Moment, input: Input) -> Vec<Effect> {
        if self.exited {
            return Vec::new();
        }
        self.at = at;
        self.note_counters();
        match input {
            Input::Request(id, request) => self.request(id, *request),
            Input::Accepted(link, peer) => self.accepted(link, &peer),
            Input::Dialed(number, result) => self.dialed(number, result),
            Input::Message(link, message) => self.message(link, message),
            Input::LinkLost(link, why) => self.link_lost(link, &why),
            Input::Persisted(number, result) => return self.persisted(number, result),
            Input::Opened(number, from) => self.opened(number, from),
            Input::Receive(number, event) => self.received(number, event),
            Input::Unwritable(number, ranges) => self.unwritable(number, ranges),
            Input::Written(number, result) => self.written(number, result),
            Input::Discarded(number) => self.discarded(number),
            Input::DigestsCommitted(number, kept) => self.digests_committed(number, kept),
            Input::Ship(number, event) => self.shipped(number, event),
            Input::Digested(link, result) => self.digested(link, result),
            Input::Tick => {
                self.watch_counters();
                self.try_again();
                self.leave_a_disk_that_failed();
            }
        }
        self.hand_out()
    }

    /// A superblock that a failing disk did not give is asked for again, by the next process.
    fn leave_a_disk_that_failed(&mut self) {
        let may_pass = self.unusable.as_ref().is_some_and(Unusable::may_pass);
        self.ending |= may_pass && self.at.now_ms >= self.opened_ms + REOPEN_MS;
    }

    /// The connection to the peer that is in use.
    #[must_use]
    pub fn link(&self) -> Option<LinkId> {
        self.link.link
    }

    /// The side's part of the protocol.
    #[must_use]
    pub fn side(&self) -> &Side {
        &self.side
    }

    /// The size of the volume in bytes; 0 without a volume.
    #[must_use]
    pub(super) fn size(&self) -> u64 {
        self.config.device_bytes.unwrap_or(0)
    }

    /// The cut under way.
    pub(super) fn cycle(&self) -> Option<Point> {
        self.side.shipping().or(self.side.receiving())
    }

    /// The next number for something whose end is reported.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Adds an effect after all others.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.queue.push_back(effect);
    }

    /// Adds an effect before the first reply that waits, so that whoever has been answered finds it done;
    /// but not before a superblock that has to be durable first.
    pub(super) fn effect_before_replies(&mut self, effect: Effect) {
        let persist = |effect: &Effect| matches!(effect, Effect::Persist { .. });
        let durable = self.queue.iter().rposition(persist);
        let durable = durable.map_or(0, |at| at + 1);
        let mut after = self.queue.iter().skip(durable);
        let reply = after.position(|effect| matches!(effect, Effect::Reply(..)));
        let at = reply.map_or(self.queue.len(), |at| durable + at);
        self.queue.insert(at, effect);
    }

    /// Adds a piece of work; its number.
    pub(super) fn work(&mut self, work: Work) -> u64 {
        let number = self.next_number();
        self.lane.add(number, work);
        self.begin_work();
        number
    }

    /// Begins the next piece of work, if none is under way.
    pub(super) fn begin_work(&mut self) {
        if let Some((number, work)) = self.lane.begin() {
            self.effect(Effect::Begin(number, work));
        }
    }

    /// Feeds the protocol and follows it.
    pub(super) fn feed(&mut self, event: Event) {
        let size = self.size();
        let actions = self.side.on(size, event);
        self.follow(actions);
    }

    /// Tells the protocol's machine at work that it can't go on.
    pub(super) fn fail(&mut self, refused: Refused) {
        let event = self.side.failed(refused);
        self.feed(event);
    }

    /// Does what the protocol asks for.
    pub(super) fn follow(&mut self, mut actions: Vec<Action>) {
        if self.config.rules.breaks(Rule::PersistsLast) {
            // Stable: those that persist keep their order among themselves.
            actions.sort_by_key(|action| matches!(action, Action::Persist(_)));
        }
        for action in actions {
            tracing::debug!(?action, "following the protocol");
            self.act(action);
        }
    }

    fn persisted(&mut self, number: u64, result: Result<(), String>) -> Vec<Effect> {
        if self.persisting != Some(number) {
            return Vec::new();
        }
        self.persisting = None;
        if let Err(why) = result {
            // What is on disk is not known, and going on could contradict it.
            self.exited = true;
            return vec![Effect::Exit(Err(why))];
        }
        self.hand_out()
    }

    /// What may be done now: everything up to the next superblock that has to be durable first.
    fn hand_out(&mut self) -> Vec<Effect> {
        self.show();
        if self.ending {
            self.ending = false;
            self.effect(Effect::Exit(Ok(())));
        }
        let mut effects = Vec::new();
        while self.persisting.is_none()
            && let Some(effect) = self.queue.pop_front()
        {
            match &effect {
                Effect::Persist { number, .. } => self.persisting = Some(*number),
                Effect::Exit(_) => self.exited = true,
                _ => {}
            }
            effects.push(effect);
        }
        effects
    }
}

/// The side that a superblock describes, and that superblock. A standby counts on its volume only where
/// that can be the one whose image it recorded, as it was left (D-3).
fn opened_side(
    config: &Config,
    superblock: Superblock,
    doubt: Option<String>,
) -> (Side, Vec<Action>, Superblock) {
    let record = config
        .rules
        .mutate_record(translate::record_of(&superblock));
    let doubt = doubt.or_else(|| another_volume(config, &superblock));
    let Some(why) = doubt.filter(|_| record.counts_on_volume()) else {
        let (side, first) = Side::open(Some(record));
        return (side, first, superblock);
    };
    tracing::warn!(why, "the image is compared completely before it is used");
    let (side, first) = Side::distrusting(&record);
    // From now on it is about this one.
    let superblock = Superblock {
        size_bytes: config.device_bytes.unwrap_or(superblock.size_bytes),
        ..superblock
    };
    (side, first, superblock)
}

/// Why the volume is not the one that the superblock is about. Where its storage does not say which it
/// is, its size does; a volume never shrinks.
fn another_volume(config: &Config, superblock: &Superblock) -> Option<String> {
    let size = config.device_bytes.filter(|_| !config.read_only)?;
    match (&superblock.volume, &config.volume) {
        (Some(was), Some(now)) if was == now => None,
        (Some(was), Some(now)) => Some(format!("the volume is {now}, but the image was on {was}")),
        _ => (size < superblock.size_bytes).then(|| {
            let was = superblock.size_bytes;
            format!("the volume has {size} bytes, but the one with the image had {was}")
        }),
    }
}
