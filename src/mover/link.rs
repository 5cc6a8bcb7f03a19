//! A connection to the peer mover: frames in, frames out, each direction in a task of its own.
//!
//! Two queues lead out. Messages of the protocol go first; batches wait for the bandwidth and for the
//! network. So a refusal or an acknowledgement is never behind a megabyte of data.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::receive::thread::Item;
use crate::ship::throttle::Throttle;
use mover_core::Input;
use protocol::units::PeerName;
use transport::{FrameReader, FrameWriter};
use transport::{Link as _, Session};
use wire::{Encoded, Message, decode, encode};

/// Messages of the protocol that wait to be sent. The protocol never has more than a few under way:
/// beyond it the peer does not read, and the link ends.
const MESSAGES_MAX: usize = 256;

/// Batches that wait to be sent, each up to about 1 MiB. Beyond it the reader of the device waits.
const BATCHES_MAX: usize = 4;

/// How long a link that is hung up may take to deliver its last messages. Beyond it they are lost.
const LINGER: Duration = Duration::from_secs(2);

/// Counts what crosses a link, in bytes before encryption.
#[derive(Debug, Default)]
pub struct LinkCount {
    /// Bytes in both directions.
    pub bytes: AtomicU64,
    /// Frames in both directions.
    pub frames: AtomicU64,
}

/// Where received batches go: straight to the thread that stages them.
pub type BatchSink = Arc<Mutex<Option<mpsc::Sender<Item>>>>;

/// Our end of a connection to the peer mover.
#[derive(Debug)]
pub struct PeerLink {
    /// Tells this connection from earlier ones.
    pub id: u64,
    /// Who is at the other end.
    pub peer: PeerName,
    /// What has crossed it.
    pub count: Arc<LinkCount>,
    messages: mpsc::Sender<Message>,
    batches: mpsc::Sender<Encoded>,
    reader: JoinHandle<()>,
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
        let count = Arc::new(LinkCount::default());
        let (read_half, write_half) = tokio::io::split(session);
        let (messages, messages_queue) = mpsc::channel(MESSAGES_MAX);
        let (batches, batches_queue) = mpsc::channel(BATCHES_MAX);
        tokio::spawn(write_all(
            FrameWriter::new(write_half),
            messages_queue,
            batches_queue,
            throttle,
            count.clone(),
        ));
        let reading = read_all(id, FrameReader::new(read_half), inputs, sink, count.clone());
        PeerLink {
            id,
            peer,
            count,
            messages,
            batches,
            reader: tokio::spawn(reading),
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

impl Drop for PeerLink {
    /// The writer delivers what was sent and then ends; nothing more is taken in.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn write_all<W: tokio::io::AsyncWrite + Unpin>(
    mut writer: FrameWriter<W>,
    mut messages: mpsc::Receiver<Message>,
    mut batches: mpsc::Receiver<Encoded>,
    throttle: Arc<Throttle>,
    count: Arc<LinkCount>,
) {
    loop {
        let frame = tokio::select! {
            biased;
            message = messages.recv() => match message {
                Some(message) => match encode(message) {
                    Ok(frame) => frame,
                    Err(error) => {
                        tracing::error!(%error, "failed to encode a message");
                        break;
                    }
                },
                None => break,
            },
            batch = batches.recv(), if !batches.is_closed() || !batches.is_empty() => match batch {
                Some(batch) => batch,
                None => continue,
            },
        };
        throttle.take(frame.wire_bytes()).await;
        if let Err(error) = writer.send(&frame).await {
            tracing::debug!(%error, "the link's sending side ended");
            return;
        }
        count.bytes.fetch_add(frame.wire_bytes(), Ordering::Relaxed);
        count.frames.fetch_add(1, Ordering::Relaxed);
    }
    drop(tokio::time::timeout(LINGER, writer.finish()).await);
}

async fn read_all<R: tokio::io::AsyncRead + Unpin>(
    id: u64,
    mut reader: FrameReader<R>,
    inputs: mpsc::Sender<Input>,
    sink: BatchSink,
    count: Arc<LinkCount>,
) {
    let mut seen = 0;
    let why = loop {
        let message = match reader.next().await {
            Ok(Some(frame)) => decode(frame),
            Ok(None) => break "the peer closed it".to_string(),
            Err(error) => break error.to_string(),
        };
        count
            .bytes
            .fetch_add(reader.wire_bytes() - seen, Ordering::Relaxed);
        count.frames.fetch_add(1, Ordering::Relaxed);
        seen = reader.wire_bytes();
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
