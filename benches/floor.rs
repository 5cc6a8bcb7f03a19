//! The floor: read what is known to have changed, send it over one TLS stream, write it, fsync.
//!
//! No check, no staging, no commit: what remains is what the disk and the wire cost.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use ferry::units::Extent;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use crate::commands;
use crate::copier::{Copier, Target, Work};
use crate::meter::{Meter, Sample};
use crate::proxy::Proxy;

/// Reads under way.
const READERS: usize = 16;

/// The most bytes of one read.
const READ_MAX: u64 = 1 << 20;

/// What was read and not sent yet.
const WAITING_MAX: usize = 32;

/// Bytes that are handed to TLS, or taken from it, at once.
const STREAM_BUFFER: usize = 256 << 10;

/// Stands in for an offset after the last piece.
const END: u64 = u64::MAX;

/// The floor as a copier.
pub struct Floor {
    target: Target,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    link: Option<Proxy>,
}

impl Floor {
    /// The floor, with its target in `directory`, through a link if there is one.
    pub fn new(directory: &Path, link: Option<Proxy>) -> Result<Floor> {
        let own = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
        let certificate = own.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let versions = &[&rustls::version::TLS13];
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())?;
        Ok(Floor {
            target: Target::new(directory)?,
            client: Arc::new(client),
            server: Arc::new(server),
            link,
        })
    }
}

impl Copier for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn unable(&self) -> Option<String> {
        None
    }

    fn prepare(&mut self, work: &Work) -> Result<()> {
        self.target.hold(work.before.as_deref())
    }

    fn copy(&mut self, work: &Work) -> Result<Sample> {
        self.target.becomes(&work.source);
        let target = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.target.file)?;
        target.set_len(std::fs::metadata(&work.source)?.len())?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut address = listener.local_addr()?.to_string();
        if let Some(link) = &self.link {
            address = link.lead_to(&address)?;
        }
        let server = self.server.clone();
        let receiving = thread::spawn(move || receive(&listener, server, &target));
        commands::drop_caches()?;
        let mut meter = Meter::begin()?;
        meter.start()?;
        let pieces = pieces_of(&work.extents);
        let pool = Pool::default();
        let (waiting, readers) = read_all(&work.source, pieces, &pool)?;
        let stream = TcpStream::connect(address)?;
        let sent = send(stream, self.client.clone(), &waiting, &pool);
        for reader in readers {
            reader.join().map_err(|_| anyhow!("a reader panicked"))??;
        }
        let received = receiving
            .join()
            .map_err(|_| anyhow!("the receiver panicked"))?;
        sent.and(received)?;
        meter.stop()?;
        meter.end()
    }

    fn target(&self) -> PathBuf {
        self.target.file.clone()
    }

    fn clear(&mut self) -> Result<()> {
        self.target.remove()
    }
}

type Piece = (u64, Vec<u8>);

/// Buffers to be used again: fresh memory costs more than a read.
type Pool = Arc<Mutex<Vec<Vec<u8>>>>;
type Readers = Vec<JoinHandle<Result<()>>>;

fn pieces_of(extents: &[Extent]) -> Vec<Extent> {
    let mut pieces = Vec::new();
    for extent in extents {
        let mut at = extent.offset;
        while at < extent.end() {
            let len = (extent.end() - at).min(READ_MAX);
            pieces.push(Extent::new(at, len));
            at += len;
        }
    }
    pieces
}

/// Starts threads that read `pieces`, in any order.
fn read_all(source: &Path, pieces: Vec<Extent>, pool: &Pool) -> Result<(Receiver<Piece>, Readers)> {
    let (out, waiting) = sync_channel(WAITING_MAX);
    let file = Arc::new(File::open(source)?);
    let next = Arc::new(AtomicUsize::new(0));
    let pieces = Arc::new(pieces);
    let readers = (0..READERS).map(|_| {
        let (file, next, pieces, out) = (file.clone(), next.clone(), pieces.clone(), out.clone());
        let pool = pool.clone();
        thread::spawn(move || read_some(&file, &next, &pieces, &out, &pool))
    });
    Ok((waiting, readers.collect()))
}

fn read_some(
    file: &File,
    next: &AtomicUsize,
    pieces: &[Extent],
    out: &SyncSender<Piece>,
    pool: &Pool,
) -> Result<()> {
    while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut data = lock(pool).pop().unwrap_or_default();
        data.resize(usize::try_from(piece.len)?, 0);
        file.read_exact_at(&mut data, piece.offset)?;
        out.send((piece.offset, data))
            .context("nobody sends any more")?;
    }
    Ok(())
}

fn lock(pool: &Pool) -> MutexGuard<'_, Vec<Vec<u8>>> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    waiting: &Receiver<Piece>,
    pool: &Pool,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let tls = rustls::StreamOwned::new(ClientConnection::new(config, name)?, stream);
    let mut out = BufWriter::with_capacity(STREAM_BUFFER, tls);
    while let Ok((offset, data)) = waiting.recv() {
        out.write_all(&offset.to_le_bytes())?;
        out.write_all(&u32::try_from(data.len())?.to_le_bytes())?;
        out.write_all(&data)?;
        lock(pool).push(data);
    }
    out.write_all(&END.to_le_bytes())?;
    out.flush()?;
    let mut acknowledged = [0];
    out.get_mut().read_exact(&mut acknowledged)?;
    Ok(())
}

fn receive(listener: &TcpListener, config: Arc<ServerConfig>, target: &File) -> Result<()> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let tls = rustls::StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut input = BufReader::with_capacity(STREAM_BUFFER, tls);
    let (mut offset, mut len) = ([0; 8], [0; 4]);
    let mut data = Vec::new();
    loop {
        input.read_exact(&mut offset)?;
        let at = u64::from_le_bytes(offset);
        if at == END {
            break;
        }
        input.read_exact(&mut len)?;
        data.resize(usize::try_from(u32::from_le_bytes(len))?, 0);
        input.read_exact(&mut data)?;
        target.write_all_at(&data, at)?;
    }
    target.sync_all()?;
    input.get_mut().write_all(&[1])?;
    input.get_mut().flush()?;
    Ok(())
}
