//! The loop: select an input, take it in, carry out what follows, show what has changed.
//!
//! One task owns the side's state, the superblock, the link and the threads at work. It never waits
//! for the network or for more than a small disk operation; whatever takes long reports back as an
//! input. Each piece of long work has a number, so that what an earlier one still says is let pass.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::control::{Control, FeedSlot};
use crate::convert;
use crate::link::{BatchSink, PeerLink};
use crate::progress::CycleTrack;
use crate::serve::serve;
use crate::setup::{Setup, SetupError};
use crate::source::list::Part;
use crate::source::ship::{ShipEvent, Shipment};
use crate::source::throttle::Throttle;
use crate::status::StatusBoard;
use crate::target::receive::{Landing, ReceiveEvent, Receiving};
use protocol::changes::{CycleId, CycleSum};
use protocol::pair::message::{Begin, Hello};
use protocol::pair::{Action, Refused, Side};
use protocol::units::{Decision, ImageState, Point, SiteName};
use storage::journal::{
    DigestLog, DigestStore, JournalError, Staging, Superblock, SuperblockStore,
};
use transport::{Listener, Session};
use wire::control::{CycleOutcome, Refusal, RefusalKind, Request, Response, ShipOrder};
use wire::{DigestRequest, Message};

/// Inputs that wait for the loop. Beyond it whoever reports waits.
const INPUTS_MAX: usize = 64;

/// How often counters are looked at, for status and for the stall time-out.
const TICK: Duration = Duration::from_millis(100);

/// What the loop can be told.
#[derive(Debug)]
pub enum Input {
    /// The operator ordered something.
    Order(Box<Request>, oneshot::Sender<Response>),
    /// A mover of our pair has connected.
    Accepted(Box<Session>),
    /// Dialling has ended; the number says which.
    Dialed(u64, Result<Box<Session>, Refused>),
    /// The peer spoke on the link with this number.
    Word(u64, Message),
    /// The link with this number has ended.
    LinkLost(u64, String),
    /// The shipment with this number reports.
    Ship(u64, ShipEvent),
    /// The place where batches land is open; the number says for which cycle.
    Opened(u64, Result<OpenedLanding, Refused>),
    /// The receiver with this number reports.
    Receive(u64, ReceiveEvent),
    /// A staged set was written to the volume, or not, in so many milliseconds.
    Written(Result<(OpenedStaging, u64), Refused>),
}

/// A landing on its way to the loop.
pub struct OpenedLanding(pub Landing);

/// Staging on its way back to the loop.
pub struct OpenedStaging(pub Option<Box<Staging>>);

impl std::fmt::Debug for OpenedLanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenedLanding(through {})", self.0.through())
    }
}

impl std::fmt::Debug for OpenedStaging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenedStaging({})", self.0.is_some())
    }
}

/// A mover.
pub struct Mover {
    pub(super) setup: Setup,
    pub(super) side: Side,
    pub(super) store: Option<SuperblockStore>,
    pub(super) superblock: Option<Superblock>,
    pub(super) superblock_error: Option<Refusal>,
    pub(super) digests: Option<DigestStore>,
    pub(super) board: StatusBoard,
    pub(super) last: Option<CycleOutcome>,
    pub(super) track: Option<CycleTrack>,
    pub(super) todo: VecDeque<Action>,
    pub(super) number: u64,
    pub(super) inputs: mpsc::Sender<Input>,
    queue: mpsc::Receiver<Input>,
    pub(super) ending: bool,
    pub(super) link: LinkState,
    pub(super) source: SourceState,
    pub(super) target: TargetState,
    pub(super) watch: Watch,
}

/// The connection to the peer, and what was said on it.
pub(super) struct LinkState {
    pub(super) link: Option<PeerLink>,
    pub(super) sink: BatchSink,
    pub(super) throttle: Arc<Throttle>,
    /// What the source said first.
    pub(super) hello: Option<Hello>,
    /// What the source decided.
    pub(super) decision: Option<Decision>,
    /// The change set under way.
    pub(super) id: Option<CycleId>,
}

/// What a source works with.
#[derive(Default)]
pub(super) struct SourceState {
    pub(super) order: Option<ShipOrder>,
    /// The most bytes a second that each side reads of what is verified.
    pub(super) read_rate: Option<u64>,
    pub(super) feed: FeedSlot,
    pub(super) list: Option<mpsc::Receiver<Part>>,
    pub(super) dialing: u64,
    pub(super) shipment: Option<Shipment>,
    pub(super) sum: Option<CycleSum>,
    pub(super) target_image: Option<ImageState>,
}

/// What a target works with.
#[derive(Default)]
pub(super) struct TargetState {
    pub(super) peer: Option<SiteName>,
    pub(super) begin: Option<Begin>,
    pub(super) opening: u64,
    pub(super) receiving: Option<Receiving>,
    pub(super) staging: Option<Box<Staging>>,
    pub(super) log: Option<DigestLog>,
    pub(super) digester: Option<mpsc::Sender<DigestRequest>>,
    pub(super) claimed: Option<CycleSum>,
    pub(super) applied_bytes: Arc<AtomicU64>,
    pub(super) applying: bool,
}

