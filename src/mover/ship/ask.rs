//! Asking the standby for digests, from the threads that read the volume.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::ship::throttle::Throttle;
use mover_core::ship::compare::{Lookup, Reference};
use mover_core::ship::count::ShipCount;
use protocol::changes::BlockDigest;
use storage::seam::DiskError;
use storage::volume::Known;
use wire::{DigestRequest, Digests, Message};

/// How long to wait for an answer before looking whether the cycle was stopped.
const RECHECK_AFTER: Duration = Duration::from_millis(100);

/// Looks digests up, asking the standby where it has to.
pub struct Asker {
    reference: Arc<Reference>,
    messages: mpsc::Sender<Message>,
    /// One thread at a time asks, and takes answers.
    answers: Mutex<Receiver<Digests>>,
    count: Arc<ShipCount>,
    pace: Option<Pace>,
}

/// A limit on what is read. The standby reads what it is asked for, and this side reads no further
/// than it has answers, so that one valve on the questions holds for both.
struct Pace {
    throttle: Throttle,
    runtime: Handle,
}

impl Asker {
    /// Asks through `messages`; answers come from `answers`. Neither side reads more than
    /// `read_rate` bytes a second.
    #[must_use]
    pub fn new(
        reference: Arc<Reference>,
        messages: mpsc::Sender<Message>,
        answers: Receiver<Digests>,
        count: Arc<ShipCount>,
        read_rate: Option<u64>,
        runtime: Handle,
    ) -> Asker {
        if read_rate.is_some() {
            reference.ask_one_at_a_time();
        }
        Asker {
            reference,
            messages,
            answers: Mutex::new(answers),
            count,
            pace: read_rate.map(|rate| Pace {
                throttle: Throttle::new(Some(rate)),
                runtime,
            }),
        }
    }

    /// What the volume's reader asks.
    #[must_use]
    pub fn known(self) -> Known {
        Known::new(move |first, out| self.read(first, out))
    }

    fn read(&self, first: u64, out: &mut [Option<BlockDigest>]) -> Result<(), DiskError> {
        let mut next = None;
        if !self.reference.asks() {
            // Where it has begun to ask meanwhile, what comes back says so.
            match self.reference.lookup(first, out)? {
                Lookup::Known => return Ok(()),
                Lookup::Ask(requests) => next = Some(requests),
            }
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let requests = match next.take() {
                Some(requests) => requests,
                None => match self.reference.lookup(first, out)? {
                    Lookup::Known => return Ok(()),
                    Lookup::Ask(requests) => requests,
                },
            };
            let asked = requests.into_iter().try_for_each(|r| self.ask(r));
            asked
                .and_then(|()| self.take_answer(&answers))
                .map_err(|error| DiskError::new("read", "the standby's digests", error))?;
        }
    }

    fn ask(&self, request: DigestRequest) -> io::Result<()> {
        if let Some(pace) = &self.pace {
            self.wait_for(pace, request.extent.len)?;
        }
        self.messages
            .blocking_send(Message::DigestRequest(request))
            .map_err(|_| gone())
    }

    fn take_answer(&self, answers: &Receiver<Digests>) -> io::Result<()> {
        loop {
            self.look()?;
            match answers.recv_timeout(RECHECK_AFTER) {
                Ok(answer) => {
                    self.reference.answer(answer);
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }

    /// Waits until `bytes` may be read.
    fn wait_for(&self, pace: &Pace, bytes: u64) -> io::Result<()> {
        loop {
            self.look()?;
            let waited = pace.runtime.block_on(async {
                tokio::time::timeout(RECHECK_AFTER, pace.throttle.take(bytes)).await
            });
            if waited.is_ok() {
                return Ok(());
            }
        }
    }

    fn look(&self) -> io::Result<()> {
        if self.count.stopped.load(Ordering::Acquire) {
            return Err(io::Error::other("the cycle was stopped"));
        }
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "the standby's connection ended before it sent its digests",
    )
}
