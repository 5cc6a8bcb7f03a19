//! Connections between movers, and between operator and mover: TLS both ways, and frames on them.
//! The only place that names a socket.

mod frames;
mod link;
#[cfg(test)]
mod link_tests;
mod tls;
#[cfg(test)]
mod wire_tests;

pub use frames::{FrameReader, FrameWriter, ReceivedCount};
pub use link::{
    DIAL_TIMEOUT, HANDSHAKE_BYTES_MAX, HANDSHAKE_TIMEOUT, Link, LinkError, Listener, SendBuffer,
    Session, UNAUTHENTICATED_MAX, dial,
};
pub use tls::{ALPN, TlsDir, TlsError};
