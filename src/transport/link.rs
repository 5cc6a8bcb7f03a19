//! Authenticated byte streams between programs.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::tls::{ALPN, TlsDir, TlsError, name_in};
use protocol::units::PeerName;

/// The most bytes that a peer may send before it is authenticated. Beyond it, it is cut off.
pub const HANDSHAKE_BYTES_MAX: u64 = 64 * 1024;

/// The longest that a peer may take to authenticate. Beyond it, it is cut off.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that a TCP connection may take to come about when dialling.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The most connections that may be authenticating at once. A further one takes the place of the
/// oldest: an honest peer needs milliseconds, so those that hang about are the ones to lose.
pub const UNAUTHENTICATED_MAX: usize = 32;

/// Bytes that are asked of the socket at once. The TLS library asks for 4 KiB at a time, which for
/// bulk data would cost more system calls than work. Half of [`HANDSHAKE_BYTES_MAX`], so that an
/// honest peer that speaks right after its handshake is never cut off.
const RECEIVE_BUFFER_BYTES: usize = 32 * 1024;

/// Authenticated connections that wait to be accepted. Beyond it they wait for at most
/// [`HANDSHAKE_TIMEOUT`], then they are dropped.
const ACCEPT_QUEUE: usize = 16;

/// A byte stream to a known peer: TLS in production, memory in the simulator.
pub trait Link: AsyncRead + AsyncWrite + Send + Unpin {
    /// Who is at the other end.
    fn peer(&self) -> &PeerName;
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address can't be listened on.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nobody answers at the address.
    #[error("failed to reach {address}: {source}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed: wrong CA, no certificate, no valid name, or not our protocol.
    #[error("failed to authenticate {address}: {source}")]
    Handshake {
        /// The peer's address.
        address: String,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// Our own certificates can't be used, or the peer's has no name.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener has ended.
    #[error("the listener has ended")]
    Closed,
}

/// The system's buffer for what is sent on a connection.
#[derive(Debug)]
pub struct SendBuffer(OwnedFd);

impl SendBuffer {
    /// Lets the system take about so many bytes that it can't send yet.
    ///
    /// # Errors
    /// What the system said.
    pub fn limit_unsent(&self, bytes: u32) -> io::Result<()> {
        socket2::SockRef::from(&self.0).set_tcp_notsent_lowat(bytes)
    }
}

/// A TLS connection whose other end is authenticated.
pub struct Session {
    stream: TlsStream<BufReader<Counted>>,
    peer: PeerName,
    address: SocketAddr,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} at {})", self.peer, self.address)
    }
}

impl Session {
    /// The system's buffer for what is sent.
    ///
    /// # Errors
    /// When the process has no more descriptors.
    pub fn send_buffer(&self) -> io::Result<SendBuffer> {
        let socket = &self.stream.get_ref().0.get_ref().socket;
        Ok(SendBuffer(socket.as_fd().try_clone_to_owned()?))
    }

    /// The other end's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn new(
        stream: TlsStream<BufReader<Counted>>,
        address: SocketAddr,
    ) -> Result<Session, LinkError> {
        let (counted, state) = stream.get_ref();
        if state.alpn_protocol() != Some(ALPN) {
            let source = io::Error::new(io::ErrorKind::InvalidData, "it does not speak ferry/1");
            return Err(LinkError::Handshake {
                address: address.to_string(),
                source,
            });
        }
        let leaf = state
            .peer_certificates()
            .and_then(<[_]>::first)
            .ok_or_else(|| TlsError::Name("there is no certificate".into()))?;
        let peer = name_in(leaf)?;
        counted
            .get_ref()
            .authenticated
            .store(true, Ordering::Release);
        Ok(Session {
            stream,
            peer,
            address,
        })
    }
}

