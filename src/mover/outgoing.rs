//! What goes out on a link: messages of the protocol at once, data in parts between them.
//!
//! A message waits neither behind data nor for the bandwidth limit (D-12): it goes before the next part,
//! and parts are as long as the link carries in a quarter of a second. A part that the system has taken is
//! out of our hands, so where the link is slow the system is let take little ahead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ship::throttle::Throttle;
use transport::{FrameWriter, SendBuffer};
use wire::{Encoded, Message, Part, WireError, encode};

/// How long a link that is hung up may take to deliver its last messages. Beyond it they are lost.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long one part keeps the link busy.
const PART_TIME: Duration = Duration::from_millis(250);

/// A part that was taken this fast says that longer ones are taken too.
const FAST: Duration = Duration::from_millis(20);

/// The shortest part of a message, in bytes, and the first.
const PART_BYTES_MIN: usize = 2 * 1024;
const PART_BYTES_FIRST: usize = 16 * 1024;

/// Parts of this many bytes are not limited any further: a batch goes in one.
const PART_BYTES_MAX: usize = 4 << 20;

/// On a link that takes parts of this many bytes the system may take as much ahead as it likes; elsewhere as
/// much as one part.
const WIDE_PART_BYTES: usize = 1 << 20;

/// How long the parts are that a link is given.
#[derive(Debug)]
struct Parts {
    bytes: usize,
    buffer: Option<SendBuffer>,
    /// What the system may take ahead, in bytes.
    ahead: u32,
}

impl Parts {
    fn new(buffer: Option<SendBuffer>) -> Parts {
        let mut parts = Parts {
            bytes: PART_BYTES_FIRST,
            buffer,
            ahead: u32::MAX,
        };
        parts.limit_ahead();
        parts
    }

    /// Notes that a part of `bytes` was taken within `took`.
    fn sent(&mut self, bytes: u64, took: Duration) {
        if took <= FAST {
            self.bytes = (self.bytes * 2).min(PART_BYTES_MAX);
        } else if took > PART_TIME {
            let in_time = u128::from(bytes) * PART_TIME.as_millis() / took.as_millis().max(1);
            let in_time = usize::try_from(in_time).unwrap_or(PART_BYTES_MAX);
            self.bytes = in_time.clamp(PART_BYTES_MIN, PART_BYTES_MAX);
        }
        self.limit_ahead();
    }

    fn limit_ahead(&mut self) {
        let ahead = match u32::try_from(self.bytes) {
            Ok(bytes) if self.bytes < WIDE_PART_BYTES => bytes,
            _ => u32::MAX,
        };
        if let Some(buffer) = self.buffer.as_ref().filter(|_| ahead != self.ahead) {
            self.ahead = ahead;
            if let Err(error) = buffer.limit_unsent(ahead) {
                tracing::debug!(%error, "what the system takes ahead can't be limited");
            }
        }
    }
}

/// The sending side of a link.
pub struct Outgoing<W> {
    writer: FrameWriter<W>,
    throttle: Arc<Throttle>,
    count: Arc<AtomicU64>,
    parts: Parts,
    /// Data that is being sent, and how much of the first has been.
    data: VecDeque<Encoded>,
    sent: usize,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// Sends on `writer`; `count` rises by the bytes that were sent, `buffer` is the system's.
    pub fn new(
        writer: FrameWriter<W>,
        throttle: Arc<Throttle>,
        count: Arc<AtomicU64>,
        buffer: Option<SendBuffer>,
    ) -> Outgoing<W> {
        Outgoing {
            writer,
            throttle,
            count,
            parts: Parts::new(buffer),
            data: VecDeque::new(),
            sent: 0,
        }
    }

    /// Sends what comes until nobody sends `messages` any more, and delivers what was sent.
    pub async fn run(
        mut self,
        messages: mpsc::Receiver<Message>,
        batches: mpsc::Receiver<Encoded>,
    ) {
        match self.send_all(messages, batches).await {
            Ok(()) => drop(tokio::time::timeout(LINGER, self.writer.finish()).await),
            Err(error) => tracing::debug!(%error, "the link's sending side ended"),
        }
    }