/// Sees to it that nothing hangs unnoticed.
pub(super) struct Watch {
    /// The counters' sum when it last changed, and when that was, in milliseconds.
    pub(super) seen: u64,
    pub(super) moved_ms: u64,
    /// Words heard from the peer.
    pub(super) words: u64,
    /// The counters' sum when the peer was last told, and when that was.
    pub(super) told: u64,
    pub(super) told_ms: u64,
    /// The attempt fails when nothing has moved for this long, in milliseconds.
    pub(super) stall_ms: u64,
}

impl Mover {
    /// A mover that listens on `address`, and the address that it got.
    ///
    /// # Errors
    /// When the address or the metadata volume can't be used.
    pub async fn bind(setup: Setup, address: &str) -> Result<(Mover, SocketAddr), SetupError> {
        let listener = Listener::bind(address, setup.tls.clone()).await?;
        let bound = listener.address();
        let (inputs, queue) = mpsc::channel(INPUTS_MAX);
        let (board, status) = StatusBoard::new(setup.site.clone());
        let (store, superblock, superblock_error) = open_superblock(&setup);
        let digests = DigestStore::open(setup.disk.clone()).map_or_else(
            |error| {
                tracing::warn!(%error, "no kept digests can be used");
                None
            },
            Some,
        );
        let (side, first) = Side::open(superblock.as_ref().map(convert::record_of));
        let feed = FeedSlot::default();
        let control = Control {
            site: setup.site.clone(),
            inputs: inputs.clone(),
            status,
            feed: feed.clone(),
        };
        tokio::spawn(serve(listener, setup.pair.clone(), control, inputs.clone()));
        let now = setup.clock.monotonic_ms();
        let mut mover = Mover {
            side,
            store,
            superblock,
            superblock_error,
            digests,
            board,
            last: None,
            track: None,
            todo: VecDeque::new(),
            number: 0,
            inputs,
            queue,
            ending: false,
            link: LinkState {
                link: None,
                sink: Arc::new(Mutex::new(None)),
                throttle: Arc::new(Throttle::new(None)),
                hello: None,
                decision: None,
                id: None,
            },
            source: SourceState {
                feed,
                ..SourceState::default()
            },
            target: TargetState::default(),
            watch: Watch::new(now),
            setup,
        };
        // What was interrupted is taken up at once, where there is a volume to take it up on.
        if mover.setup.device.is_some() && !mover.setup.read_only {
            mover.todo.extend(first);
        }
        Ok((mover, bound))
    }

    /// Works until it is ordered to shut down.
    ///
    /// # Errors
    /// When the superblock can't be saved: going on could contradict what is on disk.
    pub async fn run(mut self) -> Result<(), SetupError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.carry_out().await?;
        self.show();
        while !self.ending {
            tokio::select! {
                biased;
                input = self.queue.recv() => match input {
                    Some(input) => self.take(input).await?,
                    None => break,
                },
                _ = tick.tick() => self.look_at_counters(),
            }
            self.carry_out().await?;
            self.show();
        }
        Ok(())
    }

    /// Takes in one input.
    async fn take(&mut self, input: Input) -> Result<(), SetupError> {
        match input {
            Input::Order(request, reply) => {
                self.ending |= *request == Request::Shutdown;
                let response = self.order(*request);
                // What the order leads to at once is durable before the operator hears of it.
                self.carry_out().await?;
                self.show();
                drop(reply.send(response));
                if self.ending {
                    // Leave the answer a moment to get out.
                    tokio::time::sleep(TICK).await;
                }
            }
            Input::Accepted(session) => self.accepted(*session).await,
            Input::Dialed(number, result) => self.dialed(number, result),
            Input::Word(link, message) => self.word(link, message).await,
            Input::LinkLost(link, why) => self.link_lost(link, &why),
            Input::Ship(number, event) => self.shipped(number, event),
            Input::Opened(number, result) => self.opened(number, result),
            Input::Receive(number, event) => self.received(number, event).await,
            Input::Written(result) => self.written(result),
        }
        Ok(())
    }

    /// The next number for a piece of long work.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The cut under way.
    #[must_use]
    pub(super) fn cycle(&self) -> Option<Point> {
        self.side.shipping().or(self.side.receiving())
    }
}

impl Watch {
    fn new(now: u64) -> Watch {
        Watch {
            seen: 0,
            moved_ms: now,
            words: 0,
            told: 0,
            told_ms: now,
            stall_ms: u64::MAX,
        }
    }
}

type Opened = (Option<SuperblockStore>, Option<Superblock>, Option<Refusal>);

fn open_superblock(setup: &Setup) -> Opened {
    match SuperblockStore::open(setup.disk.clone()) {
        Ok((store, superblock)) => (Some(store), superblock, None),
        Err(error) => {
            tracing::error!(%error, "the superblock can't be used");
            (None, None, Some(unreadable(&error)))
        }
    }
}

fn unreadable(error: &JournalError) -> Refusal {
    Refusal {
        kind: RefusalKind::SuperblockUnreadable,
        message: format!("{error}; nothing is done here until the metadata volume is put right"),
    }
}
