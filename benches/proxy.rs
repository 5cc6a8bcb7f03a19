//! A long and narrow link, made in user space: what goes in comes out later, and no faster than the
//! rate. The kernel's own queue disciplines are not needed, and TCP's windows play no part.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::net::sockopt::set_socket_recv_buffer_size;

/// The most bytes that are passed on together.
const PIECE: usize = 64 << 10;

/// A link with less than this, in bytes a second, has little room for what waits at its ends.
const NARROW: f64 = 1e6;

/// How late this may be woken without the link counting as idle meanwhile.
const LATE_MAX: Duration = Duration::from_millis(20);

/// A link.
#[derive(Clone, Copy, Debug)]
pub struct Proxy {
    /// How long a byte takes one way.
    pub delay: Duration,
    /// Bytes a second, each way.
    pub rate: f64,
}

struct Piece {
    due: Instant,
    data: Vec<u8>,
}

impl Proxy {
    /// An address that leads to `address` through the link, for one connection.
    pub fn lead_to(&self, address: &str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        if self.rate < NARROW {
            set_socket_recv_buffer_size(&listener, 16 << 10)?;
        }
        let here = listener.local_addr()?.to_string();
        let (link, address) = (*self, address.to_string());
        thread::spawn(move || {
            // Whoever uses the link notices when it breaks.
            drop(link.serve(&listener, &address));
        });
        Ok(here)
    }

    fn serve(self, listener: &TcpListener, address: &str) -> Result<()> {
        let (near, _) = listener.accept()?;
        let far = TcpStream::connect(address)?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        self.pump(near.try_clone()?, far.try_clone()?);
        self.pump(far, near);
        Ok(())
    }

    /// Bytes that are passed on together: those of 20 ms.
    fn piece(self) -> usize {
        ((self.rate / 50.0) as usize).clamp(128, PIECE)
    }

    /// Carries what comes from `from` to `to`, in threads of its own.
    fn pump(self, from: TcpStream, to: TcpStream) {
        // What is under way on a real link of this length, and as much again in its queues.
        let under_way = self.rate * self.delay.as_secs_f64() * 2.0;
        let (out, queue) = sync_channel(2 + under_way as usize / self.piece());
        thread::spawn(move || self.take_in(from, &out));
        thread::spawn(move || hand_out(to, &queue));
    }

    fn take_in(self, mut from: TcpStream, out: &SyncSender<Piece>) {
        let mut free = Instant::now();
        let mut buffer = vec![0; self.piece()];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let took = Duration::from_secs_f64(len as f64 / self.rate);
            let idle_since = Instant::now().checked_sub(LATE_MAX).unwrap_or(free);
            free = free.max(idle_since) + took;
            let piece = Piece {
                due: free + self.delay,
                data: buffer[..len].to_vec(),
            };
            if out.send(piece).is_err() {
                return;
            }
            thread::sleep(free.saturating_duration_since(Instant::now()));
        }
    }
}

fn hand_out(mut to: TcpStream, queue: &Receiver<Piece>) {
    while let Ok(piece) = queue.recv() {
        thread::sleep(piece.due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece.data).is_err() {
            return;
        }
    }
    // Whoever is at that end reads the end of the stream.
    drop(to.shutdown(Shutdown::Write));
}
