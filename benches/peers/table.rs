//! Each peer's commands.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Peer, Place, Serves};

/// Peers that are available.
pub const PEERS: [Peer; 6] = [
    Peer {
        name: "nbdcopy",
        needs: &["nbdcopy", "nbdkit"],
        port: 7010,
        serves: Serves::On,
        server: nbdkit,
        client: |place| {
            let mut command = Command::new("nbdcopy");
            command.arg("--flush").arg(place.source).arg(NBD);
            Ok(command)
        },
    },
    Peer {
        name: "qemu-img convert",
        needs: &["qemu-img", "nbdkit"],
        port: 7010,
        serves: Serves::On,
        server: nbdkit,
        client: |place| {
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-n", "-f", "raw", "-O", "raw"]);
            command.arg(place.source).arg(NBD);
            Ok(command)
        },
    },
    Peer {
        name: "rsync -W",
        needs: &["rsync"],
        port: 7020,
        serves: Serves::On,
        server: rsync_daemon,
        client: |place| rsync(place, &["--whole-file"]),
    },
    Peer {
        name: "rsync",
        needs: &["rsync"],
        port: 7020,
        serves: Serves::On,
        server: rsync_daemon,
        client: |place| rsync(place, &["--no-whole-file"]),
    },
    Peer {
        name: "rsync -B4096",
        needs: &["rsync"],
        port: 7020,
        serves: Serves::On,
        server: rsync_daemon,
        client: |place| rsync(place, &["--no-whole-file", "-B4096"]),
    },
    Peer {
        name: "diskrsync",
        needs: &["diskrsync", "socat"],
        port: 7030,
        serves: Serves::Once,
        server: |place| {
            let program = place.built.join("diskrsync");
            let run = format!(
                "{} --target --no-compress {}",
                program.display(),
                place.target.display()
            );
            let mut command = Command::new("socat");
            command.args(["-b", "262144"]);
            command
                .arg("TCP-LISTEN:7030,bind=127.0.0.1,reuseaddr,nodelay")
                .arg(format!("EXEC:{run}"));
            Ok(command)
        },
        client: |place| {
            let program = place.built.join("diskrsync");
            let run = format!("{} --source {}", program.display(), place.source.display());
            let mut command = Command::new("socat");
            command.args(["-b", "262144"]);
            command
                .arg("TCP:127.0.0.1:7030,nodelay")
                .arg(format!("EXEC:{run}"));
            Ok(command)
        },
    },
];

/// Peers that are known and can't be run, each with the reason.
pub const ABSENT: [(&str, &str); 7] = [
    ("blocksync-fast", "in no package registry"),
    ("bdsync", "in no package registry"),
    ("mscp", "in no package registry"),
    ("VolSync", "needs a cluster; its block mover is diskrsync"),
    (
        "restic, borg, casync",
        "fill a repository, from which a volume has to be restored",
    ),
    (
        "zfs send",
        "needs a kernel module that is in no package registry for this kernel",
    ),
    (
        "DRBD resync",
        "needs a kernel module that is in no package registry for this kernel",
    ),
];

const NBD: &str = "nbd://127.0.0.1:7010";

fn nbdkit(place: &Place<'_>) -> Result<Command> {
    let mut command = Command::new("nbdkit");
    command.args(["-f", "-i", "127.0.0.1", "-p", "7010", "file"]);
    command.arg(place.target);
    Ok(command)
}

fn rsync_daemon(place: &Place<'_>) -> Result<Command> {
    let config = place.home.join("rsyncd.conf");
    let text = format!(
        "use chroot = no\nuid = 0\ngid = 0\n[data]\npath = {}\nread only = no\n",
        place.home.display()
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new("rsync");
    command.args([
        "--daemon",
        "--no-detach",
        "--address=127.0.0.1",
        "--port=7020",
    ]);
    command.arg(format!("--config={}", config.display()));
    Ok(command)
}

/// An image that is in use always has another time, so times are not asked.
fn rsync(place: &Place<'_>, how: &[&str]) -> Result<Command> {
    let name = place
        .target
        .file_name()
        .context("a target without a name")?;
    let mut command = Command::new("rsync");
    command.args(["--ignore-times", "--inplace"]).args(how);
    command.arg(place.source);
    command.arg(format!(
        "rsync://127.0.0.1:7020/data/{}",
        name.to_string_lossy()
    ));
    Ok(command)
}
