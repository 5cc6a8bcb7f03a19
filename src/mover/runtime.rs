//! The runtime: waits for what happens, feeds it to the core, and has the effects performed.
//!
//! It waits for nothing but the next input, so that a request is answered whatever a device or a peer
//! does meanwhile.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use crate::control::Control;
use crate::listener::serve;
use crate::performer::Performer;
use crate::setup::{Setup, SetupError};
use crate::ship::extent_feed::ExtentFeed;
use crate::status::StatusBoard;
use mover_core::translate::record_of;
use mover_core::{Config, Core, Effect, Found, Input, Rules, Unusable};
use protocol::pair::{Record, Refused};
use storage::journal::{JournalError, SuperblockStore};
use transport::{Listener, Session};
use wire::Asked;
use wire::control::{Refusal, RefusalKind, Response};

/// Inputs that wait for the core. Beyond it whoever reports waits.
const INPUTS_MAX: usize = 64;

/// How often counters are read, for status and for the stall time-out.
const TICK: Duration = Duration::from_millis(100);

/// What arrives from outside, with what the runtime keeps of it.
#[derive(Debug)]
pub enum Arrival {
    /// The operator asks for something.
    Request(Box<Asked>, oneshot::Sender<Response>),
    /// A mover of our pair has connected.
    Accepted(Box<Session>),
    /// Dialing has ended; the number says which.
    Dialed(u64, Result<Box<Session>, Refused>),
}

/// A mover.
pub struct Mover {
    core: Core,
    performer: Performer,
    /// What has to be done first.
    first: Vec<Effect>,
    /// What is logged belongs to the request with this span, until there is another.
    span: Span,
    inputs: mpsc::Receiver<Input>,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Mover {
    /// A mover that listens on `address`, and the address that it got.
    ///
    /// # Errors
    /// When the address or the state volume can't be used.
    pub async fn bind(setup: Setup, address: &str) -> Result<(Mover, SocketAddr), SetupError> {
        let listener = Listener::bind(address, setup.tls.clone()).await?;
        let bound = listener.address();
        let (to_core, inputs) = mpsc::channel(INPUTS_MAX);
        let (to_runtime, arrivals) = mpsc::channel(INPUTS_MAX);
        let (board, status) = StatusBoard::new(setup.site.clone());
        let feed = ExtentFeed::default();
        let (store, superblock) = match SuperblockStore::open(setup.disk.clone()) {
            Ok((store, superblock)) => (Some(store), Ok(superblock)),
            Err(error) => (None, Err(unusable(&error))),
        };
        let config = Config {
            site: setup.site.clone(),
            pair: setup.pair.clone(),
            device_bytes: setup.device.as_ref().map(|device| device.size()),
            read_only: setup.read_only,
            file_system: setup.file_system,
            volume: setup.volume.clone(),
            rules: Rules::default(),
        };
        let control = Control {
            site: setup.site.clone(),
            arrivals: to_runtime.clone(),
            status,
            feed: feed.clone(),
        };
        let (pair, doubted) = (setup.pair.clone(), setup.doubted.clone());
        let serving = serve(listener, pair, control, to_runtime.clone());
        let mut performer = Performer::new(setup, store, board, feed, to_core, to_runtime)?;
        let record = superblock.as_ref().ok().and_then(Option::as_ref);
        let record = record.map(record_of);
        let used = record.as_ref().and_then(|record| {
            let committed = record.committed.map(|point| point.to_string());
            let doubted = doubted.filter(|doubted| committed.as_ref() == Some(doubted))?;
            Some(format!("somebody else used the copy of {doubted}"))
        });
        let head = record.as_ref().and_then(Record::head);
        let found = Found {
            doubt: used.or_else(|| performer.probe(head?)),
            superblock,
            kept: performer.kept(),
        };
        let (core, first) = Core::open(config, found, performer.moment(None));
        // Shown before anybody is served: a site whose state is not shown yet would pass for a blank one.
        let (shown, first) = first
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Show(_)));
        for effect in shown {
            drop(performer.perform(effect));
        }
        tokio::spawn(serving);
        let mover = Mover {
            core,
            performer,
            first,
            span: Span::none(),
            inputs,
            arrivals,
        };
        Ok((mover, bound))
    }

    /// Works until it is asked to shut down.
    ///
    /// # Errors
    /// When what is on disk is not known: going on could contradict it.
    pub async fn run(mut self) -> Result<(), SetupError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut effects = std::mem::take(&mut self.first);
        let mut at_once = VecDeque::new();
        loop {
            for effect in effects {
                if let Effect::Exit(result) = effect {
                    // The last answer gets a moment to get out.
                    tokio::time::sleep(TICK).await;
                    return result.map_err(SetupError::Unknown);
                }
                let performer = &mut self.performer;
                at_once.extend(self.span.in_scope(|| performer.perform(effect)));
            }
            let input = match at_once.pop_front() {
                Some(input) => input,
                None => tokio::select! {
                    biased;
                    _ = tick.tick() => Input::Tick,
                    Some(arrival) = self.arrivals.recv() => self.arrived(arrival),
                    Some(input) = self.inputs.recv() => input,
                    else => return Ok(()),
                },
            };
            let moment = self.performer.moment(self.core.link());
            self.performer.note(&input);
            let core = &mut self.core;
            effects = self.span.in_scope(|| core.take(moment, input));
        }
    }

    /// What has arrived. A request with a trace gives its name to what is logged from here on.
    fn arrived(&mut self, arrival: Arrival) -> Input {
        if let Arrival::Request(asked, _) = &arrival
            && let Some(trace) = &asked.trace
        {
            self.span = tracing::info_span!("request", %trace);
        }
        self.performer.arrived(arrival)
    }
}

fn unusable(error: &JournalError) -> Unusable {
    tracing::error!(%error, "the superblock can't be used");
    Unusable {
        refusal: Refusal {
            kind: RefusalKind::SuperblockUnreadable,
            message: format!("{error}; nothing is done here until the state volume is repaired"),
        },
        discardable: error.is_damage(),
    }
}
