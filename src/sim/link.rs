//! Connections between the two movers: in order, delayed, cut off, and with bits that flip. What
//! travels are the real frames.

use std::collections::{BTreeMap, VecDeque};

use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;

use transport::{FrameReader, FrameWriter};
use wire::{Encoded, Message, decode, encode};

/// Batches that wait to be sent. Beyond it the source waits.
pub(super) const BATCHES_MAX: usize = 4;

/// The longest that a frame is under way, in milliseconds.
const DELAY_MS_MAX: u64 = 60;

/// One direction.
#[derive(Default)]
struct Pipe {
    words: VecDeque<Encoded>,
    batches: VecDeque<Encoded>,
    wire: VecDeque<(u64, Vec<u8>)>,
    /// Nothing more is said; what was is still delivered.
    ended: bool,
}

/// One connection.
#[derive(Default)]
struct Connection {
    /// By the side that speaks.
    pipes: [Pipe; 2],
    /// When each side learns that it is gone.
    lost_at: Option<u64>,
}

/// What arrives.
pub(super) enum Arrival {
    /// A message.
    Message(Box<Message>),
    /// The connection is gone.
    Lost(String),
}

/// What can happen to a frame, though the transport promises that it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mishap {
    #[default]
    None,
    /// A bit is turned round.
    Flip,
    /// It comes twice.
    Twice,
    /// It overtakes the one before.
    Overtake,
}

/// All connections.
#[derive(Default)]
pub(super) struct Net {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    /// No connection comes up before.
    pub(super) down_until: u64,
    /// What happens to the next frame.
    pub(super) next_frame: Mishap,
    /// A frame has overtaken another: what was taken for the end of a cycle may have been none.
    pub(super) overtaken: bool,
    /// Bytes that were sent.
    pub(super) bytes: u64,
}

impl Net {
    /// A new connection.
    pub(super) fn connect(&mut self) -> u64 {
        self.next += 1;
        self.connections.insert(self.next, Connection::default());
        self.next
    }

    /// Says something; batches and what follows them wait in a queue of their own.
    pub(super) fn say(&mut self, link: u64, from: usize, message: Message, after_batches: bool) {
        let Some(connection) = self.connections.get_mut(&link) else {
            return;
        };
        if let Ok(frame) = encode(message) {
            let pipe = &mut connection.pipes[from];
            if after_batches {
                pipe.batches.push_back(frame);
            } else {
                pipe.words.push_back(frame);
            }
        }
    }

    /// Hands in a batch as a frame.
    pub(super) fn send_batch(&mut self, link: u64, from: usize, frame: Encoded) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.pipes[from].batches.push_back(frame);
        }
    }

    /// How many batches wait.
    pub(super) fn waiting(&self, link: u64, from: usize) -> usize {
        self.connections
            .get(&link)
            .map_or(0, |c| c.pipes[from].batches.len())
    }

    /// A side lets go of its end: what it has said is delivered, nothing more is taken in.
    pub(super) fn hang_up(&mut self, link: u64, side: usize) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.pipes[side].ended = true;
            connection.pipes[1 - side] = Pipe {
                ended: true,
                ..Pipe::default()
            };
        }
    }

    /// A side's process is gone. Only what the kernel has is delivered; after a loss of power not even
    /// that, and the peer learns of it late.
    pub(super) fn died(&mut self, side: usize, power: bool, now: u64) {
        for connection in self.connections.values_mut() {
            let pipe = &mut connection.pipes[side];
            pipe.words.clear();
            pipe.batches.clear();
            pipe.ended = true;
            if power {
                pipe.wire.clear();
                connection.lost_at.get_or_insert(now + 5_000);
            }
        }
    }

    /// Every connection breaks.
    pub(super) fn cut(&mut self, now: u64) {
        for connection in self.connections.values_mut() {
            for pipe in &mut connection.pipes {
                pipe.wire.clear();
            }
            connection.lost_at.get_or_insert(now + 500);
        }
    }

    /// The sending ends that have something to put on the wire.
    pub(super) fn writers(&self) -> Vec<(u64, usize)> {
        let mut found = Vec::new();
        for (link, connection) in &self.connections {
            for (side, pipe) in (0..).zip(&connection.pipes) {
                let idle = pipe.words.is_empty() && pipe.batches.is_empty();
                if connection.lost_at.is_none() && !idle {
                    found.push((*link, side));
                }
            }
        }
        found
    }

    /// When the next thing arrives at a side's end of a connection.
    pub(super) fn due(&self, link: u64, at: usize) -> Option<u64> {
        self.connections.get(&link)?.due(at)
    }

    /// Puts one frame on the wire: words go first.
    pub(super) fn write(&mut self, link: u64, from: usize, now: u64, random: &mut StdRng) {
        let Some(connection) = self.connections.get_mut(&link) else {
            return;
        };
        let pipe = &mut connection.pipes[from];
        let Some(frame) = pipe.words.pop_front().or_else(|| pipe.batches.pop_front()) else {
            return;
        };
        self.bytes += frame.wire_bytes();
        let mut bytes = Vec::new();
        // Writing into memory is never pending and never fails.
        drop(FrameWriter::new(&mut bytes).send(&frame).now_or_never());
        let mishap = std::mem::take(&mut self.next_frame);
        if mishap == Mishap::Flip {
            let at = random.random_range(0..bytes.len());
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        let after = pipe.wire.back().map_or(now, |(at, _)| *at);
        let at = after.max(now + random.random_range(0..DELAY_MS_MAX));
        if mishap == Mishap::Twice {
            pipe.wire.push_back((at, bytes.clone()));
        }
        if mishap == Mishap::Overtake
            && let Some((_, before)) = pipe.wire.back_mut()
        {
            std::mem::swap(before, &mut bytes);
            self.overtaken = true;
        }
        pipe.wire.push_back((at, bytes));
    }

    /// Takes what arrives at a side's end.
    pub(super) fn take(&mut self, link: u64, at: usize) -> Option<Arrival> {
        let connection = self.connections.get_mut(&link)?;
        if let Some((_, bytes)) = connection.pipes[1 - at].wire.pop_front() {
            let mut reader = FrameReader::new(&bytes[..]);
            reader.after_hello();
            let frame = reader.next().now_or_never();
            let message = match frame {
                Some(Ok(Some(frame))) => decode(frame).map_err(|error| error.to_string()),
                Some(Err(error)) => Err(error.to_string()),
                _ => Err("a frame was cut off".into()),
            };
            return Some(match message {
                Ok(message) => Arrival::Message(Box::new(message)),
                Err(why) => Arrival::Lost(why),
            });
        }
        let why = match connection.lost_at {
            Some(_) => "it was reset",
            None => "the peer closed it",
        };
        Some(Arrival::Lost(why.into()))
    }

    /// Forgets connections that neither side has.
    pub(super) fn forget(&mut self, held: [Option<u64>; 2]) {
        self.connections.retain(|link, connection| {
            let said = connection.pipes.iter().any(|pipe| {
                !(pipe.words.is_empty() && pipe.batches.is_empty() && pipe.wire.is_empty())
            });
            held.contains(&Some(*link)) || (said && connection.lost_at.is_none())
        });
    }
}

impl Connection {
    /// When the next thing arrives at a side's end.
    fn due(&self, at: usize) -> Option<u64> {
        let pipe = &self.pipes[1 - at];
        if let Some((due, _)) = pipe.wire.front() {
            return Some(*due);
        }
        if self.lost_at.is_some() {
            return self.lost_at;
        }
        let over = pipe.ended && pipe.words.is_empty() && pipe.batches.is_empty();
        over.then_some(0)
    }
}
