//! btrfs send and receive, between two file systems on loop devices. Making the change and cutting
//! the snapshot are not measured; the transfer and the flush of the receiving file system are.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use protocol::units::Extent;

use super::{COPY_LIMIT, Server, Serves};
use crate::commands;
use crate::copier::{Copier, Work};
use crate::meter::{Meter, Sample};

const PORT: u16 = 7040;

/// Bytes that are rewritten at once.
const PIECE: u64 = 1 << 20;

/// btrfs as a copier. The mounts are gone with the mount namespace that this runs in.
pub struct Btrfs {
    home: PathBuf,
    built: PathBuf,
    /// The number of the newest snapshot that both have, and the image in it.
    common: Option<(u32, PathBuf)>,
}

impl Btrfs {
    /// btrfs with its file systems in `home`.
    pub fn new(home: &Path, built: &Path) -> Result<Btrfs> {
        std::fs::create_dir_all(home)?;
        Ok(Btrfs {
            home: home.into(),
            built: built.into(),
            common: None,
        })
    }

    fn side(&self, side: &str) -> PathBuf {
        self.home.join(side)
    }

    fn snapshot(&self, side: &str, number: u32) -> PathBuf {
        self.side(side).join(format!("cut-{number}"))
    }

    fn make(&self, size: u64) -> Result<()> {
        for side in ["east", "west"] {
            let (disk, mount) = (self.home.join(format!("{side}.disk")), self.side(side));
            std::fs::create_dir_all(&mount)?;
            File::create(&disk)?.set_len(size * 2)?;
            commands::run(Command::new("mkfs.btrfs").arg("-q").arg(&disk))?;
            let mut command = Command::new("mount");
            commands::run(
                command
                    .args(["-t", "btrfs", "-o", "loop"])
                    .arg(&disk)
                    .arg(&mount),
            )?;
        }
        let work = self.side("east").join("work");
        commands::run(
            Command::new("btrfs")
                .args(["subvolume", "create"])
                .arg(work),
        )
    }

    /// Snapshot `number` of what is written now.
    fn cut(&self, number: u32) -> Result<()> {
        let mut command = Command::new("btrfs");
        command.args(["subvolume", "snapshot", "-r"]);
        command.arg(self.side("east").join("work"));
        commands::run(command.arg(self.snapshot("east", number)))?;
        commands::run(Command::new("sync").arg("-f").arg(self.side("east")))
    }

    /// Sends snapshot `number`, as a difference where there is a common one; measured.
    fn send(&self, number: u32) -> Result<Sample> {
        let west = self.side("west");
        let receive = format!(
            "socat -u TCP-LISTEN:{PORT},bind=127.0.0.1,reuseaddr - | btrfs receive -q {}",
            west.display()
        );
        let parent = match &self.common {
            Some((common, _)) => format!("-p {}", self.snapshot("east", *common).display()),
            None => String::new(),
        };
        let send = format!(
            "btrfs send -q {parent} {} | socat -u - TCP:127.0.0.1:{PORT}",
            self.snapshot("east", number).display()
        );
        commands::drop_caches()?;
        let mut meter = Meter::begin()?;
        let mut command = Command::new("sh");
        command.args(["-c", &receive]).stdin(Stdio::null());
        let server = Server::start(&mut command, PORT, &self.home.join("server.log"))?;
        meter.start()?;
        commands::run(Command::new("timeout").args([COPY_LIMIT, "sh", "-c", &send]))?;
        server.end(Serves::Once)?;
        commands::run(Command::new("sync").arg("-f").arg(west))?;
        meter.stop()?;
        meter.end()
    }

    fn delete(&self, number: u32) -> Result<()> {
        for side in ["east", "west"] {
            let mut command = Command::new("btrfs");
            command.args(["subvolume", "delete"]);
            commands::run(command.arg(self.snapshot(side, number)))?;
        }
        Ok(())
    }
}

impl Copier for Btrfs {
    fn name(&self) -> &'static str {
        "btrfs send -p"
    }

    fn unable(&self) -> Option<String> {
        let needed = ["mkfs.btrfs", "btrfs", "socat"];
        let missing = needed
            .iter()
            .find(|program| commands::find(program, &self.built).is_none())?;
        Some(format!(
            "{missing} is unavailable from a package registry here"
        ))
    }

    fn prepare(&mut self, work: &Work) -> Result<()> {
        let before = work.before.as_ref().context("only differences are sent")?;
        if self
            .common
            .as_ref()
            .is_some_and(|(_, image)| image == before)
        {
            return Ok(());
        }
        self.clear()?;
        self.make(std::fs::metadata(before)?.len())?;
        commands::copy_sparse(before, &self.side("east").join("work").join("image"))?;
        self.cut(1)?;
        self.send(1)?;
        self.common = Some((1, before.clone()));
        Ok(())
    }

    fn copy(&mut self, work: &Work) -> Result<Sample> {
        let (old, _) = self
            .common
            .clone()
            .context("there is nothing to build on")?;
        rewrite(
            &work.source,
            &self.side("east").join("work").join("image"),
            &work.extents,
        )?;
        self.cut(old + 1)?;
        let sample = self.send(old + 1)?;
        self.common = Some((old + 1, work.source.clone()));
        self.delete(old)?;
        Ok(sample)
    }

    fn target(&self) -> PathBuf {
        let number = self.common.as_ref().map_or(0, |(number, _)| *number);
        self.snapshot("west", number).join("image")
    }

    fn clear(&mut self) -> Result<()> {
        self.common = None;
        for side in ["east", "west"] {
            // One that was never mounted can't be unmounted.
            drop(commands::run(Command::new("umount").arg(self.side(side))));
        }
        std::fs::remove_dir_all(&self.home)?;
        Ok(std::fs::create_dir_all(&self.home)?)
    }
}

/// Writes `extents` of one file to another, as an application would change them.
fn rewrite(from: &Path, to: &Path, extents: &[Extent]) -> Result<()> {
    let (from, to) = (File::open(from)?, OpenOptions::new().write(true).open(to)?);
    let mut piece = vec![0; usize::try_from(PIECE)?];
    for extent in extents {
        let mut at = extent.offset;
        while at < extent.end() {
            let len = usize::try_from((extent.end() - at).min(PIECE))?;
            from.read_exact_at(&mut piece[..len], at)?;
            to.write_all_at(&piece[..len], at)?;
            at += len as u64;
        }
    }
    Ok(to.sync_all()?)
}
