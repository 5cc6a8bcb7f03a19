//! A connection to the peer mover: frames in, frames out, each direction in a task of its own.
//!
//! Two queues lead out. Messages of the protocol go first; batches wait for the bandwidth and for the
//! network, and what comes between them is in [`crate::outgoing`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot};

use crate::outgoing::{LINGER, Outgoing};
use crate::receive::thread::Item;
use crate::ship::throttle::Throttle;
use mover_core::Input;
use protocol::units::PeerName;
use transport::{FrameReader, FrameWriter, ReceivedCount};
use transport::{Link as _, Session};
use wire::{Encoded, Message, decode};

/// Messages of the protocol that wait to be sent. The protocol never has more than a few under way:
/// beyond it the peer does not read, and the link ends.
const MESSAGES_MAX: usize = 256;

/// Batches that wait to be sent, each up to about 1 MiB. Beyond it the reader of the device waits.
const BATCHES_MAX: usize = 4;

/// Counts what crosses a link, in bytes before encryption.
#[derive(Debug, Default)]
pub struct LinkCount {
    /// Bytes sent.
    pub sent: Arc<AtomicU64>,
    /// Bytes received.
    pub received: ReceivedCount,
}

impl LinkCount {
    /// Bytes received of messages with much data.
    #[must_use]
    pub fn data_received(&self) -> u64 {
        self.received.data.load(Ordering::Relaxed)
    }

    /// Bytes in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.received.all.load(Ordering::Relaxed)
    }
}

/// Where received batches go: straight to the thread that stages them.
pub type BatchSink = Arc<Mutex<Option<mpsc::Sender<Item>>>>;

/// Our end of a connection to the peer mover. Once it is dropped, what was sent is delivered, and nothing
/// more is taken in.
#[derive(Debug)]
pub struct PeerLink {
    /// Tells this connection from earlier ones.
    pub id: u64,
    /// Who is at the other end.
    pub peer: PeerName,
    /// What has crossed it.
    pub count: LinkCount,
    messages: mpsc::Sender<Message>,
    batches: mpsc::Sender<Encoded>,
    /// Dropped with the link: nothing more is taken in.
    _open: oneshot::Sender<()>,
}

impl PeerLink {
    /// Starts both directions. Messages received go to `inputs`; batches to whatever `sink` holds.
    pub fn start(
        id: u64,
        session: Session,
        inputs: mpsc::Sender<Input>,
        throttle: Arc<Throttle>,
        sink: BatchSink,
    ) -> PeerLink {
        let peer = session.peer().clone();
        let count = LinkCount::default();
        let buffer = session.send_buffer().ok();
        let (read_half, write_half) = tokio::io::split(session);
        let (messages, messages_queue) = mpsc::channel(MESSAGES_MAX);
        let (batches, batches_queue) = mpsc::channel(BATCHES_MAX);
        let writer = FrameWriter::new(write_half);
        let outgoing = Outgoing::new(writer, throttle, count.sent.clone(), buffer);
        tokio::spawn(outgoing.run(messages_queue, batches_queue));
        let mut reader = FrameReader::counting(read_half, count.received.clone());
        let (open, closed) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = closed => drain(&mut reader).await,
                () = read_all(id, &mut reader, inputs, sink) => {}
            }
        });
        PeerLink {
            id,
            peer,
            count,
            messages,
            batches,
            _open: open,
        }
    }

    /// Sends a message of the protocol, ahead of all batches; false where too many wait already.
    #[must_use]
    pub fn send(&self, message: Message) -> bool {
        // A writer that has ended means a broken connection; the reader reports that.
        !matches!(
            self.messages.try_send(message),
            Err(mpsc::error::TrySendError::Full(_))
        )
    }

    /// Where threads hand in messages of the protocol.
    #[must_use]
    pub fn messages(&self) -> mpsc::Sender<Message> {
        self.messages.clone()
    }

    /// Where batches are handed in, and what has to come after all of them.
    #[must_use]
    pub fn batches(&self) -> mpsc::Sender<Encoded> {
        self.batches.clone()
    }
}

/// Reads on what nobody takes in any more, until the peer ends its side. A connection that is closed before
/// all of it was read is reset, and what was sent last, such as why a cycle failed, is lost with it.
async fn drain<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) {
    let ended = async { while let Ok(Some(_)) = reader.next().await {} };
    drop(tokio::time::timeout(LINGER, ended).await);
}

async fn read_all<R: AsyncRead + Unpin>(
    id: u64,
    reader: &mut FrameReader<R>,
    inputs: mpsc::Sender<Input>,
    sink: BatchSink,
) {
    let why = loop {
        let message = match reader.next().await {
            Ok(Some(frame)) => decode(frame),
            Ok(None) => break "the peer closed it".to_string(),
            Err(error) => break error.to_string(),
        };
        match message {
            Ok(Message::Hello(hello)) => {
                reader.after_hello();
                if inputs
                    .send(Input::Message(id, Message::Hello(hello)))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Ok(Message::Batch(batch)) => {
                let sink = sink.lock().unwrap_or_else(PoisonError::into_inner).clone();
                match sink {
                    Some(sink) => drop(sink.send(Item::Batch(batch)).await),
                    // Nothing is received: the core says what that means.
                    None => drop(inputs.send(Input::Message(id, Message::Batch(batch))).await),
                }
            }
            Ok(message) => {
                if inputs.send(Input::Message(id, message)).await.is_err() {
                    return;
                }
            }
            Err(error) => break error.to_string(),
        }
    };
    drop(inputs.send(Input::LinkLost(id, why)).await);
}
