//! Ferry side by side with its peers: the same work, in the same run, in turn.
//!
//! ```text
//! make bench                                          # everything, 5 rounds
//! make bench ROUNDS=1 LINES=full,random ONLY=ferry    # part of it
//! ```
//!
//! It needs root: it drops the page cache, and runs in a network namespace of its own so that the
//! bytes on loopback are those of the run.

mod commands;
mod compare;
mod copier;
mod ferry;
mod floor;
mod image;
mod judge;
mod lines;
mod meter;
mod one_process;
mod peers;
mod proxy;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use bytesize::ByteSize;
use clap::Parser;

use crate::copier::Copier;
use crate::ferry::Ferry;
use crate::floor::Floor;
use crate::image::Images;
use crate::lines::{LINES, Line};
use crate::one_process::OneProcess;
use crate::peers::{Btrfs, PEERS, PeerCopier};
use crate::report::{Done, FERRY, Outcome};

/// Measures Ferry beside its peers; needs root.
#[derive(Parser)]
struct Options {
    /// How often each does each line.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only these lines.
    #[arg(long, value_delimiter = ',')]
    lines: Vec<String>,
    /// Only these: ferry, floor, and peers by name.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The size of the image.
    #[arg(long, default_value = "4GiB")]
    size: ByteSize,
    /// Where images and targets are stored; they need up to 40 GiB.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// The program that Ferry's movers are started from.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ferry"))]
    program: PathBuf,
    /// Don't compare targets with sources after each run.
    #[arg(long)]
    unchecked: bool,
    /// Set once it runs in a network namespace of its own.
    #[arg(long, hide = true)]
    inside: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|own| own == name)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if options.inside {
        measure(&options).map(|()| ExitCode::SUCCESS)
    } else {
        go_inside(&options)
    };
    done.unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// Installs what is missing, while there is a network, and runs this again without one.
fn go_inside(options: &Options) -> Result<ExitCode> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "this needs root: it drops the page cache and makes a network namespace"
    );
    if options.only.is_empty()
        || options
            .only
            .iter()
            .any(|name| name != "ferry" && name != "floor")
    {
        peers::install(&built(options))?;
    }
    let status = Command::new("unshare")
        .args([
            "--net",
            "sh",
            "-c",
            "ip link set lo up && exec \"$@\"",
            "sh",
        ])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .status()
        .context("failed to start unshare")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where programs that were built for this lie.
fn built(options: &Options) -> PathBuf {
    options.directory.join("bin")
}

fn measure(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.directory)?;
    let directory = options.directory.canonicalize()?;
    let images = Images::new(&directory.join("images"), options.size.as_u64())?;
    let known = |name: &String| LINES.iter().any(|line| line.name == name);
    ensure!(
        options.lines.iter().all(known),
        "the lines are {:?}",
        LINES.map(|line| line.name)
    );
    let wanted = |line: &&Line| {
        options.lines.is_empty() || options.lines.iter().any(|name| name == line.name)
    };
    let heading = format!("{}, {} rounds, medians", options.size, options.rounds);
    let mut done = Vec::new();
    for line in LINES.iter().filter(wanted) {
        done.push(run(options, &directory, line, &images)?);
        report::write(&directory, &done, &heading)?;
    }
    print!("{}", std::fs::read_to_string(directory.join("table.md"))?);
    Ok(())
}

/// Runs one line: everybody in turn, in each round in another order.
fn run(options: &Options, directory: &Path, line: &'static Line, images: &Images) -> Result<Done> {
    let mut copiers = copiers(options, directory, line)?;
    let mut outcomes: Vec<(String, Outcome)> = copiers
        .iter()
        .map(|copier| {
            let outcome = copier
                .unable()
                .map_or(Outcome::Ran(Vec::new()), Outcome::NotRun);
            (copier.name().to_string(), outcome)
        })
        .collect();
    for round in 0..options.rounds {
        for turn in 0..copiers.len() {
            let index = (turn + round) % copiers.len();
            let (name, outcome) = &mut outcomes[index];
            let Outcome::Ran(samples) = outcome else {
                continue;
            };
            match once(options, copiers[index].as_mut(), line, images, round) {
                Ok(sample) => {
                    eprintln!(
                        "{} {round}: {name} {:.3} s, {:.2} s CPU, {:.2} MiB",
                        line.name,
                        sample.wall,
                        sample.cpu,
                        sample.wire as f64 / f64::from(1 << 20)
                    );
                    samples.push(sample);
                }
                // A peer's failure is a line of the report; ours is a defect.
                Err(error) if name != FERRY => {
                    eprintln!("{} {round}: {name}: {error:#}", line.name);
                    *outcome = Outcome::NotRun(format!("it failed: {error:#}"));
                }
                Err(error) => return Err(error.context(format!("{name} failed"))),
            }
        }
    }
    for copier in &mut copiers {
        copier.clear()?;
    }
    for name in line.others.iter().filter(|name| !options.wants(name)) {
        let why = "left out of this run".to_string();
        outcomes.push(((*name).to_string(), Outcome::NotRun(why)));
    }
    Ok(Done {
        line,
        bytes: line.bytes(images)?,
        outcomes,
    })
}

fn once(
    options: &Options,
    copier: &mut dyn Copier,
    line: &Line,
    images: &Images,
    round: usize,
) -> Result<meter::Sample> {
    let work = line.work(images, round)?;
    copier.prepare(&work)?;
    let sample = copier.copy(&work)?;
    if !options.unchecked {
        compare::compare(&work.source, &copier.target())?;
    }
    Ok(sample)
}

/// Those who do a line, Ferry first.
fn copiers(options: &Options, directory: &Path, line: &Line) -> Result<Vec<Box<dyn Copier>>> {
    let mut found: Vec<Box<dyn Copier>> = Vec::new();
    if options.wants(FERRY) {
        let home = directory.join("ferry");
        let ferry = Ferry::new(FERRY, &options.program, &home, line.finds)?;
        found.push(Box::new(ferry.through(line.link)));
    }
    for name in line.others.iter().filter(|name| options.wants(name)) {
        let home = directory.join(name.replace(' ', ""));
        let built = directory.join("bin");
        match *name {
            "floor" => found.push(Box::new(Floor::new(&home, line.link)?)),
            "one process" => found.push(Box::new(OneProcess::new(&home)?)),
            "btrfs send -p" => found.push(Box::new(Btrfs::new(&home, &built)?)),
            name => {
                let peer = PEERS.iter().find(|peer| peer.name == name);
                let peer = peer.with_context(|| format!("there is no peer {name}"))?;
                found.push(Box::new(PeerCopier::new(peer, &home, &built)?));
            }
        }
    }
    Ok(found)
}
