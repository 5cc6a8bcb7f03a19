//! The peers: programs that others wrote, each with its usual options, run beside Ferry.
//!
//! A peer is a program at the target that waits on loopback and one at the source that connects to
//! it. Neither encrypts. Measured is from the start of the one at the source to the end of an fsync
//! of the target, with the one at the target up before.

mod btrfs;
mod install;
mod table;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::commands;
use crate::copier::{Copier, Target, Work};
use crate::meter::{Meter, Sample};

pub use btrfs::Btrfs;
pub use install::install;
pub use table::{ABSENT, PEERS};

/// How long a peer may take to listen, or to end by itself.
const PEER_WAIT: Duration = Duration::from_secs(20);

/// How long one copy by a peer may take, as `timeout` reads it.
const COPY_LIMIT: &str = "900s";

/// Where a peer finds its things.
pub struct Place<'a> {
    /// The image to copy.
    pub source: &'a Path,
    /// The file to copy it to.
    pub target: &'a Path,
    /// A directory for files of its own.
    pub home: &'a Path,
    /// Programs that were built for this.
    pub built: &'a Path,
}

/// How the program at the target ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// It serves one connection and ends.
    Once,
    /// It has to be ended.
    On,
}

/// One peer.
pub struct Peer {
    /// Its name, and what matters of its options.
    pub name: &'static str,
    /// The programs that it needs.
    pub needs: &'static [&'static str],
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// How the program at the target ends.
    pub serves: Serves,
    /// The program at the target.
    pub server: fn(&Place<'_>) -> Result<Command>,
    /// The program at the source.
    pub client: fn(&Place<'_>) -> Result<Command>,
}

/// A peer as a copier.
pub struct PeerCopier {
    peer: &'static Peer,
    home: PathBuf,
    built: PathBuf,
    target: Target,
}

impl PeerCopier {
    /// `peer` with its files in `home`.
    pub fn new(peer: &'static Peer, home: &Path, built: &Path) -> Result<PeerCopier> {
        Ok(PeerCopier {
            peer,
            home: home.into(),
            built: built.into(),
            target: Target::new(home)?,
        })
    }
}

impl Copier for PeerCopier {
    fn name(&self) -> &str {
        self.peer.name
    }

    fn unable(&self) -> Option<String> {
        let missing = self
            .peer
            .needs
            .iter()
            .find(|program| commands::find(program, &self.built).is_none())?;
        Some(format!(
            "{missing} is unavailable from a package registry here"
        ))
    }

    fn prepare(&mut self, work: &Work) -> Result<()> {
        self.target.hold(work.before.as_deref())
    }

    fn copy(&mut self, work: &Work) -> Result<Sample> {
        self.target.becomes(&work.source);
        if work.before.is_none() {
            let size = std::fs::metadata(&work.source)?.len();
            File::create(&self.target.file)?.set_len(size)?;
        }
        let place = Place {
            source: &work.source,
            target: &self.target.file,
            home: &self.home,
            built: &self.built,
        };
        let client = (self.peer.client)(&place)?;
        commands::drop_caches()?;
        let mut meter = Meter::begin()?;
        let server = Server::start(
            &mut (self.peer.server)(&place)?,
            self.peer.port,
            &self.home.join("server.log"),
        )?;
        // The program's own file is not part of the work.
        std::fs::read(
            commands::find(&client.get_program().to_string_lossy(), &self.built)
                .context("no client")?,
        )?;
        meter.start()?;
        let mut limited = Command::new("timeout");
        limited
            .arg(COPY_LIMIT)
            .arg(client.get_program())
            .args(client.get_args());
        commands::run(&mut limited)?;
        server.end(self.peer.serves)?;
        File::open(&self.target.file)?.sync_all()?;
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

/// A program at the target. Dropping it kills it.
struct Server(Child);

impl Server {
    /// Starts it, and waits until it listens on `port`.
    fn start(command: &mut Command, port: u16, log: &Path) -> Result<Server> {
        let out = OpenOptions::new().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out);
        let child = command
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        let server = Server(child);
        let until = Instant::now() + PEER_WAIT;
        while !listening(port)? {
            ensure!(
                Instant::now() < until,
                "nobody listens on {port}; see {}",
                log.display()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    fn end(mut self, serves: Serves) -> Result<()> {
        if serves == Serves::On {
            // What it has forked counts too, and only what it has waited for is counted.
            let children = format!("/proc/{0}/task/{0}/children", self.0.id());
            let until = Instant::now() + PEER_WAIT;
            while std::fs::read_to_string(&children).is_ok_and(|children| !children.is_empty()) {
                ensure!(Instant::now() < until, "the peer's server still works");
                std::thread::sleep(Duration::from_millis(1));
            }
            self.0.kill()?;
            self.0.wait()?;
            return Ok(());
        }
        let until = Instant::now() + PEER_WAIT;
        while Instant::now() < until {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "the peer's server ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the peer's server does not end")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended can't be killed; that is as well.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether somebody listens on a port of loopback. Asked of the kernel: a connection would be taken
/// for the copy's own.
fn listening(port: u16) -> Result<bool> {
    let sockets = std::fs::read_to_string("/proc/self/net/tcp")?;
    let (local, listens) = (format!(":{port:04X}"), "0A");
    Ok(sockets.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let ends = fields
            .next()
            .is_some_and(|address| address.ends_with(&local));
        ends && fields.nth(1) == Some(listens)
    }))
}
