//! Getting the peers, from Debian's packages and the Go module proxy.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::commands;

/// Programs, and the Debian packages that they come with.
const PACKAGES: [(&str, &str); 7] = [
    ("rsync", "rsync"),
    ("nbdcopy", "libnbd-bin"),
    ("nbdkit", "nbdkit"),
    ("qemu-img", "qemu-utils"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("socat", "socat"),
    ("cmp", "diffutils"),
];

/// The Go module of diskrsync, with its version.
const DISKRSYNC: &str = "github.com/dop251/diskrsync@v1.3.0";

/// Installs what is missing, into the system or `built`. What is unavailable is reported, and its peer
/// listed as not run.
pub fn install(built: &Path) -> Result<()> {
    std::fs::create_dir_all(built)?;
    let wanted: Vec<&str> = PACKAGES
        .iter()
        .filter(|(program, _)| commands::find(program, built).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !wanted.is_empty() {
        report(
            "apt-get",
            commands::run(Command::new("apt-get").args(["update", "-qq"])),
        );
        for package in wanted {
            let mut command = Command::new("apt-get");
            command.args(["install", "-y", "-qq", "--no-install-recommends", package]);
            report(package, commands::run(&mut command));
        }
    }
    if commands::find("diskrsync", built).is_none() {
        report("diskrsync", build_diskrsync(built));
    }
    Ok(())
}

fn report(what: &str, result: Result<()>) {
    if let Err(error) = result {
        eprintln!("{what} can't be installed: {error:#}");
    }
}

/// Builds it in a module of its own, so that its version is this one whatever the newest is.
fn build_diskrsync(built: &Path) -> Result<()> {
    let module = built.join("diskrsync-module");
    std::fs::create_dir_all(&module)?;
    std::fs::write(module.join("go.mod"), "module peers\n\ngo 1.24\n")?;
    let go = |args: &[&str]| commands::run(Command::new("go").args(args).current_dir(&module));
    go(&["mod", "edit", "-require", DISKRSYNC])?;
    let package = format!(
        "{}/diskrsync",
        DISKRSYNC.split('@').next().unwrap_or_default()
    );
    go(&["build", "-mod=mod", "-o", "../diskrsync", &package])
}