impl Link for Session {
    fn peer(&self) -> &PeerName {
        &self.peer
    }
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Session {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Connects to `address` (`host:port`) and authenticates both ends. The caller checks
/// [`Link::peer`] against whom it meant to reach.
///
/// # Errors
/// When nobody answers within [`DIAL_TIMEOUT`], or one end does not trust the other within
/// [`HANDSHAKE_TIMEOUT`].
pub async fn dial(address: &str, tls: &TlsDir) -> Result<Session, LinkError> {
    let configs = tls.configs()?;
    let unreachable = |source| LinkError::Unreachable {
        address: address.into(),
        source,
    };
    let socket = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|e| unreachable(e.into()))?
        .map_err(unreachable)?;
    let remote = socket.peer_addr().map_err(unreachable)?;
    let counted = Counted::new(socket).map_err(unreachable)?;
    // The name is only a formality: the certificate's URI decides, not the address.
    let name = ServerName::IpAddress(remote.ip().into());
    let connect = TlsConnector::from(configs.client.clone()).connect(name, counted);
    let stream = within_handshake(address, connect).await?;
    Session::new(TlsStream::Client(stream), remote)
}

async fn within_handshake<T>(
    address: &str,
    handshake: impl Future<Output = io::Result<T>>,
) -> Result<T, LinkError> {
    let failed = |source| LinkError::Handshake {
        address: address.into(),
        source,
    };
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(|e| failed(e.into()))?
        .map_err(failed)
}

/// Takes connections and authenticates them, several at a time.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    accepted: mpsc::Receiver<Session>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Listens on `address` (`host:port`; port 0 lets the system choose).
    ///
    /// # Errors
    /// When the address is taken or invalid, or our certificates can't be used.
    pub async fn bind(address: &str, tls: Arc<TlsDir>) -> Result<Listener, LinkError> {
        let failed = |source| LinkError::Listen {
            address: address.into(),
            source,
        };
        tls.configs()?;
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let bound = socket.local_addr().map_err(failed)?;
        let (sender, accepted) = mpsc::channel(ACCEPT_QUEUE);
        Ok(Listener {
            address: bound,
            accepted,
            task: tokio::spawn(accept_all(socket, tls, sender)),
        })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next authenticated connection. Failed ones are logged and never seen here.
    ///
    /// # Errors
    /// When the listener has ended.
    pub async fn accept(&mut self) -> Result<Session, LinkError> {
        self.accepted.recv().await.ok_or(LinkError::Closed)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(socket: TcpListener, tls: Arc<TlsDir>, sender: mpsc::Sender<Session>) {
    let mut authenticating: VecDeque<AbortHandle> = VecDeque::new();
    while !sender.is_closed() {
        let (stream, remote) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of descriptors, or the peer was gone already: neither ends the listener.
                tracing::warn!(error = %e, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        authenticating.retain(|task| !task.is_finished());
        if authenticating.len() >= UNAUTHENTICATED_MAX
            && let Some(oldest) = authenticating.pop_front()
        {
            tracing::warn!("too many connections authenticate at once; the oldest is cut off");
            oldest.abort();
        }
        let (tls, sender) = (tls.clone(), sender.clone());
        let task = tokio::spawn(async move {
            match authenticate(stream, remote, &tls).await {
                // Once it is trusted it is no longer among those that can be cut off.
                Ok(session) => drop(tokio::spawn(hand_over(session, sender))),
                Err(e) => tracing::info!(error = %e, "turned a connection away"),
            }
        });
        authenticating.push_back(task.abort_handle());
    }
}

async fn hand_over(session: Session, sender: mpsc::Sender<Session>) {
    if sender
        .send_timeout(session, HANDSHAKE_TIMEOUT)
        .await
        .is_err()
    {
        tracing::warn!("nobody took an authenticated connection");
    }
}

async fn authenticate(
    stream: TcpStream,
    remote: SocketAddr,
    tls: &TlsDir,
) -> Result<Session, LinkError> {
    let address = remote.to_string();
    let configs = tls.configs()?;
    let counted = Counted::new(stream).map_err(|source| LinkError::Handshake {
        address: address.clone(),
        source,
    })?;
    let accept = TlsAcceptor::from(configs.server.clone()).accept(counted);
    let stream = within_handshake(&address, accept).await?;
    Session::new(TlsStream::Server(stream), remote)
}

/// A socket that gives out at most [`HANDSHAKE_BYTES_MAX`] until its peer is authenticated.
struct Counted {
    socket: TcpStream,
    received: AtomicU64,
    authenticated: AtomicBool,
}

impl Counted {
    fn new(socket: TcpStream) -> io::Result<BufReader<Counted>> {
        // Small frames such as acknowledgements must not wait for more.
        socket.set_nodelay(true)?;
        let counted = Counted {
            socket,
            received: AtomicU64::new(0),
            authenticated: AtomicBool::new(false),
        };
        Ok(BufReader::with_capacity(RECEIVE_BUFFER_BYTES, counted))
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buf);
        if !self.authenticated.load(Ordering::Acquire) {
            let read = (buf.filled().len() - before) as u64;
            if self.received.fetch_add(read, Ordering::AcqRel) + read > HANDSHAKE_BYTES_MAX {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "too many bytes before the handshake was done",
                )));
            }
        }
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