    async fn send_all(
        &mut self,
        mut messages: mpsc::Receiver<Message>,
        mut batches: mpsc::Receiver<Encoded>,
    ) -> Result<(), WireError> {
        loop {
            let idle = self.data.is_empty();
            let part = self.part();
            let bytes = part.as_ref().map_or(0, Part::wire_bytes);
            tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Some(message) => self.message(message).await?,
                    None => return Ok(()),
                },
                () = self.throttle.take(bytes), if !idle => {
                    if let Some(part) = part {
                        self.send_part(part).await?;
                    }
                },
                batch = batches.recv(), if idle && (!batches.is_closed() || !batches.is_empty()) => {
                    self.data.extend(batch);
                },
            }
        }
    }

    async fn message(&mut self, message: Message) -> Result<(), WireError> {
        let frame = encode(message)?;
        if frame.has_parts() {
            // Answers of many digests are data too. What has begun goes on first.
            self.data.push_back(frame);
            return Ok(());
        }
        self.throttle.owe(frame.wire_bytes());
        self.writer.send(&frame).await?;
        self.count.fetch_add(frame.wire_bytes(), Ordering::Relaxed);
        Ok(())
    }

    /// The next part of the data that is being sent.
    fn part(&self) -> Option<Part> {
        let frame = self.data.front()?;
        let len = self.parts.bytes.min(self.throttle.piece(PART_BYTES_MIN));
        Some(frame.part(self.sent, len))
    }

    async fn send_part(&mut self, part: Part) -> Result<(), WireError> {
        let started = Instant::now();
        self.writer.send_part(&part).await?;
        let bytes = part.wire_bytes();
        self.count.fetch_add(bytes, Ordering::Relaxed);
        self.parts.sent(bytes, started.elapsed());
        self.sent += part.head.len() + part.bulk.len();
        if !part.goes_on {
            self.data.pop_front();
            self.sent = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::{FrameReader, ReceivedCount};
    use wire::{Batch, Codec, Frame, FrameKind};

    fn batch(bytes: usize) -> Encoded {
        let data = vec![7; bytes];
        let region = protocol::changes::Region {
            extent: protocol::units::Extent::new(0, bytes as u64),
            kind: protocol::changes::RegionKind::Data { crc: 0 },
        };
        encode(Message::Batch(Batch {
            cycle: protocol::units::Point::new(1, 1),
            index: 0,
            through: bytes as u64,
            codec: Codec::Plain,
            unpacked_len: u32::try_from(bytes).unwrap(),
            regions: vec![region],
            packed: data.into(),
        }))
        .unwrap()
    }

    /// D-12: a message that is sent while a batch of 1 MiB is under way, on a link that takes little at a time
    /// or under a limit that is far exceeded, comes before the rest of the batch.
    #[tokio::test]
    async fn d_12_a_message_waits_neither_behind_data_nor_for_the_limit() {
        for limit in [None, Some(64 * 1024)] {
            let (near, far) = tokio::io::duplex(4096);
            let throttle = Arc::new(Throttle::new(limit));
            let (messages, messages_queue) = mpsc::channel(8);
            let (batches, batches_queue) = mpsc::channel(8);
            let outgoing = Outgoing::new(FrameWriter::new(near), throttle, Arc::default(), None);
            let sending = tokio::spawn(outgoing.run(messages_queue, batches_queue));
            batches.send(batch(1 << 20)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            messages.send(Message::Ping(5)).await.unwrap();
            let received = ReceivedCount::default();
            let mut reader = FrameReader::counting(far, received.clone());
            reader.after_hello();
            let first = reader.next().await.unwrap().unwrap();
            assert_eq!(first.kind, FrameKind::Ping);
            let before = received.all.load(Ordering::Relaxed);
            assert!(before < 128 << 10, "after {before} bytes, limit {limit:?}");
            if limit.is_none() {
                let Some(Frame { kind, payload }) = reader.next().await.unwrap() else {
                    panic!("the batch is gone");
                };
                let all = batch(1 << 20);
                assert_eq!(kind, FrameKind::Batch);
                assert_eq!(payload, [&all.head[..], &all.bulk[..]].concat());
            }
            sending.abort();
        }
    }

    /// Parts become as long as a link takes in their time, whatever it carries, and on a fast one a batch goes
    /// in one.
    #[test]
    fn parts_follow_what_the_link_carries() {
        for (rate, least, most) in [
            (8.0 * 1024.0, 2048, 4096),
            (1e6, 32 << 10, 512 << 10),
            (1e9, PART_BYTES_MAX, PART_BYTES_MAX),
        ] {
            let mut parts = Parts::new(None);
            for _ in 0..40 {
                let took = Duration::from_secs_f64(parts.bytes as f64 / rate);
                parts.sent(parts.bytes as u64, took);
            }
            assert!(
                (least..=most).contains(&parts.bytes),
                "{rate}: {}",
                parts.bytes
            );
        }
    }
}
