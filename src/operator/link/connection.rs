//! One authenticated connection: a request, a response.

use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};

use crate::link::{MoverKey, MoverLinkError};
use protocol::units::{Epoch, ImageState, Lineage, PeerName, Role};
use transport::{FrameReader, FrameWriter};
use transport::{Link as _, Session, TlsDir, dial};
use wire::control::Response;
use wire::{Asked, Hello, Message, VersionRange, WireError, decode, encode};

/// The longest that the mover's greeting may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to one mover. Whoever stops waiting for an answer must drop it: the next answer
/// would be taken for that of another request.
#[derive(Debug)]
pub(super) struct Connection {
    address: String,
    reader: FrameReader<ReadHalf<Session>>,
    writer: FrameWriter<WriteHalf<Session>>,
}

impl Connection {
    /// Dials the mover of `key`, checks that it is the one, and agrees on a version.
    pub(super) async fn open(key: &MoverKey, tls: &TlsDir) -> Result<Connection, MoverLinkError> {
        let session = dial(&key.address, tls)
            .await
            .map_err(|e| unreachable(key, e))?;
        let expected = PeerName::Mover {
            site: key.site.clone(),
            pair: key.pair.clone(),
        };
        if *session.peer() != expected {
            return Err(MoverLinkError::WrongIdentity {
                address: key.address.clone(),
                expected,
                found: session.peer().clone(),
            });
        }
        let (read, write) = tokio::io::split(session);
        let mut connection = Connection {
            address: key.address.clone(),
            reader: FrameReader::new(read),
            writer: FrameWriter::new(write),
        };
        connection
            .send(Message::Hello(Box::new(greeting(key))))
            .await?;
        match connection.receive(HELLO_TIMEOUT).await? {
            Message::Hello(_) => connection.reader.after_hello(),
            other => return Err(connection.unexpected(&other)),
        }
        Ok(connection)
    }

    /// Sends what is asked and waits for its answer.
    pub(super) async fn ask(
        &mut self,
        asked: Asked,
        timeout: Duration,
    ) -> Result<Response, MoverLinkError> {
        self.send(Message::Request(Box::new(asked))).await?;
        self.answer(timeout).await
    }

    /// Sends what is asked; [`Connection::answer`] must follow.
    pub(super) async fn begin(&mut self, asked: Asked) -> Result<(), MoverLinkError> {
        self.send(Message::Request(Box::new(asked))).await
    }

    /// The answer to the request that was sent. After a time-out it may be called again.
    pub(super) async fn answer(&mut self, timeout: Duration) -> Result<Response, MoverLinkError> {
        match self.receive(timeout).await? {
            Message::Response(response) => Ok(*response),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), MoverLinkError> {
        let encoded = encode(message).map_err(|e| self.broken(&e))?;
        let sent = tokio::time::timeout(super::REQUEST_TIMEOUT, self.writer.send(&encoded)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(self.broken(&e)),
            Err(_) => Err(self.timed_out(super::REQUEST_TIMEOUT)),
        }
    }

    async fn receive(&mut self, timeout: Duration) -> Result<Message, MoverLinkError> {
        let frame = match tokio::time::timeout(timeout, self.reader.next()).await {
            Ok(Ok(Some(frame))) => frame,
            Ok(Ok(None)) => {
                return Err(MoverLinkError::Unreachable {
                    address: self.address.clone(),
                    reason: "it ended the connection".into(),
                });
            }
            Ok(Err(e)) => return Err(self.broken(&e)),
            Err(_) => return Err(self.timed_out(timeout)),
        };
        decode(frame).map_err(|e| self.broken(&e))
    }

    fn broken(&self, error: &WireError) -> MoverLinkError {
        let (address, reason) = (self.address.clone(), error.to_string());
        if error.is_violation() {
            return MoverLinkError::Protocol { address, reason };
        }
        MoverLinkError::Unreachable { address, reason }
    }

    fn timed_out(&self, timeout: Duration) -> MoverLinkError {
        MoverLinkError::TimedOut {
            address: self.address.clone(),
            seconds: timeout.as_secs(),
        }
    }

    fn unexpected(&self, message: &Message) -> MoverLinkError {
        let reason = match message {
            Message::Refuse(refuse) => refuse.message.clone(),
            _ => "a message that does not belong here".into(),
        };
        MoverLinkError::Protocol {
            address: self.address.clone(),
            reason,
        }
    }
}

fn unreachable(key: &MoverKey, error: impl std::fmt::Display) -> MoverLinkError {
    MoverLinkError::Unreachable {
        address: key.address.clone(),
        reason: error.to_string(),
    }
}

/// The operator has no volume: all that its greeting says is which versions it speaks.
pub(super) fn greeting(key: &MoverKey) -> Hello {
    Hello {
        versions: VersionRange::OURS,
        pair_id: None,
        site: key.site.clone(),
        unreadable: false,
        role: Role::Standby,
        epoch: Epoch(0),
        lineage: Lineage::default(),
        committed: None,
        applied: None,
        cut: None,
        image: ImageState::None,
        size_bytes: 0,
        diverged: false,
        never_writable: false,
        digests_of: None,
    }
}
